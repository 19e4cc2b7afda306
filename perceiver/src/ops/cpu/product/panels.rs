//! The right-hand side of a product, in the order in which the kernel reads it.

use std::ops::Range;

use super::Threads;
use super::kernel::{self, LINE};
use crate::ops::cpu::matrix::MatRef;
use crate::ops::cpu::{Scratch, for_each};

/// A matrix as strips of columns, each of which has its rows one after another. The last one is padded with zeros.
#[derive(Debug)]
pub(in crate::ops) struct Panels<B = Vec<f32>> {
    buffer: B,
    /// Where the first panel is in the buffer.
    start: usize,
    depth: usize,
    width: usize,
    panel_width: usize,
}

/// Borrowed panels.
#[derive(Clone, Copy, Debug)]
pub(super) struct PanelsRef<'a> {
    numbers: &'a [f32],
    depth: usize,
    panel_width: usize,
}

impl Panels {
    /// Lays out a matrix for as long as it is needed.
    pub(in crate::ops) fn new(matrix: MatRef<'_>) -> Self {
        Self::with_buffer(matrix, |len| vec![0.0; len], Threads::All)
    }

    /// Returns the matrix, column by column.
    pub(in crate::ops) fn transposed(&self) -> Vec<f32> {
        let view = self.view();
        let mut numbers = vec![0.0; self.depth * self.width];
        for (i, column) in numbers.chunks_exact_mut(self.depth.max(1)).enumerate() {
            let panel = view.panel(i / self.panel_width, 0..self.depth);
            let rows = panel.chunks_exact(self.panel_width);
            for (number, row) in column.iter_mut().zip(rows) {
                *number = row[i % self.panel_width];
            }
        }
        numbers
    }
}

impl Panels<Scratch> {
    /// Lays out a matrix for one product.
    pub(super) fn in_scratch(matrix: MatRef<'_>, threads: Threads) -> Self {
        Self::with_buffer(matrix, Scratch::new, threads)
    }
}

impl<B: AsRef<[f32]> + AsMut<[f32]>> Panels<B> {
    fn with_buffer(matrix: MatRef<'_>, buffer: impl FnOnce(usize) -> B, threads: Threads) -> Self {
        let (depth, width, panel_width) = (matrix.height(), matrix.width(), kernel::panel_width());
        let len = depth * width.next_multiple_of(panel_width);
        let mut buffer = buffer(len + LINE - 1);
        // Loads across two cache lines take twice as long, which is all that happens if an address cannot be aligned.
        let start = buffer.as_ref().as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
        let numbers = &mut buffer.as_mut()[start..start + len];
        let pack = |(i, panel): (usize, &mut [f32])| {
            let first = i * panel_width;
            let columns = first..(first + panel_width).min(width);
            kernel::lay_out(panel, panel_width, matrix.columns(columns));
        };
        let size = (depth * panel_width).max(1);
        match threads {
            Threads::One => numbers.chunks_exact_mut(size).enumerate().for_each(pack),
            Threads::All => for_each(numbers.chunks_exact_mut(size).enumerate(), pack),
        }
        Self { buffer, start, depth, width, panel_width }
    }
}

impl<B: AsRef<[f32]>> Panels<B> {
    /// The number of rows.
    pub(in crate::ops) fn depth(&self) -> usize {
        self.depth
    }

    /// The number of columns.
    pub(in crate::ops) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn view(&self) -> PanelsRef<'_> {
        let Self { depth, panel_width, .. } = *self;
        let numbers = &self.buffer.as_ref()[self.start..];
        PanelsRef { numbers, depth, panel_width }
    }
}

impl<'a> PanelsRef<'a> {
    /// Some of the rows of a panel.
    pub(super) fn panel(self, panel: usize, rows: Range<usize>) -> &'a [f32] {
        let panel = &self.numbers[panel * self.depth * self.panel_width..];
        &panel[rows.start * self.panel_width..rows.end * self.panel_width]
    }
}
