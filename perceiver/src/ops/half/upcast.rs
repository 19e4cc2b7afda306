//! Half-precision operations, run in `f32`.
//!
//! An `f16` has a maximum of 65,504 and three digits: a sum of squares overflows, and a sum of ones stops growing at
//! 2,048. So half-precision values are converted to `f32` before they are summed, and the result is converted back.
//! dfdx has no such conversion through which gradients flow; here the operation has its own record, whose gradients are
//! passed on to the caller's.

use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

use crate::ops::record::Operations;
use crate::ops::record::with_tape;
use crate::ops::{InF32, Record, set_gradient};

/// Passes on the gradient of an input.
type GradientBridge<E, D> =
    Box<dyn FnOnce(&mut Gradients<f32, D>, &mut Gradients<E, D>) -> Result<(), <D as HasErr>::Err>>;

/// An operation in `f32` on tensors of `E`.
pub(super) struct Upcast<E: Dtype, D: TensorDevice<E> + TensorDevice<f32>> {
    /// The operation's own record.
    pub record: Record<f32, D>,
    inputs: Vec<GradientBridge<E, D>>,
}

impl<E: Dtype, D: TensorDevice<E> + TensorDevice<f32>> Upcast<E, D> {
    /// Starts an operation that is recorded in `outer`.
    pub(super) fn new(outer: &Record<E, D>) -> Self {
        let record = if outer.is_on() { Record::new() } else { Record::for_tape::<NoneTape>() };
        let inputs = Vec::new();
        Self { record, inputs }
    }

    /// Converts an input of the operation; its gradients go to `outer`.
    pub(super) fn input<S: Shape>(
        &mut self,
        outer: &mut Record<E, D>,
        x: &Tensor<S, E, D>,
    ) -> Result<Tensor<S, f32, D>, D::Err> {
        fn contiguous<S: Shape, E: Dtype, D: TensorDevice<E>, T: Tape<E, D>>(
            x: Tensor<S, E, D, T>,
        ) -> Result<Tensor<S, E, D, T>, D::Err> {
            x.try_contiguous()
        }
        // The gradient of a view would be passed on once for each copy of an element.
        let x = with_tape!(outer, contiguous(x.clone()))?;
        let upcast = x.clone().try_to_dtype::<f32>()?;
        if self.record.is_on() {
            let input = upcast.clone();
            self.inputs.push(Box::new(move |gradients, outer| {
                gradients.try_alloc_for(&input)?;
                let gradient = gradients.get(&input).try_to_dtype::<E>()?;
                outer.try_alloc_for(&x)?;
                let gradient = outer.get(&x).try_add(gradient)?;
                set_gradient(outer, &x, gradient)
            }));
        }
        Ok(upcast)
    }

    /// Converts the result of the operation; its gradients go to `outer`.
    pub(super) fn output<S: Shape>(
        self,
        outer: &mut Record<E, D>,
        y: Tensor<S, f32, D>,
    ) -> Result<Tensor<S, E, D>, D::Err> {
        let result = y.clone().try_to_dtype::<E>()?;
        let narrow = result.clone();
        outer.add(move |gradients| {
            if narrow.shape().num_elements() == 0 {
                return Ok(());
            }
            gradients.try_alloc_for(&narrow)?;
            let gradient = gradients.get(&narrow).try_to_dtype::<f32>()?;
            let mut inner = Gradients::leaky();
            set_gradient(&mut inner, &y, gradient)?;
            self.record.run(&mut inner)?;
            for hand_over in self.inputs {
                hand_over(&mut inner, gradients)?;
            }
            Ok(())
        });
        Ok(result)
    }
}

/// Runs an operation in `f32` instead of `E`.
pub(super) fn try_in_f32<S, Op, E, D, T>(
    x: Tensor<S, E, D, T>,
    op: Op,
) -> Result<Tensor<Op::Output, E, D, T>, D::Err>
where
    S: Shape,
    E: Dtype,
    D: TensorDevice<E> + TensorDevice<f32>,
    Op: InF32<S, D>,
    T: Tape<E, D>,
{
    let (x, mut tape) = x.split_tape();
    let mut outer = Record::for_tape::<T>();
    let mut upcast = Upcast::new(&outer);
    let wide = upcast.input(&mut outer, &x)?;
    let y = match upcast.record.take() {
        None => op.try_apply(wide)?,
        Some(operations) => {
            let (y, operations) =
                op.try_apply::<f32, Operations<f32, D>>(wide.put_tape(operations))?.split_tape();
            upcast.record.put(operations);
            y
        }
    };
    let y = upcast.output(&mut outer, y)?;
    outer.put_on(&mut tape);
    Ok(y.put_tape(tape))
}
