//! The step of an optimizer that keeps the first two moments of gradients: AdamW or LAMB.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use dfdx::prelude::*;

use super::{KernelDevice, check, plain_in_f64, set_gradient};

/// A step of AdamW (arXiv 1711.05101) or LAMB (arXiv 1904.00962) for the parameters of a model.
///
/// Parameters have shapes of their own, so they are passed one by one; a device may do the work for all of them together.
pub trait AdamKernel<E: Dtype>: KernelDevice<E> {
    /// What is kept of a parameter's size: each of its two moments, and its average.
    type Numbers: Clone + Debug;

    /// The parameters that were passed, and what is known about them.
    type Together: Default;

    /// Moves numbers to the device.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_numbers(&self, numbers: Vec<E>) -> Result<Self::Numbers, Self::Err>;

    /// Copies numbers from the device.
    fn to_vec(numbers: &Self::Numbers) -> Vec<E>;

    /// Passes a parameter, for the sum of the squares of its gradient.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_measure<S: Shape>(
        parameter: &Tensor<S, E, Self>,
        gradients: &mut Gradients<E, Self>,
        together: &mut Self::Together,
    ) -> Result<(), Self::Err>;

    /// Returns the sums of the parameters that were passed, one for each; 0 for one without a gradient.
    ///
    /// # Errors
    /// If the device fails.
    fn try_square_sums(&self, together: Self::Together) -> Result<Vec<f64>, Self::Err>;

    /// Appends a parameter's gradient to some numbers; zeros if it has none.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_append_gradient<S: Shape>(
        parameter: &Tensor<S, E, Self>,
        gradients: &mut Gradients<E, Self>,
        numbers: &mut Vec<E>,
    ) -> Result<(), Self::Err> {
        numbers.extend(gradient(parameter, gradients)?.as_vec());
        Ok(())
    }

    /// Replaces a parameter's gradient.
    ///
    /// # Errors
    /// If there are not as many numbers, or the device runs out of memory.
    fn try_set_gradient<S: Shape>(
        parameter: &Tensor<S, E, Self>,
        gradients: &mut Gradients<E, Self>,
        numbers: &[E],
    ) -> Result<(), Self::Err> {
        check::<Self::Err>(numbers.len() == parameter.shape().num_elements())?;
        let gradient =
            parameter.device().try_tensor_from_vec(numbers.to_vec(), *parameter.shape())?;
        set_gradient(gradients, parameter, gradient)
    }

    /// Passes a parameter, to be updated together with its moments, the running means of its gradient and of its square; its
    /// gradient becomes 0. All is done after [`try_write`](Self::try_write).
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_step<S: Shape>(
        parameter: &mut Tensor<S, E, Self>,
        gradients: &mut Gradients<E, Self>,
        moments: &mut [Self::Numbers; 2],
        step: &AdamStep,
        together: &mut Self::Together,
    ) -> Result<(), Self::Err>;

    /// Computes the updates of the parameters that were passed.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_update(&self, _together: &Self::Together) -> Result<(), Self::Err> {
        Ok(())
    }

    /// Passes a parameter once more, in the same order, so that it can be written to.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_release<S: Shape>(
        _parameter: &mut Tensor<S, E, Self>,
        _together: &mut Self::Together,
    ) -> Result<(), Self::Err> {
        Ok(())
    }

    /// Writes the parameters that were passed to [`try_release`](Self::try_release).
    ///
    /// # Errors
    /// If the device fails.
    fn try_write(&self, _together: Self::Together) -> Result<(), Self::Err> {
        Ok(())
    }

    /// Passes a parameter, to move its average towards it: `decay · average + (1 - decay) · parameter`. All is done after
    /// [`try_write_averages`](Self::try_write_averages), with the same decay.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_average<S: Shape>(
        parameter: &Tensor<S, E, Self>,
        average: &mut Self::Numbers,
        decay: f64,
        together: &mut Self::Together,
    ) -> Result<(), Self::Err>;

    /// Writes the averages that were passed.
    ///
    /// # Errors
    /// If the device fails.
    fn try_write_averages(&self, _decay: f64, _together: Self::Together) -> Result<(), Self::Err> {
        Ok(())
    }
}

/// The numbers of a step for one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// The learning rate.
    pub learning_rate: f64,
    /// What it is multiplied by for this parameter.
    pub rate_factor: f64,
    /// How much of each moment is kept.
    pub betas: [f64; 2],
    /// What is added to the root of the second moment.
    pub epsilon: f64,
    /// The weight decay, which the learning rate multiplies.
    pub weight_decay: f64,
    /// Whether the update is scaled to the norm of the parameter, as in LAMB.
    pub trust_ratio: bool,
    /// What the gradient is multiplied by.
    pub factor: f64,
    /// What each number of the gradient is then limited to, in both directions.
    pub limit: f64,
    /// The number of this step, from 1.
    pub step: u64,
}

