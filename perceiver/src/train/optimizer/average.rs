//! The moving average of the parameters of a model.

use dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorRef,
};
use dfdx::prelude::*;

use crate::checkpoint::fill;
use crate::ops::AdamKernel;

/// An exponential moving average of each trainable parameter.
#[derive(Clone, Debug)]
pub(super) struct Average<E: Dtype, D: AdamKernel<E>> {
    decay: f64,
    /// In the order of the parameters; none before the first step.
    numbers: Vec<Tensor<(usize,), E, D>>,
}

impl<E: Dtype, D: AdamKernel<E>> Average<E, D> {
    pub(super) fn new(decay: f64) -> Self {
        Self { decay, numbers: Vec::new() }
    }

    pub(super) fn decay(&self) -> f64 {
        self.decay
    }

    /// Moves the average towards a model, or begins with it.
    pub(super) fn update<M: TensorCollection<E, D>>(&mut self, model: &M) -> Result<(), D::Err> {
        let mut f = Update { average: self, index: 0 };
        M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut f })?;
        Ok(())
    }

    /// Replaces the parameters of a model, which must have as many of the same sizes, by the average, if there is one yet.
    pub(super) fn write_to<M: TensorCollection<E, D>>(&self, model: &mut M) {
        let mut numbers = self.to_vecs();
        fill(model, |_, _, is_trained| if is_trained { numbers.next() } else { None });
    }

    /// The average of each parameter; none before the first step.
    pub(super) fn to_vecs(&self) -> impl Iterator<Item = Vec<E>> {
        self.numbers.iter().map(to_vec)
    }

    /// An average with the decay of this one and other numbers.
    pub(super) fn with_numbers(&self, device: &D, numbers: Vec<Vec<E>>) -> Result<Self, D::Err> {
        let tensor = |numbers: Vec<E>| {
            let shape = (numbers.len(),);
            device.try_tensor_from_vec(numbers, shape)
        };
        let numbers = numbers.into_iter().map(tensor).collect::<Result<_, _>>()?;
        Ok(Self { decay: self.decay, numbers })
    }
}

/// dfdx's `as_vec` takes the numbers one by one.
fn to_vec<E: Dtype, D: AdamKernel<E>>(tensor: &Tensor<(usize,), E, D>) -> Vec<E> {
    let mut numbers = vec![E::default(); tensor.shape().0];
    tensor.copy_into(&mut numbers);
    numbers
}

struct Update<'a, E: Dtype, D: AdamKernel<E>> {
    average: &'a mut Average<E, D>,
    /// The number of the next parameter.
    index: usize,
}

impl<E: Dtype, D: AdamKernel<E>> TensorVisitor<E, D> for Update<'_, E, D> {
    type Viewer = ViewTensorRef;
    type Err = D::Err;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        parameter: &Tensor<S, E, D>,
    ) -> Result<Option<Tensor<S, E, D>>, D::Err> {
        if options.do_gradient_update {
            let Average { decay, numbers } = &mut *self.average;
            match numbers.get_mut(self.index) {
                Some(average) => D::try_average(parameter, average, *decay)?,
                None => {
                    let len = parameter.shape().num_elements();
                    numbers.push(parameter.clone().try_reshape_like(&(len,))?);
                }
            }
            self.index += 1;
        }
        Ok(None)
    }
}
