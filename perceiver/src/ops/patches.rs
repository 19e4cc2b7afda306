//! Patches of a grid, and windows over an image.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows, concat};

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
    let places = places(axes, patch);
    super::check::<D::Err>(places.len() == rows.shape().1)?;
    join(record, rows, &places, patch.iter().product())
}

/// A square window over the two axes of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub size: usize,
    pub stride: usize,
    /// How far it reaches beyond each edge, where there are zeros.
    pub padding: usize,
}

impl Window {
    /// The number of its positions.
    pub const fn area(self) -> usize {
        self.size * self.size
    }

    /// The rows of an image under each place of the window; beyond the edges, the number of rows.
    pub fn places(self, (height, width): (usize, usize)) -> Vec<usize> {
        let row =
            |y: usize, x: usize| match (y.checked_sub(self.padding), x.checked_sub(self.padding)) {
                (Some(y), Some(x)) if y < height && x < width => y * width + x,
                _ => height * width,
            };
        let starts = |axis| (0..self.count(axis)).map(|place| place * self.stride);
        let mut places = Vec::new();
        for top in starts(height) {
            for left in starts(width) {
                for y in top..top + self.size {
                    places.extend((left..left + self.size).map(|x| row(y, x)));
                }
            }
        }
        places
    }

    /// The number of places of the window along an axis of this size; 0 if it does not fit.
    pub const fn count(self, axis: usize) -> usize {
        match axis.saturating_add(2 * self.padding).checked_sub(self.size) {
            Some(rest) => rest / self.stride + 1,
            None => 0,
        }
    }
}

/// Joins the rows under each place of a window: `(batch, positions, channels)` to
/// `(batch, places of the window, window size² · channels)`, both in the order of the image.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn windows<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    mut rows: Rows<E, D>,
    (height, width): (usize, usize),
    window: Window,
) -> Result<Rows<E, D>, D::Err> {
    let (batch, count, channels) = *rows.shape();
    super::check::<D::Err>(count == height * width)?;
    if window.padding > 0 {
        let zeros = rows.device().try_zeros_like(&(batch, 1, channels))?;
        rows = concat(record, rows, zeros)?;
    }
    // The row that is added is the one beyond the edges.
    join(record, rows, &window.places((height, width)), window.area())
}

/// The rows at these places of each item of `(batch, rows, width)`.
///
/// # Errors
/// If there are none, or the device runs out of memory.
pub(crate) fn gather<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    places: &[usize],
) -> Result<Rows<E, D>, D::Err> {
    join(record, rows, places, 1)
}

/// Takes the rows at these places of each item, and joins every `size` of them.
fn join<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    places: &[usize],
    size: usize,
) -> Result<Rows<E, D>, D::Err> {
    fn gather<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Rows<E, D, T>,
        places: Tensor<(usize, usize), usize, D>,
        joined: (usize, usize, usize),
    ) -> Result<Rows<E, D, T>, D::Err> {
        let rows: Rows<E, D, T> = rows.try_gather(places)?;
        rows.try_reshape_like(&joined)
    }
    let (batch, _, channels) = *rows.shape();
    super::check::<D::Err>(size > 0 && !places.is_empty())?;
    let joined = (batch, places.len() / size, size * channels);
    let shape = (batch, places.len());
    let places = rows.device().try_tensor_from_vec(places.repeat(batch), shape)?;
    with_tape!(record, gather(rows, places, joined))
}

/// The largest of every `size` joined rows, channel by channel: `(batch, rows, size · channels)` to
/// `(batch, rows, channels)`.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn largest<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    size: usize,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Rows<E, D, T>,
        size: usize,
    ) -> Result<Rows<E, D, T>, D::Err> {
        let (batch, count, width) = *rows.shape();
        let rows: Tensor<(usize, usize, usize, usize), E, D, T> =
            rows.try_reshape_like(&(batch, count, size, width / size))?;
        rows.try_max::<(usize, usize, usize), Axis<2>>()
    }
    super::check::<D::Err>(size > 0 && rows.shape().2.is_multiple_of(size))?;
    with_tape!(record, plain(rows, size))
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
    use super::*;
    use crate::ops::cpu::compare::{numbers, tensor};

    #[test]
    fn patches_are_in_the_order_of_the_grid() {
        assert_eq!(places(&[2, 4], &[1, 2]), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(places(&[2, 4], &[2, 2]), [0, 1, 4, 5, 2, 3, 6, 7]);
        assert_eq!(places(&[2, 2, 2], &[2, 1, 1]), [0, 4, 1, 5, 2, 6, 3, 7]);
    }

    #[test]
    fn a_window_reaches_beyond_the_edges() {
        let image: Vec<_> = (1..=9).map(f64::from).collect();
        let rows = tensor::<_, f32>((1, 9, 1), &image);
        let window = Window { size: 3, stride: 2, padding: 1 };
        let joined = windows(&mut Record::new(), rows, (3, 3), window).unwrap();
        assert_eq!(*joined.shape(), (1, 4, 9));
        assert_eq!(numbers(&joined)[..9], [0., 0., 0., 0., 1., 2., 0., 4., 5.]);
        let pooled = largest(&mut Record::new(), joined, 9).unwrap();
        assert_eq!(numbers(&pooled), [5., 6., 8., 9.]);
        assert_eq!([2, 3, 5, 224].map(|axis| window.count(axis)), [1, 2, 3, 112]);
    }
}
