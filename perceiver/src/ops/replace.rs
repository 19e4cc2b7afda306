//! Random replacement of rows.

use dfdx::prelude::*;

use super::record::{Operations, with_tape};
use super::{KernelDevice, Matrix, Record, Rows, repeat_row};

/// Replaces each of the rows, `(batch, rows, width)`, with `row`, `(1, width)`, at this rate, between 0 and 1.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn replace_at_random<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    row: &Matrix<E, D>,
    rate: f64,
) -> Result<Rows<E, D>, D::Err> {
    fn choose<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Rows<E, D, T>,
        keep: Tensor<(usize, usize, usize), bool, D>,
        others: Rows<E, D>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        keep.try_choose(rows, others.retaped::<T>())
    }
    let (batch, count, width) = *rows.shape();
    // dfdx's dropout is its only random choice for every data type; it needs a tape to make one.
    let ones: Tensor<(usize, usize), E, D> = rows.device().try_ones_like(&(batch, count))?;
    let ones = ones.put_tape(Operations::default());
    let kept = super::random::dropout(ones, rate)?.split_tape().0;
    let keep =
        kept.try_gt(E::default())?.try_broadcast_like::<_, Axis<2>>(&(batch, count, width))?;
    let others = repeat_row(record, row, (batch, count))?;
    super::check::<D::Err>(others.shape().2 == width)?;
    with_tape!(record, choose(rows, keep, others))
}
