//! Matrix views and their product: the only file with unsafe code. Its tests also run under Miri (`tests/miri`).
#![allow(unsafe_code)]

use std::ops::Range;

use gemm::Parallelism;

use super::threads::take_part;

/// Below this many multiplications, a second thread costs more than it saves. Lower in tests, whose matrices are small
/// enough for Miri.
const PARALLEL: usize = if cfg!(test) { 1 << 9 } else { 1 << 20 };

/// A matrix view into a slice: row-major, with any stride, or transposed.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct MatRef<'a> {
    /// Starts at the first element and contains all others, as checked by `Shape::fits`.
    data: &'a [f32],
    shape: Shape,
}

/// A mutable matrix view, whose rows do not overlap.
#[derive(Debug)]
pub(in crate::ops) struct MatMut<'a> {
    /// Starts at the first element and contains all others, as checked by `Shape::fits`.
    data: &'a mut [f32],
    /// Columns are contiguous, and rows at least the width apart.
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl Shape {
    /// Whether all elements lie within a slice of length `len`.
    fn fits(self, len: usize) -> bool {
        if self.rows == 0 || self.cols == 0 {
            return true;
        }
        let last_row = (self.rows - 1).checked_mul(self.row_stride);
        let last_col = (self.cols - 1).checked_mul(self.col_stride);
        last_row
            .zip(last_col)
            .and_then(|(row, col)| row.checked_add(col))
            .is_some_and(|last| last < len)
    }
}

impl<'a> MatRef<'a> {
    /// A contiguous `rows` × `cols` matrix.
    pub(in crate::ops) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A `rows` × `cols` matrix, each row starting `stride` after the previous one.
    ///
    /// # Panics
    /// If `data` is too short.
    pub(in crate::ops) fn strided(
        data: &'a [f32],
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Self {
        let shape = Shape { rows, cols, row_stride: stride, col_stride: 1 };
        assert!(shape.fits(data.len()), "{shape:?} exceeds {} elements", data.len());
        Self { data, shape }
    }

    /// Returns some of the rows.
    ///
    /// # Panics
    /// If there are not that many rows.
    pub(in crate::ops) fn rows(self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.shape.rows);
        if rows.is_empty() {
            return Self::new(&[], 0, self.shape.cols);
        }
        let shape = Shape { rows: rows.len(), ..self.shape };
        let data = &self.data[rows.start * self.shape.row_stride..];
        Self { data, shape }
    }

    /// Returns the elements of a row.
    ///
    /// # Panics
    /// If they are not contiguous, or there is no such row.
    pub(in crate::ops) fn row(self, row: usize) -> &'a [f32] {
        assert!(row < self.shape.rows && self.shape.col_stride == 1);
        &self.data[row * self.shape.row_stride..][..self.shape.cols]
    }

    pub(in crate::ops) fn height(self) -> usize {
        self.shape.rows
    }

    pub(in crate::ops) fn width(self) -> usize {
        self.shape.cols
    }

    /// Returns the transposed matrix.
    pub(in crate::ops) fn t(self) -> Self {
        let shape = Shape {
            rows: self.shape.cols,
            cols: self.shape.rows,
            row_stride: self.shape.col_stride,
            col_stride: self.shape.row_stride,
        };
        Self { shape, ..self }
    }
}

impl<'a> MatMut<'a> {
    /// A contiguous `rows` × `cols` matrix.
    pub(in crate::ops) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A `rows` × `cols` matrix, each row starting `stride` after the previous one.
    ///
    /// # Panics
    /// If `data` is too short, or rows overlap.
    pub(in crate::ops) fn strided(
        data: &'a mut [f32],
        rows: usize,
        cols: usize,
        stride: usize,
    ) -> Self {
        let shape = Shape { rows, cols, row_stride: stride, col_stride: 1 };
        assert!(shape.fits(data.len()), "{shape:?} exceeds {} elements", data.len());
        assert!(stride >= cols || rows <= 1, "rows of {shape:?} overlap");
        Self { data, shape }
    }
}

/// What a product does with the existing elements of its destination.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) enum Destination {
    /// Replaces them.
    Overwrite,
    /// Adds the product to them.
    Add,
}

/// Whether a product may use all threads, or is itself a part of the work of one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) enum Threads {
    One,
    All,
}

