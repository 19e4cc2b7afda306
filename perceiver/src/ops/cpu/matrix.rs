//! Matrix views.

use std::ops::Range;

/// A matrix view into a slice: row-major, with any stride, or transposed.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct MatRef<'a> {
    /// Starts at the first element and contains all others, as checked by `Shape::fits`.
    data: &'a [f32],
    shape: Shape,
}

/// A mutable matrix view: its rows.
#[derive(Debug)]
pub(in crate::ops) struct MatMut<'a> {
    rows: Vec<&'a mut [f32]>,
    width: usize,
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

    /// Returns some of the columns.
    ///
    /// # Panics
    /// If there are not that many columns.
    pub(in crate::ops) fn columns(self, columns: Range<usize>) -> Self {
        self.t().rows(columns).t()
    }

    /// Whether the elements of a row are next to each other.
    pub(super) fn is_row_contiguous(self) -> bool {
        self.shape.col_stride == 1
    }

    /// Returns an element.
    #[cfg(test)]
    pub(super) fn at(self, row: usize, col: usize) -> f32 {
        self.data[row * self.shape.row_stride + col * self.shape.col_stride]
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
        let rows = match cols {
            0 => (0..rows).map(|_| Default::default()).collect(),
            _ => data.chunks_mut(stride.max(cols)).take(rows).map(|row| &mut row[..cols]).collect(),
        };
        Self { rows, width: cols }
    }

    pub(super) fn height(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn rows_mut(&mut self) -> &mut [&'a mut [f32]] {
        &mut self.rows
    }

    /// Splits the matrix into parts of `width` columns, of which the last may have fewer.
    pub(super) fn split_columns(self, width: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        for first in (0..self.width).step_by(width) {
            let width = width.min(self.width - first);
            parts.push(Self { rows: Vec::with_capacity(self.rows.len()), width });
        }
        for row in self.rows {
            for (part, row) in parts.iter_mut().zip(row.chunks_mut(width)) {
                part.rows.push(row);
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_matrix_are_where_they_are_meant() {
        let numbers: Vec<f32> = (0..20_u8).map(f32::from).collect();
        let matrix = MatRef::strided(&numbers, 4, 3, 5);
        assert_eq!(matrix.row(2), [10.0, 11.0, 12.0]);
        assert_eq!(matrix.rows(1..3).columns(1..3).row(1), [11.0, 12.0]);
        assert_eq!(matrix.t().rows(1..3).at(1, 3), 17.0);
        assert_eq!(matrix.rows(2..2).height(), 0);
        assert_eq!(matrix.columns(3..3).t().height(), 0);

        let mut out = [0.0; 11];
        let mut matrix = MatMut::strided(&mut out, 3, 3, 4);
        matrix.rows_mut()[1].fill(1.0);
        let mut parts = matrix.split_columns(2);
        parts[1].rows_mut()[2][0] = 2.0;
        assert_eq!((parts.len(), parts[0].width(), parts[1].width()), (2, 2, 1));
        assert_eq!(out, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 2.0]);
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
