//! A copy of some rows for each item of a batch.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows};

/// Copies rows for each item of a batch.
pub trait RepeatKernel<E: Dtype>: KernelDevice<E> {
    /// `(rows, width)` to `(batch, rows, width)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_repeat(
        record: &mut Record<E, Self>,
        x: Tensor<(usize, usize), E, Self>,
        batch: usize,
    ) -> Result<Rows<E, Self>, Self::Err> {
        with_tape!(record, plain(x, batch))
    }
}

impl RepeatKernel<f32> for Cpu {
    // The same, written out so that it is compiled in this crate.
    fn try_repeat(
        record: &mut Record<f32, Self>,
        x: Tensor<(usize, usize), f32, Self>,
        batch: usize,
    ) -> Result<Rows<f32, Self>, CpuError> {
        with_tape!(record, plain(x, batch))
    }
}

fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Tensor<(usize, usize), E, D, T>,
    batch: usize,
) -> Result<Rows<E, D, T>, D::Err> {
    let (rows, width) = *x.shape();
    let view = x.try_broadcast_like::<_, Axis<0>>(&(batch, rows, width))?;
    super::flatten::owned(view)
}
