//! Operations on each number.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows};

/// Multiplies by a number.
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn scale<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    factor: f64,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Rows<E, D, T>,
        factor: E,
    ) -> Result<Rows<E, D, T>, D::Err> {
        rows.try_mul(factor)
    }
    let factor = E::from_f64(factor).unwrap_or(E::ONE);
    with_tape!(record, plain(rows, factor))
}

/// Replaces negative numbers by 0.
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn relu<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Rows<E, D, T>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        rows.try_relu()
    }
    with_tape!(record, plain(rows))
}