/// Computes `scale · lhs · rhs` into `out`.
///
/// # Panics
/// If the shapes do not match.
pub(in crate::ops) fn product(
    out: MatMut<'_>,
    destination: Destination,
    scale: f32,
    lhs: MatRef<'_>,
    rhs: MatRef<'_>,
    threads: Threads,
) {
    let (m, n, k) = (out.shape.rows, out.shape.cols, lhs.shape.cols);
    assert_eq!(lhs.shape.rows, m);
    assert_eq!(rhs.shape.cols, n);
    assert_eq!(rhs.shape.rows, k);
    if m == 0 || n == 0 {
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All if m * n * k < PARALLEL => Parallelism::None,
        Threads::All => {
            take_part();
            Parallelism::Rayon(0)
        }
    };
    // A slice has at most `isize::MAX` bytes, and a stride between two elements is no longer than its slice.
    let strides = |shape: Shape| (shape.col_stride as isize, shape.row_stride as isize);
    let (out_cs, out_rs) = strides(out.shape);
    let (lhs_cs, lhs_rs) = strides(lhs.shape);
    let (rhs_cs, rhs_rs) = strides(rhs.shape);
    // SAFETY: `gemm` reads the elements of `lhs` (m × k) and `rhs` (k × n) and writes those of `out` (m × n), each at
    // `row · row_stride + col · col_stride` from the pointer it is given. All of them lie in the slices that the
    // pointers come from: `Shape::fits` was checked when the views were made, and a transposed view has the same
    // elements. The elements of `out` do not overlap each other, which was checked too, and it is borrowed mutably, so
    // they overlap no other slice, and no other thread sees them. The slices outlive the call, and every bit pattern is
    // an `f32`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.data.as_mut_ptr(),
            out_cs,
            out_rs,
            destination == Destination::Add,
            lhs.data.as_ptr(),
            lhs_cs,
            lhs_rs,
            rhs.data.as_ptr(),
            rhs_cs,
            rhs_rs,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element by element, in f64.
    fn naive(lhs: MatRef<'_>, rhs: MatRef<'_>, row: usize, col: usize) -> f64 {
        let at = |m: MatRef<'_>, r, c| {
            f64::from(m.data[r * m.shape.row_stride + c * m.shape.col_stride])
        };
        (0..lhs.shape.cols).map(|k| at(lhs, row, k) * at(rhs, k, col)).sum()
    }

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    #[test]
    fn products_of_all_layouts_are_right_and_leave_the_gaps_alone() {
        let sizes = [(1, 1, 1), (3, 5, 2), (17, 9, 33), (8, 16, 4)];
        for (m, n, k) in sizes {
            for threads in [Threads::One, Threads::All] {
                let (a, b) = (numbers(m * (k + 3), 1), numbers(n * k, 2));
                let lhs = MatRef::strided(&a[2..], m, k, k + 3);
                let rhs = MatRef::new(&b, n, k).t();
                let stride = n + 2;
                let start = numbers((m - 1) * stride + n, 3);
                for destination in [Destination::Overwrite, Destination::Add] {
                    let mut out = start.clone();
                    let view = MatMut::strided(&mut out, m, n, stride);
                    product(view, destination, 0.5, lhs, rhs, threads);
                    for (i, (&found, &before)) in out.iter().zip(&start).enumerate() {
                        let (row, col) = (i / stride, i % stride);
                        let expected = match (col < n, destination) {
                            (false, _) => f64::from(before),
                            (true, Destination::Overwrite) => 0.5 * naive(lhs, rhs, row, col),
                            (true, Destination::Add) => {
                                f64::from(before) + 0.5 * naive(lhs, rhs, row, col)
                            }
                        };
                        assert!((f64::from(found) - expected).abs() < 1e-5);
                    }
                }
            }
        }
    }

    #[test]
    fn empty_products_write_nothing_and_sums_of_nothing_are_zero() {
        let mut out = [];
        let view = MatMut::new(&mut out, 0, 3);
        let (lhs, rhs) = (MatRef::new(&[], 0, 2), MatRef::new(&[0.0; 6], 2, 3));
        product(view, Destination::Overwrite, 1.0, lhs, rhs, Threads::One);
        let mut out = [5.0; 4];
        let view = MatMut::new(&mut out, 2, 2);
        let (lhs, rhs) = (MatRef::new(&[], 2, 0), MatRef::new(&[], 0, 2));
        product(view, Destination::Overwrite, 1.0, lhs, rhs, Threads::One);
        assert_eq!(out, [0.0; 4]);
    }

    #[test]
    #[should_panic(expected = "exceeds 5 elements")]
    fn a_view_beyond_its_slice_cannot_be_made() {
        let _ = MatRef::new(&[0.0; 5], 2, 3);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn a_destination_that_overlaps_itself_cannot_be_made() {
        let _ = MatMut::strided(&mut [0.0; 6], 2, 3, 2);
    }

    #[test]
    #[should_panic(expected = "exceeds 6 elements")]
    fn a_size_that_overflows_cannot_be_made() {
        let _ = MatRef::strided(&[0.0; 6], usize::MAX, 2, usize::MAX);
    }
}
