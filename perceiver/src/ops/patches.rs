//! Patches of a grid.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows};

/// Joins the rows of each patch: `(batch, positions, channels)` to `(batch, patches, patch size · channels)`. The grid has
/// these `axes`, which the sizes of a patch divide; in a patch, rows are in the order of the grid.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn patches<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    axes: &[usize],
    patch: &[usize],
) -> Result<Rows<E, D>, D::Err> {
    fn gather<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Rows<E, D, T>,
        places: Tensor<(usize, usize), usize, D>,
        joined: (usize, usize, usize),
    ) -> Result<Rows<E, D, T>, D::Err> {
        let rows: Rows<E, D, T> = rows.try_gather(places)?;
        rows.try_reshape_like(&joined)
    }
    let (batch, count, channels) = *rows.shape();
    let size: usize = patch.iter().product();
    let places = places(axes, patch);
    super::check::<D::Err>(places.len() == count && size > 0)?;
    let joined = (batch, count / size, size * channels);
    let places = places.repeat(batch);
    let places = rows.device().try_tensor_from_vec(places, (batch, count))?;
    with_tape!(record, gather(rows, places, joined))
}

/// The rows of a grid, patch by patch.
pub(crate) fn places(axes: &[usize], patch: &[usize]) -> Vec<usize> {
    // For the axes so far: the rows of each patch.
    let mut all = vec![vec![0]];
    for (&size, &patch) in axes.iter().zip(patch) {
        let mut next = Vec::new();
        for rows in &all {
            for first in (0..size).step_by(patch.max(1)) {
                let along = |row: &usize| {
                    (first..first + patch).map(move |place| row * size + place).collect::<Vec<_>>()
                };
                next.push(rows.iter().flat_map(along).collect());
            }
        }
        all = next;
    }
    all.concat()
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn patches_are_in_the_order_of_the_grid() {
        assert_eq!(places(&[2, 4], &[1, 2]), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(places(&[2, 4], &[2, 2]), [0, 1, 4, 5, 2, 3, 6, 7]);
        assert_eq!(places(&[2, 2, 2], &[2, 1, 1]), [0, 4, 1, 5, 2, 6, 3, 7]);
    }
}
