//! The data that the kernels read of each token, laid out for SIMD.

use dfdx::prelude::*;

use crate::ops::context::Positioned;
use crate::ops::cpu::flash::MASKED;
use crate::ops::cpu::for_each;
use crate::ops::cpu::matrix::MatRef;
use crate::ops::layer_norm::EPSILON;

/// Rows are padded to a multiple of this: no SIMD vector has more lanes.
pub(crate) const LANES: usize = 16;

/// The number of planes before the channels.
pub(crate) const FIXED: usize = 3;

/// For each item and row, the planes 1 / σ, μ / σ, score bias and each normalised channel, where μ and σ are the mean
/// and standard deviation of each token.
#[derive(Debug)]
pub(super) struct Planes {
    data: Vec<f32>,
    rows: usize,
    columns: usize,
    /// The number of columns that are tokens; the others are padding with weight 0.
    used: usize,
    channels: usize,
}

/// The planes of one row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a, const CHANNELS: usize> {
    pub inverse: &'a [f32],
    pub mean: &'a [f32],
    pub bias: &'a [f32],
    pub channels: [&'a [f32]; CHANNELS],
}

impl Planes {
    /// Computes the planes of tokens, whose channels are contiguous.
    pub(super) fn new(
        tokens: &Positioned<f32, Cpu>,
        mask: Option<&[bool]>,
        uniform: &[bool],
    ) -> Self {
        let (batch, count, channels) = *tokens.channels.shape();
        let used = tokens.axes.last().copied().unwrap_or(1);
        let rows = count / used;
        let columns = used.next_multiple_of(LANES);
        let statistics: Vec<Vec<(f64, f64)>> =
            (0..tokens.axes.len()).map(|axis| sums(tokens, axis)).collect();
        let width: usize =
            channels + (0..tokens.axes.len()).map(|axis| tokens.feature_width(axis)).sum::<usize>();
        let row_length = (FIXED + channels) * columns;
        let of_row = |i: usize, numbers: &[f32], planes: &mut [f32]| {
            let (item, row) = (i / rows, i % rows);
            // The sums over the features of all axes but the last.
            let mut position = row;
            let mut outer = (0.0, 0.0);
            for (sums, &size) in statistics.iter().zip(&tokens.axes).rev().skip(1) {
                let (sum, squares) = sums[position % size];
                outer = (outer.0 + sum, outer.1 + squares);
                position /= size;
            }
            let last = &statistics[statistics.len() - 1];
            for column in 0..columns {
                let mut set = |plane: usize, value: f32| planes[plane * columns + column] = value;
                if column >= used {
                    (0..FIXED + channels).for_each(|plane| set(plane, 0.0));
                    set(0, 1.0);
                    set(2, MASKED);
                    continue;
                }
                let token = i * used + column;
                let channels = &numbers[column * channels..][..channels];
                let features = (outer.0 + last[column].0, outer.1 + last[column].1);
                let (mean, inverse) = normalisation(channels, features, width);
                set(0, inverse as f32);
                set(1, (mean * inverse) as f32);
                let is_masked = mask.is_some_and(|mask| !mask[token]) && !uniform[item];
                set(2, if is_masked { MASKED } else { 0.0 });
                for (channel, &x) in channels.iter().enumerate() {
                    set(FIXED + channel, ((f64::from(x) - mean) * inverse) as f32);
                }
            }
        };
        let mut data = vec![0.0; batch * rows * row_length];
        // The numbers are copied into what their planes will replace, so that there is one such buffer. They end before the planes
        // of the last rows begin: those are computed first, then the last ones of the rest, and so on.
        let length = used * channels;
        tokens.channels.copy_into(&mut data[..batch * count * channels]);
        let mut end = batch * rows;
        loop {
            let start = (end * length).div_ceil(row_length);
            if start >= end {
                break;
            }
            let (numbers, planes) = data.split_at_mut(start * row_length);
            let numbers = &numbers[start * length..end * length];
            let planes = planes.chunks_exact_mut(row_length).zip(numbers.chunks_exact(length));
            for_each(planes.enumerate(), |(i, (planes, numbers))| {
                of_row(start + i, numbers, planes);
            });
            end = start;
        }
        for i in (0..end).rev() {
            let numbers = data[i * length..][..length].to_vec();
            of_row(i, &numbers, &mut data[i * row_length..][..row_length]);
        }
        Self { data, rows, columns, used, channels }
    }

    pub(super) fn row_count(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The number of rows whose planes fit in `bytes`, at least 1.
    pub(super) fn rows_in(&self, bytes: usize) -> usize {
        (bytes / ((FIXED + self.channels) * self.columns * size_of::<f32>())).max(1)
    }

    /// The normalised channels of one row, `(channels, columns)`.
    pub(super) fn channels(&self, item: usize, row: usize) -> MatRef<'_> {
        let channels = &self.planes(item, row)[FIXED * self.columns..];
        MatRef::new(channels, self.channels, self.columns)
    }

    fn planes(&self, item: usize, row: usize) -> &[f32] {
        let length = (FIXED + self.channels) * self.columns;
        &self.data[(item * self.rows + row) * length..][..length]
    }

    /// The planes of one row, with the first of the channels.
    pub(super) fn row<const CHANNELS: usize>(&self, item: usize, row: usize) -> Row<'_, CHANNELS> {
        let planes = self.planes(item, row);
        let plane = |plane: usize| &planes[plane * self.columns..][..self.columns];
        Row {
            inverse: plane(0),
            mean: plane(1),
            bias: plane(2),
            channels: std::array::from_fn(|channel| plane(FIXED + channel)),
        }
    }
}

/// For each position of an axis, the sum of its features and of their squares.
fn sums(tokens: &Positioned<f32, Cpu>, axis: usize) -> Vec<(f64, f64)> {
    tokens.features[axis]
        .chunks(tokens.feature_width(axis).max(1))
        .map(|features| {
            let squares = features.iter().map(|x| x * x).sum();
            (features.iter().sum(), squares)
        })
        .collect()
}

/// Returns the mean of a token and the inverse of its standard deviation. In f64, where the difference of squares has
/// digits to spare.
fn normalisation(channels: &[f32], features: (f64, f64), width: usize) -> (f64, f64) {
    let (mut sum, mut squares) = features;
    for &x in channels {
        let x = f64::from(x);
        sum += x;
        squares += x * x;
    }
    let mean = sum / width as f64;
    let variance = (squares / width as f64 - mean * mean).max(0.0);
    (mean, 1.0 / (variance + EPSILON).sqrt())
}
