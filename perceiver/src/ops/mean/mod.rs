//! The mean of rows.

#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::in_f32::Mean;
use super::record::with_tape;
use super::{KernelDevice, Record, Rows, plain_in_f64};

/// The mean of rows.
pub trait MeanKernel<E: Dtype>: KernelDevice<E> {
    /// Averages `(batch, rows, width)` over rows, to `(batch, 1, width)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_mean(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
    ) -> Result<Rows<E, Self>, Self::Err> {
        with_tape!(record, plain(x))
    }
}

plain_in_f64!(MeanKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> MeanKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_mean(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
    ) -> Result<Rows<E, Self>, CudaError> {
        cuda::forward(record, &x)
    }
}

impl MeanKernel<f32> for Cpu {
    // Same as the default, repeated so that it is compiled in this crate.
    fn try_mean(
        record: &mut Record<f32, Self>,
        x: Rows<f32, Self>,
    ) -> Result<Rows<f32, Self>, CpuError> {
        with_tape!(record, plain(x))
    }
}

fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
) -> Result<Rows<E, D, T>, D::Err> {
    let (batch, _, width) = *x.shape();
    D::try_in_f32(x, Mean)?.try_reshape_like(&(batch, 1, width))
}
