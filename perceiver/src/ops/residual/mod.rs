//! What a block adds to its input.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows, check};

/// A residual connection.
pub trait ResidualKernel<E: Dtype>: KernelDevice<E> {
    /// `x + dropout(branch)`, which have one shape. Nothing is dropped where no gradients are tracked.
    ///
    /// # Errors
    /// If the shapes differ, or the device runs out of memory.
    fn try_residual(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        branch: Rows<E, Self>,
        dropout: f64,
    ) -> Result<Rows<E, Self>, Self::Err> {
        check(x.shape() == branch.shape())?;
        with_tape!(record, plain(branch, x, dropout))
    }
}

impl ResidualKernel<f32> for Cpu {
    // The same, written out so that it is compiled in this crate.
    fn try_residual(
        record: &mut Record<f32, Self>,
        x: Rows<f32, Self>,
        branch: Rows<f32, Self>,
        dropout: f64,
    ) -> Result<Rows<f32, Self>, CpuError> {
        check::<CpuError>(x.shape() == branch.shape())?;
        with_tape!(record, plain(branch, x, dropout))
    }
}

fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    branch: Rows<E, D, T>,
    x: Rows<E, D>,
    dropout: f64,
) -> Result<Rows<E, D, T>, D::Err> {
    let branch = if dropout > 0.0 && T::OWNS_TAPE {
        branch.try_dropout(dropout)?
    } else {
        branch
    };
    branch.try_add(x)
}
