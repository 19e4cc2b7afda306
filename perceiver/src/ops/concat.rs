//! Rows after rows.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Mask, Record, Rows};

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
        // As numbers, which every dfdx device accepts; the comparison turns them into `bool`s.
        let number = |allowed: bool| if allowed { E::ONE } else { E::default() };
        let rows = mask.as_vec();
        let rows = rows.chunks(keys).flat_map(|row| {
            row.iter().map(|allowed| number(*allowed)).chain((0..count).map(|_| E::ONE))
        });
        let mask = mask.device().try_tensor_from_vec(rows.collect(), (batch, keys + count))?;
        let mask = mask.try_gt(E::default())?;
        Ok(Self::Keys(mask))
    }
}
