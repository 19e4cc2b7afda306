//! Rows of an embedding, with learned positions.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Matrix, Record, ResidualKernel, Rows, matrix};

/// The sum of the rows of `embeddings` for each id and the first rows of `positions`: `(batch, tokens)` to
/// `(batch, tokens, dim)`. Ids and tokens must not exceed the rows.
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn embed<E: Dtype, D: ResidualKernel<E>>(
    record: &mut Record<E, D>,
    embeddings: &Matrix<E, D>,
    positions: &Matrix<E, D>,
    ids: Tensor<(usize, usize), usize, D>,
) -> Result<Rows<E, D>, D::Err> {
    let (batch, tokens) = *ids.shape();
    let device = ids.device().clone();
    // Gathered and not sliced: dfdx's `slice` overwrites the gradient of what it slices.
    let places = (0..batch).flat_map(|_| 0..tokens).collect();
    let places = device.try_tensor_from_vec(places, (batch, tokens))?;
    let rows = rows_at(record, embeddings, ids)?;
    let positions = rows_at(record, positions, places)?;
    D::try_residual(record, rows, positions, 0.0)
}

/// The rows of a matrix at places, `(batch, rows)`, which must not exceed its rows: `(batch, rows, width)`.
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn rows_at<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: &Matrix<E, D>,
    places: Tensor<(usize, usize), usize, D>,
) -> Result<Rows<E, D>, D::Err> {
    fn gather<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Tensor<(usize, usize), E, D, T>,
        places: Tensor<(usize, usize), usize, D>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        rows.try_gather(places)
    }
    with_tape!(record, gather(matrix(rows), places))
}
