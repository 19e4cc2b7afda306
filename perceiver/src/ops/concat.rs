//! Rows after rows, and channels after channels.

use dfdx::prelude::*;

use super::mask::flags;
use super::record::with_tape;
use super::{KernelDevice, Mask, Record, Rows, places};

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

/// Copies `(1, rows, width)` for each item of a batch.
///
/// # Errors
/// If there is more than one item, or the device runs out of memory.
pub(crate) fn for_each_item<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    batch: usize,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Rows<E, D, T>,
        batch: usize,
    ) -> Result<Rows<E, D, T>, D::Err> {
        let (_, count, width) = *rows.shape();
        let rows: Tensor<(usize, usize), E, D, T> = rows.try_reshape_like(&(count, width))?;
        let view = rows.try_broadcast_like::<_, Axis<0>>(&(batch, count, width))?;
        super::flatten::owned(view)
    }
    super::check::<D::Err>(rows.shape().0 == 1)?;
    with_tape!(record, plain(rows, batch))
}

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

impl<D: Storage<bool>> Mask<D> {
    /// The mask of keys, followed by `count` more keys that may all be attended to.
    pub(crate) fn followed_by<E: Dtype>(self, count: usize) -> Result<Self, D::Err>
    where
        D: KernelDevice<E>,
    {
        let Self::Keys(mask) = self else {
            return Ok(self);
        };
        let (batch, keys) = *mask.shape();
        let rows = mask.as_vec();
        let allowed =
            rows.chunks(keys).flat_map(|row| row.iter().copied().chain((0..count).map(|_| true)));
        let mask = flags::<_, E, _>(mask.device(), allowed, (batch, keys + count))?;
        Ok(Self::Keys(mask))
    }
}

/// The mask of patches: those may be attended to of which one position may be.
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn mask_of_patches<E: Dtype, D: KernelDevice<E>>(
    mask: &Tensor<(usize, usize), bool, D>,
    axes: &[usize],
    patch: &[usize],
) -> Result<Tensor<(usize, usize), bool, D>, D::Err> {
    let (batch, positions) = *mask.shape();
    let (mask_values, places) = (mask.as_vec(), places(axes, patch));
    let size = patch.iter().product::<usize>().max(1);
    let allowed = mask_values
        .chunks(positions.max(1))
        .flat_map(|item| places.chunks(size).map(|patch| patch.iter().any(|&place| item[place])));
    flags::<_, E, _>(mask.device(), allowed, (batch, positions / size))
}
