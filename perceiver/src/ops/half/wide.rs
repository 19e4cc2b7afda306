//! Half precision, with its sums in `f32`.
//!
//! An `f16` ends at 65,504 and has three digits: a sum of squares leaves its range, and a sum of ones stops growing at
//! 2,048. So numbers of half precision become `f32` before they are summed up, and what comes out becomes half precision
//! again. dfdx has no operation for that which gradients go through; here the operation is run on a tape of its own,
//! whose gradients are handed over to that of the caller.

use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

use crate::ops::Accumulation;

/// A tape of `f32` for an operation whose caller has one of half precision.
pub(super) type WideTape<D> = OwnedTape<f32, D>;

/// Gives an input its part of the gradients.
type HandOver<E, D> =
    Box<dyn FnOnce(&mut Gradients<f32, D>, &mut Gradients<E, D>) -> Result<(), <D as HasErr>::Err>>;

/// An operation in `f32` on tensors of `E`, whose gradients go to the tape `T`.
pub(super) struct Wide<E: Dtype, D: TensorDevice<E> + TensorDevice<f32>, T> {
    tape: T,
    inputs: Vec<HandOver<E, D>>,
}

impl<E: Dtype, D: TensorDevice<E> + TensorDevice<f32>, T: Tape<E, D>> Wide<E, D, T> {
    pub(super) fn new(tape: T) -> Self {
        let inputs = Vec::new();
        Self { tape, inputs }
    }

    /// An input of the operation.
    pub(super) fn input<S: Shape>(
        &mut self,
        x: &Tensor<S, E, D>,
    ) -> Result<Tensor<S, f32, D>, D::Err> {
        let tape = std::mem::take(&mut self.tape);
        let (x, tape) = x.clone().put_tape(tape).try_contiguous()?.split_tape();
        self.tape = tape;
        let wide = x.clone().try_to_dtype::<f32>()?;
        let result = wide.clone();
        self.inputs.push(Box::new(move |gradients, narrow| {
            gradients.try_alloc_for(&wide)?;
            let gradient = gradients.get(&wide).try_to_dtype::<E>()?;
            narrow.try_alloc_for(&x)?;
            let gradient = narrow.get(&x).try_add(gradient)?;
            set_gradient(narrow, &x, gradient)
        }));
        Ok(result)
    }

    /// What the operation gave.
    pub(super) fn output<S: Shape>(
        mut self,
        y: Tensor<S, f32, D, WideTape<D>>,
    ) -> Result<Tensor<S, E, D, T>, D::Err> {
        let (y, wide_tape) = y.try_contiguous()?.split_tape();
        let narrow = y.clone().try_to_dtype::<E>()?;
        let result = narrow.clone();
        self.tape.add_backward_op(move |gradients| {
            if narrow.shape().num_elements() == 0 {
                return Ok(());
            }
            gradients.try_alloc_for(&narrow)?;
            let gradient = gradients.get(&narrow).try_to_dtype::<f32>()?;
            let mut wide = sum_of_products(y.put_tape(wide_tape), gradient)?;
            for hand_over in self.inputs {
                hand_over(&mut wide, gradients)?;
            }
            Ok(())
        });
        Ok(result.put_tape(self.tape))
    }
}

/// Runs an operation on `f32` in place of `E`.
pub(in crate::ops) fn try_accumulate<S, Op, E, D, T>(
    x: Tensor<S, E, D, T>,
    op: Op,
) -> Result<Tensor<Op::Output, E, D, T>, D::Err>
where
    S: Shape,
    E: Dtype,
    D: TensorDevice<E> + TensorDevice<f32>,
    Op: Accumulation<S, D>,
    T: Tape<E, D>,
{
    let (x, tape) = x.split_tape();
    let mut wide = Wide::new(tape);
    let x = wide.input(&x)?.put_tape(WideTape::default());
    wide.output(op.try_apply(x)?)
}

/// The gradients of Σ `x` · `factor`: of `x` it is `factor`.
fn sum_of_products<S: Shape, E: Dtype, D: TensorDevice<E>>(
    x: Tensor<S, E, D, OwnedTape<E, D>>,
    factor: Tensor<S, E, D>,
) -> Result<Gradients<E, D>, D::Err> {
    let count = x.shape().num_elements();
    x.try_mul(factor)?
        .try_reshape_like(&(count,))?
        .try_sum::<Rank0, _>()?
        .try_backward()
}

/// Replaces the gradient of `x`. dfdx makes no gradient of a tensor, but finds one that is a given tensor.
pub(crate) fn set_gradient<S: Shape, E: Dtype, D: TensorDevice<E>>(
    gradients: &mut Gradients<E, D>,
    x: &Tensor<S, E, D>,
    gradient: Tensor<S, E, D>,
) -> Result<(), D::Err> {
    let mut made = sum_of_products(x.clone().put_tape(OwnedTape::default()), gradient)?;
    std::mem::swap(gradients.get_or_alloc_mut(x)?, made.get_or_alloc_mut(x)?);
    Ok(())
}
