//! Rows after rows, and channels after channels.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows};
use crate::WrongSize;

/// Concatenates `(batch, rows, width)` and `(batch, more rows, width)` to `(batch, rows + more rows, width)`.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn concat<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    first: Rows<E, D>,
    second: Rows<E, D>,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        first: Rows<E, D, T>,
        second: Rows<E, D>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        (first, second).try_concat_along(Axis::<1>)
    }
    let (batch, _, width) = *first.shape();
    super::check::<D::Err>((second.shape().0, second.shape().2) == (batch, width))?;
    with_tape!(record, plain(first, second))
}

/// Concatenates `(batch, rows, width)` and `(batch, rows, more width)` to `(batch, rows, width + more width)`.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn concat_channels<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    first: Rows<E, D>,
    second: Rows<E, D>,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        first: Rows<E, D, T>,
        second: Rows<E, D>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        (first, second).try_concat_along(Axis::<2>)
    }
    let (batch, rows, _) = *first.shape();
    super::check::<D::Err>((second.shape().0, second.shape().1) == (batch, rows))?;
    with_tape!(record, plain(first, second))
}

/// Concatenates several `(batch, rows, width)` to one, each with its own number of rows.
///
/// # Errors
/// If there are none, the sizes do not match, or the device runs out of memory.
pub(crate) fn concat_all<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    mut parts: Vec<Rows<E, D>>,
) -> Result<Rows<E, D>, D::Err> {
    // In pairs, so that few rows are copied often.
    while parts.len() > 1 {
        let mut pairs = Vec::new();
        let mut rest = parts.into_iter();
        while let Some(first) = rest.next() {
            pairs.push(match rest.next() {
                Some(second) => concat(record, first, second)?,
                None => first,
            });
        }
        parts = pairs;
    }
    parts.pop().ok_or_else(D::Err::wrong_size)
}

/// Appends features, row by row, to `(batch, rows, width)`: the same ones to each item.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn append_features<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    features: &[f64],
) -> Result<Rows<E, D>, D::Err> {
    let (batch, count, _) = *rows.shape();
    super::check::<D::Err>(count > 0 && features.len().is_multiple_of(count))?;
    let width = features.len() / count;
    let features = constant::<E, D>(rows.device(), features, (count, width))?;
    let features = features.try_broadcast_like::<_, Axis<0>>(&(batch, count, width))?;
    concat_channels(record, rows, features)
}

/// Makes a tensor of numbers that are not parameters.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn constant<E: Dtype, D: KernelDevice<E>>(
    device: &D,
    numbers: &[f64],
    shape: (usize, usize),
) -> Result<Tensor<(usize, usize), E, D>, D::Err> {
    let numbers = numbers.iter().map(|&x| E::from_f64(x).unwrap_or_default());
    device.try_tensor_from_vec(numbers.collect(), shape)
}
