//! Frames, the motion between them, and the input made of them.

use std::ops::{Index, IndexMut};

/// A grid of values, row by row.
#[derive(Clone, Debug)]
pub struct Grid<T> {
    pub height: usize,
    pub width: usize,
    pub values: Vec<T>,
}

/// Red, green and blue, from -1 to 1.
pub type Frame = Grid<[f32; 3]>;

/// How far each pixel of the first frame moves until the second: to the right and down, in pixels.
pub type Motion = Grid<[f32; 2]>;

/// Two frames of a scene, one after the other.
#[derive(Clone, Debug)]
pub struct Pair {
    pub first: Frame,
    pub second: Frame,
}

impl<T: Copy> Grid<T> {
    /// Fills a grid with a function of the row and the column.
    pub fn from_fn(height: usize, width: usize, mut value: impl FnMut(usize, usize) -> T) -> Self {
        let cells = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        Self { height, width, values: cells.map(|(row, column)| value(row, column)).collect() }
    }

    /// The value at a row and a column, unless they are outside.
    pub fn get(&self, row: isize, column: isize) -> Option<T> {
        let (row, column) = (usize::try_from(row).ok()?, usize::try_from(column).ok()?);
        (row < self.height && column < self.width).then(|| self[(row, column)])
    }
}

impl<T> Index<(usize, usize)> for Grid<T> {
    type Output = T;

    fn index(&self, (row, column): (usize, usize)) -> &T {
        &self.values[row * self.width + column]
    }
}

impl<T> IndexMut<(usize, usize)> for Grid<T> {
    fn index_mut(&mut self, (row, column): (usize, usize)) -> &mut T {
        &mut self.values[row * self.width + column]
    }
}

impl Pair {
    /// The input of a model declared like [`perceiver::presets::Flow`]: for each pixel of each frame, the 3 × 3 pixels
    /// around it, with zeros outside of the frame.
    pub fn patches(&self) -> impl Iterator<Item = f32> {
        [&self.first, &self.second].into_iter().flat_map(Frame::patches)
    }
}

impl Frame {
    fn patches(&self) -> impl Iterator<Item = f32> {
        let cells = (0..self.height as isize)
            .flat_map(|row| (0..self.width as isize).map(move |column| (row, column)));
        let around = |(row, column)| (0..9).map(move |i| (row + i / 3 - 1, column + i % 3 - 1));
        cells.flat_map(around).flat_map(|(row, column)| self.get(row, column).unwrap_or_default())
    }
}

impl Motion {
    /// The mean distance between the ends of the motion vectors, in pixels.
    pub fn end_point_error(&self, truth: &Self) -> f32 {
        let pairs = self.values.iter().zip(&truth.values);
        let errors = pairs.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]));
        errors.sum::<f32>() / self.values.len() as f32
    }
}
