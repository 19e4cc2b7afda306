//! The moving average of the parameters of a model.

use dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorRef,
};
use dfdx::prelude::*;

use super::visit::each;
use crate::checkpoint::fill;
use crate::ops::AdamKernel;

/// An exponential moving average of each trainable parameter.
#[derive(Clone, Debug)]
pub(super) struct Average<E: Dtype, D: AdamKernel<E>> {
    decay: f64,
    /// In the order of the parameters; none before the first step.
    numbers: Vec<D::Numbers>,
}

impl<E: Dtype, D: AdamKernel<E>> Average<E, D> {
    pub(super) fn new(decay: f64) -> Self {
        Self { decay, numbers: Vec::new() }
    }

    pub(super) fn decay(&self) -> f64 {
        self.decay
    }

    /// Moves the average towards a model, or begins with it.
    pub(super) fn update<M: TensorCollection<E, D>>(
        &mut self,
        device: &D,
        model: &M,
    ) -> Result<(), D::Err> {
        if !self.numbers.is_empty() {
            return move_towards(device, model, &mut self.numbers, self.decay);
        }
        let mut numbers = Vec::new();
        each(model, |_, len, device: &D| {
            numbers.push(device.try_numbers(vec![E::default(); len]));
        });
        let mut numbers = numbers.into_iter().collect::<Result<Vec<_>, _>>()?;
        move_towards(device, model, &mut numbers, 0.0)?;
        self.numbers = numbers;
        Ok(())
    }

    /// Replaces the parameters of a model, which must have as many of the same sizes, by the average, if there is one yet.
    pub(super) fn write_to<M: TensorCollection<E, D>>(&self, model: &mut M) {
        let mut numbers = self.to_vecs();
        fill(model, |_, _, is_trained| if is_trained { numbers.next() } else { None });
    }

    /// The average of each parameter; none before the first step.
    pub(super) fn to_vecs(&self) -> impl Iterator<Item = Vec<E>> {
        self.numbers.iter().map(D::to_vec)
    }

    /// An average with the decay of this one and other numbers.
    pub(super) fn with_numbers(&self, device: &D, numbers: Vec<Vec<E>>) -> Result<Self, D::Err> {
        let numbers = numbers.into_iter().map(|numbers| device.try_numbers(numbers));
        let numbers = numbers.collect::<Result<_, _>>()?;
        Ok(Self { decay: self.decay, numbers })
    }
}

/// Moves the average of each parameter towards it.
fn move_towards<M: TensorCollection<E, D>, E: Dtype, D: AdamKernel<E>>(
    device: &D,
    model: &M,
    averages: &mut [D::Numbers],
    decay: f64,
) -> Result<(), D::Err> {
    let together = D::Together::default();
    let mut f = Move::<E, D> { averages: averages.iter_mut(), decay, together };
    M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut f })?;
    device.try_write_averages(decay, f.together)
}

struct Move<'a, E: Dtype, D: AdamKernel<E>> {
    averages: std::slice::IterMut<'a, D::Numbers>,
    decay: f64,
    together: D::Together,
}

impl<E: Dtype, D: AdamKernel<E>> TensorVisitor<E, D> for Move<'_, E, D> {
    type Viewer = ViewTensorRef;
    type Err = D::Err;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        parameter: &Tensor<S, E, D>,
    ) -> Result<Option<Tensor<S, E, D>>, D::Err> {
        if options.do_gradient_update
            && let Some(average) = self.averages.next()
        {
            D::try_average(parameter, average, self.decay, &mut self.together)?;
        }
        Ok(None)
    }
}
