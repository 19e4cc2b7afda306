//! What the compiler says about a forgotten `.traced()`.

use dfdx::prelude::*;

/// Gradients were tracked for the computation of a tensor.
#[diagnostic::on_unimplemented(
    message = "this tensor has no tape: gradients were not tracked when it was computed",
    label = "`backward` needs a tensor that was computed from a traced input",
    note = "trace the input of the model: `model.forward_mut(input.traced(model.alloc_grads()))`"
)]
pub trait Traced {}

/// `backward` of a tensor without a tape, which dfdx does not have: without this, rustc would only say so.
pub trait Backward<E: Dtype, D: Storage<E>>: Sized {
    /// Never callable.
    fn backward(self) -> Gradients<E, D>
    where
        Self: Traced;
}

impl<S: Shape, E: Dtype, D: Storage<E>> Backward<E, D> for Tensor<S, E, D, NoneTape> {
    fn backward(self) -> Gradients<E, D>
    where
        Self: Traced,
    {
        Gradients::leaky()
    }
}
