//! The compiler error for a forgotten `.traced()`.

use dfdx::prelude::*;

/// Tensors for which gradients were tracked.
#[diagnostic::on_unimplemented(
    message = "this tensor has no tape: gradients were not tracked when it was computed",
    label = "`backward` needs a tensor that was computed from a traced input",
    note = "trace the input of the model: `model.forward_mut(input.traced(model.alloc_grads()))`"
)]
pub trait Traced {}

/// `backward` for a tensor without a tape, which dfdx does not have. Without this trait, rustc would only say that
/// there is no such method.
pub trait Backward<E: Dtype, D: Storage<E>>: Sized {
    /// Cannot be called.
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
