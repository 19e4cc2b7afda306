//! How an optimizer goes through the parameters of a model.

use dfdx::nn::tensor_collection::{
    TensorCollection, TensorOptions, TensorVisitor, ViewTensorMut, ViewTensorRef,
};
use dfdx::prelude::*;

use super::Slot;
use crate::checkpoint::each_tensor;
use crate::ops::{AdamKernel, AdamStep};

/// Calls a function with the name, length and device of each trainable tensor.
pub(super) fn each<M: TensorCollection<E, D>, E: Dtype, D: AdamKernel<E>>(
    model: &M,
    mut visit: impl FnMut(String, usize, &D),
) {
    each_tensor(model, |tensor| {
        if tensor.is_trained {
            let len = tensor.shape.iter().product();
            visit(tensor.name, len, tensor.device);
        }
    });
}

/// Sums the squares of the gradient of each parameter.
pub(super) struct Measure<'a, E: Dtype, D: AdamKernel<E>> {
    pub(super) lens: &'a mut Vec<usize>,
    pub(super) together: &'a mut D::Together,
    pub(super) gradients: &'a mut Gradients<E, D>,
}

impl<E: Dtype, D: AdamKernel<E>> TensorVisitor<E, D> for Measure<'_, E, D> {
    type Viewer = ViewTensorRef;
    type Err = D::Err;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        tensor: &Tensor<S, E, D>,
    ) -> Result<Option<Tensor<S, E, D>>, D::Err> {
        if options.do_gradient_update {
            D::try_measure(tensor, self.gradients, self.together)?;
            self.lens.push(tensor.shape().num_elements());
        }
        Ok(None)
    }
}

/// Makes a step for each parameter, and then writes it.
pub(super) struct Apply<'a, E: Dtype, D: AdamKernel<E>> {
    pub(super) slots: std::slice::IterMut<'a, Slot<E, D>>,
    pub(super) gradients: &'a mut Gradients<E, D>,
    pub(super) step: AdamStep,
    pub(super) decay_vectors: bool,
    pub(super) together: D::Together,
    /// Whether the updates were computed.
    pub(super) is_computed: bool,
}

impl<E: Dtype, D: AdamKernel<E>> TensorVisitor<E, D> for Apply<'_, E, D> {
    type Viewer = ViewTensorMut;
    type Err = D::Err;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        tensor: &mut Tensor<S, E, D>,
    ) -> Result<Option<Tensor<S, E, D>>, D::Err> {
        if options.do_gradient_update && self.is_computed {
            D::try_release(tensor, &mut self.together)?;
        } else if options.do_gradient_update
            && let Some(slot) = self.slots.next()
        {
            let mut step = self.step;
            step.rate_factor = slot.factor;
            if S::NUM_DIMS < 2 && !self.decay_vectors {
                (step.weight_decay, step.trust_ratio) = (0.0, false);
            }
            D::try_step(tensor, self.gradients, &mut slot.moments, &step, &mut self.together)?;
        }
        Ok(None)
    }
}