impl AdamStep {
    /// The learning rate of this parameter.
    fn own_rate(&self) -> f64 {
        self.learning_rate * self.rate_factor
    }

    /// What the moments are divided by, since they began at 0.
    fn corrections(&self) -> [f64; 2] {
        self.betas.map(|beta| 1.0 - beta.powf(self.step as f64))
    }
}

/// The factor of an update of this norm to a parameter of that one, as in the reference of LAMB.
fn trust_ratio(of_parameter: f64, of_update: f64) -> f64 {
    if of_parameter > 0.0 && of_update > 0.0 { of_parameter / of_update } else { 1.0 }
}

macro_rules! plain_adam {
    ($E:ty) => {
        type Numbers = dfdx::tensor::Tensor<(usize,), $E, Self>;
        /// The sums of squares.
        type Together = Vec<f64>;

        fn try_numbers(&self, numbers: Vec<$E>) -> Result<Self::Numbers, Self::Err> {
            let shape = (numbers.len(),);
            dfdx::tensor::TensorFromVec::try_tensor_from_vec(self, numbers, shape)
        }

        fn to_vec(numbers: &Self::Numbers) -> Vec<$E> {
            // dfdx's `as_vec` takes the numbers one by one.
            let mut copy = vec![<$E>::default(); dfdx::shapes::HasShape::shape(numbers).0];
            numbers.copy_into(&mut copy);
            copy
        }

        fn try_measure<S: dfdx::shapes::Shape>(
            parameter: &dfdx::tensor::Tensor<S, $E, Self>,
            gradients: &mut dfdx::tensor::Gradients<$E, Self>,
            sums: &mut Vec<f64>,
        ) -> Result<(), Self::Err> {
            sums.push(crate::ops::adam::square_sum(parameter, gradients)?);
            Ok(())
        }

        fn try_square_sums(&self, sums: Vec<f64>) -> Result<Vec<f64>, Self::Err> {
            Ok(sums)
        }

        fn try_step<S: dfdx::shapes::Shape>(
            parameter: &mut dfdx::tensor::Tensor<S, $E, Self>,
            gradients: &mut dfdx::tensor::Gradients<$E, Self>,
            moments: &mut [Self::Numbers; 2],
            step: &crate::ops::adam::AdamStep,
            _together: &mut Vec<f64>,
        ) -> Result<(), Self::Err> {
            crate::ops::adam::plain(parameter, gradients, moments, step)
        }

        fn try_average<S: dfdx::shapes::Shape>(
            parameter: &dfdx::tensor::Tensor<S, $E, Self>,
            average: &mut Self::Numbers,
            decay: f64,
            _together: &mut Vec<f64>,
        ) -> Result<(), Self::Err> {
            crate::ops::adam::plain_average(parameter, average, decay)
        }
    };
}
#[cfg(feature = "f16")]
pub(super) use plain_adam;

plain_in_f64!(AdamKernel, plain_adam);

impl AdamKernel<f32> for Cpu {
    type Numbers = Vec<f32>;
    /// The sums of squares.
    type Together = Vec<f64>;

    fn try_numbers(&self, numbers: Vec<f32>) -> Result<Vec<f32>, CpuError> {
        Ok(numbers)
    }

    fn to_vec(numbers: &Vec<f32>) -> Vec<f32> {
        numbers.clone()
    }

    fn try_measure<S: Shape>(
        parameter: &Tensor<S, f32, Self>,
        gradients: &mut Gradients<f32, Self>,
        sums: &mut Vec<f64>,
    ) -> Result<(), CpuError> {
        sums.push(cpu::square_sum(gradients.get_or_alloc_mut(parameter)?));
        Ok(())
    }

    fn try_square_sums(&self, sums: Vec<f64>) -> Result<Vec<f64>, CpuError> {
        Ok(sums)
    }

    fn try_append_gradient<S: Shape>(
        parameter: &Tensor<S, f32, Self>,
        gradients: &mut Gradients<f32, Self>,
        numbers: &mut Vec<f32>,
    ) -> Result<(), CpuError> {
        numbers.extend_from_slice(gradients.get_or_alloc_mut(parameter)?);
        Ok(())
    }

    fn try_set_gradient<S: Shape>(
        parameter: &Tensor<S, f32, Self>,
        gradients: &mut Gradients<f32, Self>,
        numbers: &[f32],
    ) -> Result<(), CpuError> {
        let gradient = gradients.get_or_alloc_mut(parameter)?;
        check::<CpuError>(gradient.len() == numbers.len())?;
        gradient.copy_from_slice(numbers);
        Ok(())
    }

