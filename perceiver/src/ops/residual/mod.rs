//! Residual connections.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows, check, plain_in_f64};

/// A residual connection.
pub trait ResidualKernel<E: Dtype>: KernelDevice<E> {
    /// Computes `x + dropout(branch)`, for tensors of the same shape. Nothing is dropped if gradients are not tracked.
    ///
    /// # Errors
    /// If the shapes differ, or the device runs out of memory.
    fn try_residual(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        branch: Rows<E, Self>,
        dropout: f64,
    ) -> Result<Rows<E, Self>, Self::Err> {
        check::<Self::Err>(x.shape() == branch.shape())?;
        with_tape!(record, plain(branch, x, dropout))
    }
}

plain_in_f64!(ResidualKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> ResidualKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_residual(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        branch: Rows<E, Self>,
        dropout: f64,
    ) -> Result<Rows<E, Self>, CudaError> {
        check::<CudaError>(x.shape() == branch.shape())?;
        cuda::forward(record, &x, &branch, dropout)
    }
}

impl ResidualKernel<f32> for Cpu {
    fn try_residual(
        record: &mut Record<f32, Self>,
        x: Rows<f32, Self>,
        branch: Rows<f32, Self>,
        dropout: f64,
    ) -> Result<Rows<f32, Self>, CpuError> {
        check::<CpuError>(x.shape() == branch.shape())?;
        if dropout > 0.0 && record.is_on() {
            return with_tape!(record, plain(branch, x, dropout));
        }
        cpu::forward(record, &x, &branch)
    }
}

/// The reference implementation of operations with a residual: returns the sum, or `branch` without one.
pub(super) fn plain_added<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    branch: Rows<E, D>,
    residual: Option<&Rows<E, D>>,
) -> Result<Rows<E, D>, D::Err> {
    match residual {
        None => Ok(branch),
        Some(x) => with_tape!(record, plain(branch, x.clone(), 0.0)),
    }
}

fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    branch: Rows<E, D, T>,
    x: Rows<E, D>,
    dropout: f64,
) -> Result<Rows<E, D, T>, D::Err> {
    let branch = if dropout > 0.0 && T::OWNS_TAPE {
        super::random::dropout(branch, dropout)?
    } else {
        branch
    };
    branch.try_add(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};

    fn run<E: Dtype>(shape: (usize, usize, usize)) -> Outcome
    where
        Cpu: Device<E>,
    {
        let x = tensor::<_, E>(shape, &samples(1, shape.num_elements()));
        let branch = tensor::<_, E>(shape, &samples(2, shape.num_elements()));
        let mut record = Record::new();
        // The sum is added to the branch again, so that one gradient has two terms.
        let y = Cpu::try_residual(&mut record, x.clone(), branch.clone(), 0.0).unwrap();
        let y = Cpu::try_residual(&mut record, y, branch.clone(), 0.0).unwrap();
        let (y, gradients) = backward(record, y);
        vec![y, numbers(&gradients.get(&x)), numbers(&gradients.get(&branch))]
    }

    #[test]
    fn kernel_matches_reference() {
        for shape in [(1, 1, 1), (2, 3, 7), (3, 100, 333)] {
            assert_close(&run::<f32>(shape), &run::<f64>(shape), 1e-6);
        }
    }

    #[test]
    fn the_branch_is_dropped_and_the_input_never() {
        let x = tensor::<_, f32>((1, 40, 50), &samples(1, 2000));
        let branch = tensor((1, 40, 50), &samples(2, 2000));
        let rate = 0.25;
        let mut record = Record::new();
        let y = Cpu::try_residual(&mut record, x.clone(), branch.clone(), rate).unwrap();
        let (y, gradients) = backward(record, y);
        let (x_numbers, branch_numbers) = (numbers(&x), numbers(&branch));
        let mut dropped = 0;
        for i in 0..2000 {
            let added = y[i] - x_numbers[i];
            let scaled = branch_numbers[i] / (1.0 - rate);
            let is_dropped = added.abs() < 1e-6 && scaled.abs() > 1e-5;
            assert!(is_dropped || (added - scaled).abs() < 1e-5);
            dropped += usize::from(is_dropped);
        }
        assert!((400..600).contains(&dropped), "{dropped} of 2000");
        let factors = samples(99, 2000);
        assert_close(&vec![numbers(&gradients.get(&x))], &vec![factors], 1e-6);

        let mut off = Record::for_tape::<NoneTape>();
        let y = Cpu::try_residual(&mut off, x.clone(), branch.clone(), rate).unwrap();
        let sums = x_numbers.iter().zip(&branch_numbers).map(|(x, y)| x + y);
        assert_close(&vec![numbers(&y)], &vec![sums.collect()], 1e-6);
    }

    #[test]
    fn shapes_that_differ_are_an_error() {
        let x = tensor::<_, f32>((1, 2, 3), &[0.0; 6]);
        let branch = tensor((1, 3, 2), &[0.0; 6]);
        assert!(Cpu::try_residual(&mut Record::new(), x, branch, 0.0).is_err());
    }
}
