//! The right-hand side of a product, in the order in which the kernel reads it.

use std::ops::Range;

use super::Threads;
use super::bytes::Bytes;
use super::kernel::{self, LINE};
use super::rounded::{Numbers, Rounded};
use crate::ops::WeightPrecision;
use crate::ops::cpu::matrix::MatRef;
use crate::ops::cpu::{Scratch, for_each};

/// A matrix as strips of columns, each of which has its rows one after another. The last one is padded with zeros.
#[derive(Debug)]
pub(in crate::ops) struct Panels<B = Vec<f32>> {
    numbers: Stored<B>,
    depth: usize,
    width: usize,
    panel_width: usize,
}

#[derive(Debug)]
enum Stored<B> {
    F32 {
        buffer: B,
        /// Where the first panel is in the buffer.
        start: usize,
    },
    Rounded(Rounded),
    Bytes(Bytes),
}

/// Borrowed panels.
#[derive(Clone, Copy, Debug)]
pub(super) struct PanelsRef<'a> {
    numbers: NumbersRef<'a>,
    depth: usize,
    panel_width: usize,
}

#[derive(Clone, Copy, Debug)]
enum NumbersRef<'a> {
    F32(&'a [f32]),
    Rounded(&'a Rounded),
    Bytes(&'a Bytes),
}

impl Panels {
    /// Lays out a matrix for as long as it is needed.
    pub(in crate::ops) fn new(matrix: MatRef<'_>, precision: WeightPrecision) -> Self {
        let (depth, width, panel_width) = (matrix.height(), matrix.width(), kernel::panel_width());
        if precision == WeightPrecision::Int8Dynamic
            && let Some(bytes) = Bytes::new(matrix)
        {
            return Self { numbers: Stored::Bytes(bytes), depth, width, panel_width };
        }
        let columns = width.next_multiple_of(panel_width);
        let Some(mut rounded) = Rounded::zeros(precision, depth * columns, columns) else {
            return Self::with_buffer(matrix, |len| vec![0.0; len], Threads::All);
        };
        let mut panel = vec![0.0; depth * panel_width];
        for (i, first) in (0..width).step_by(panel_width).enumerate() {
            let columns = first..(first + panel_width).min(width);
            kernel::lay_out(&mut panel, panel_width, matrix.columns(columns));
            rounded.set(i, &panel, panel_width);
        }
        Self { numbers: Stored::Rounded(rounded), depth, width, panel_width }
    }

    /// Returns the matrix, column by column.
    pub(in crate::ops) fn transposed(&self) -> Vec<f32> {
        let (depth, panel_width) = (self.depth, self.panel_width);
        if let Stored::Bytes(bytes) = &self.numbers {
            let column = |column| (0..depth).map(move |row| bytes.at(row, column));
            return (0..self.width).flat_map(column).collect();
        }
        let mut panel = vec![0.0; depth * panel_width];
        let mut numbers = vec![0.0; depth * self.width];
        for (i, columns) in numbers.chunks_mut((depth * panel_width).max(1)).enumerate() {
            kernel::widen(self.view().panel(i, 0..depth), &mut panel);
            for (column, numbers) in columns.chunks_exact_mut(depth).enumerate() {
                for (number, row) in numbers.iter_mut().zip(panel.chunks_exact(panel_width)) {
                    *number = row[column];
                }
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
        Self { numbers: Stored::F32 { buffer, start }, depth, width, panel_width }
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
        let numbers = match &self.numbers {
            Stored::F32 { buffer, start } => NumbersRef::F32(&buffer.as_ref()[*start..]),
            Stored::Rounded(rounded) => NumbersRef::Rounded(rounded),
            Stored::Bytes(bytes) => NumbersRef::Bytes(bytes),
        };
        PanelsRef { numbers, depth, panel_width }
    }
}

impl<'a> PanelsRef<'a> {
    /// Panels that are multiplied in another way.
    pub(super) fn bytes(self) -> Option<&'a Bytes> {
        match self.numbers {
            NumbersRef::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn is_f32(self) -> bool {
        matches!(self.numbers, NumbersRef::F32(_))
    }

    /// Some of the rows of a panel.
    pub(super) fn panel(self, panel: usize, rows: Range<usize>) -> Numbers<'a> {
        let (len, width) = (self.depth * self.panel_width, self.panel_width);
        let panel = match self.numbers {
            NumbersRef::F32(numbers) => Numbers::F32(&numbers[panel * len..][..len]),
            NumbersRef::Rounded(rounded) => rounded.panel(panel, len, width),
            NumbersRef::Bytes(_) => unreachable!("bytes are multiplied in another way"),
        };
        panel.part(rows.start * width, rows.len() * width)
    }
}