    fn try_step<S: Shape>(
        parameter: &mut Tensor<S, f32, Self>,
        gradients: &mut Gradients<f32, Self>,
        moments: &mut [Vec<f32>; 2],
        step: &AdamStep,
        _together: &mut Vec<f64>,
    ) -> Result<(), CpuError> {
        let gradient = gradients.get_or_alloc_mut(parameter)?;
        let len = parameter.shape().num_elements();
        check::<CpuError>(gradient.len() == len && moments.iter().all(|m| m.len() == len))?;
        let mut numbers = super::cpu::read(parameter);
        cpu::step(&mut numbers, gradient, moments, step);
        parameter.copy_from(&numbers);
        Ok(())
    }

    fn try_average<S: Shape>(
        parameter: &Tensor<S, f32, Self>,
        average: &mut Vec<f32>,
        decay: f64,
        _together: &mut Vec<f64>,
    ) -> Result<(), CpuError> {
        check::<CpuError>(average.len() == parameter.shape().num_elements())?;
        cpu::average(average, &super::cpu::read(parameter), decay);
        Ok(())
    }
}

/// A parameter's gradient as a vector; zeros if it has none.
fn gradient<S: Shape, E: Dtype, D: KernelDevice<E>>(
    parameter: &Tensor<S, E, D>,
    gradients: &mut Gradients<E, D>,
) -> Result<Tensor<(usize,), E, D>, D::Err> {
    gradients.try_alloc_for(parameter)?;
    let len = parameter.shape().num_elements();
    gradients.get(parameter).try_reshape_like(&(len,))
}

pub(super) fn square_sum<S: Shape, E: Dtype, D: KernelDevice<E>>(
    parameter: &Tensor<S, E, D>,
    gradients: &mut Gradients<E, D>,
) -> Result<f64, D::Err> {
    norm(&gradient(parameter, gradients)?).map(|norm| norm * norm)
}

fn norm<E: Dtype, D: KernelDevice<E>>(x: &Tensor<(usize,), E, D>) -> Result<f64, D::Err> {
    let squares = x.clone().try_square()?.try_sum::<(), _>()?.as_vec();
    Ok(squares.iter().filter_map(|x| x.to_f64()).sum::<f64>().sqrt())
}

/// The reference implementation, in dfdx's own operations.
pub(super) fn plain<S: Shape, E: Dtype, D: KernelDevice<E>>(
    parameter: &mut Tensor<S, E, D>,
    gradients: &mut Gradients<E, D>,
    moments: &mut [Tensor<(usize,), E, D>; 2],
    step: &AdamStep,
) -> Result<(), D::Err> {
    let len = parameter.shape().num_elements();
    check::<D::Err>(moments.iter().all(|moment| moment.shape().0 == len))?;
    let number = |x: f64| E::from_f64(x).unwrap_or_default();
    let mut gradient = gradient(parameter, gradients)?.try_mul(number(step.factor))?;
    if step.limit.is_finite() {
        gradient = gradient.try_clamp(-step.limit, step.limit)?;
    }
    let squares = gradient.clone().try_square()?;
    for ((moment, beta), next) in moments.iter_mut().zip(step.betas).zip([gradient, squares]) {
        moment.try_axpy(beta, &next, 1.0 - beta)?;
    }
    let [first, second] = step.corrections();
    let root = moments[1].clone().try_sqrt()?.try_div(number(second.sqrt()))?;
    let update = moments[0].clone().try_div(number(first))?;
    let mut update = update.try_div(root.try_add(number(step.epsilon))?)?;
    let (mut kept, mut rate) = (1.0 - step.own_rate() * step.weight_decay, step.own_rate());
    if step.trust_ratio {
        let numbers = parameter.clone().try_reshape_like(&(len,))?;
        update.try_axpy(1.0, &numbers, step.weight_decay)?;
        rate *= trust_ratio(norm(&numbers)?, norm(&update)?);
        kept = 1.0;
    }
    let update = update.try_reshape_like(parameter.shape())?;
    parameter.try_axpy(kept, &update, -rate)?;
    parameter.device().try_fill_with_zeros(gradients.get_or_alloc_mut(parameter)?)
}

pub(super) fn plain_average<S: Shape, E: Dtype, D: KernelDevice<E>>(
    parameter: &Tensor<S, E, D>,
    average: &mut Tensor<(usize,), E, D>,
    decay: f64,
) -> Result<(), D::Err> {
    let shape = *average.shape();
    check::<D::Err>(shape.0 == parameter.shape().num_elements())?;
    let numbers = parameter.clone().try_reshape_like(&shape)?;
    average.try_axpy(decay, &numbers, 1.0 - decay)
}
