//! `softmax(query · x̂ᵀ) · x̂` without materialising x̂, the normalised tokens with position features.
//!
//! A token is `[channels.., features of axis 1.., features of axis 2.., ..]`, and the features of an axis depend only
//! on the index along it. With μ and σ the mean and standard deviation of the token, and its channels normalised, a
//! score is
//!
//! ```text
//! Σ query · channel  +  (Σ over axes of table[axis][index] - μ · Σ query of features) / σ
//! ```
//!
//! where `table[axis] = query of that axis · its featuresᵀ` is small. The result only needs the sums of weights along
//! each axis, which are multiplied by the features at the end. So the work for a query and a token does not depend on
//! the number of bands, and encoded tokens are never materialised.
//!
//! All axes but the last are flattened into rows here; a row runs along the last axis.

mod backward;
pub(crate) mod forward;
pub(crate) mod planes;
pub(crate) mod wide;

use dfdx::prelude::*;

use super::Positioned;
use crate::ops::cpu::matrix::{MatMut, MatRef};
use crate::ops::cpu::product::{Addend, Threads, product};
use crate::ops::cpu::{Scratch, contiguous, gradient, read, with_gradient_of};
use crate::ops::{Record, Rows};
use crate::spec::Heads;
use planes::Planes;

/// The largest number of channels that the kernels are compiled for. With more, matrix products are better: the forward pass of
/// [`wide`], which has no backward pass.
pub(crate) const MAX_CHANNELS: usize = 4;

/// The number of bytes of planes to process for one query before the next: half of an L1 cache.
const BLOCK: usize = 16 * 1024;

const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// Calls a function that is generic over the number of channels.
macro_rules! with_channels {
    ($channels:expr, $function:ident $arguments:tt) => {
        match $channels {
            1 => $function::<1> $arguments,
            2 => $function::<2> $arguments,
            3 => $function::<3> $arguments,
            4 => $function::<4> $arguments,
            more => unreachable!("no kernel for {more} channels"),
        }
    };
}
use with_channels;

/// Tokens, separated into channels and the features of each axis.
#[derive(Debug)]
pub struct Separable {
    /// `(batch, tokens, channels)`, which gradients are computed for.
    channels: Rows<f32, Cpu>,
    axes: Vec<Axis>,
    planes: Planes,
    /// For each item, whether all of its tokens are masked: attention to them is then uniform.
    uniform: Vec<bool>,
}

/// The features along an axis.
#[derive(Debug)]
struct Axis {
    size: usize,
    /// `(size, width)`.
    features: Vec<f32>,
    width: usize,
    /// The column of its first feature in a token.
    column: usize,
    /// The number of rows for each step along the axis; unused for the last axis, which runs along a row.
    stride: usize,
}

impl Axis {
    /// The position of a row along the axis.
    fn index(&self, row: usize) -> usize {
        (row / self.stride) % self.size
    }

    fn features(&self) -> MatRef<'_> {
        MatRef::new(&self.features, self.size, self.width)
    }
}

/// Whether tokens can be separated: with one axis, there is nothing to separate.
pub(super) fn applies(tokens: &Positioned<f32, Cpu>) -> bool {
    tokens.features.len() >= 2 && tokens.channels.shape().2 >= 1
}

/// Whether it takes fewer operations to attend to this many channels, once for each head, than to keys and values of all tokens.
pub(crate) const fn is_better(channels: usize, heads: Heads) -> bool {
    channels <= MAX_CHANNELS
        || channels.saturating_mul(2) <= heads.dim.saturating_add(heads.value_dim)
}

impl Separable {
    pub(super) fn new(tokens: Positioned<f32, Cpu>) -> Self {
        let (batch, count, channels) = *tokens.channels.shape();
        let last = tokens.axes.len() - 1;
        let mut column = channels;
        let axes: Vec<Axis> = (0..=last)
            .map(|axis| {
                let width = tokens.feature_width(axis);
                column += width;
                Axis {
                    size: tokens.axes[axis],
                    features: tokens.features[axis].iter().map(|&x| x as f32).collect(),
                    width,
                    column: column - width,
                    stride: tokens.axes[axis + 1..last.max(axis + 1)].iter().product(),
                }
            })
            .collect();
        let mask = tokens.mask.as_ref().map(Tensor::as_vec);
        let uniform: Vec<bool> = (0..batch)
            .map(|item| {
                mask.as_ref().is_some_and(|mask| !mask[item * count..][..count].contains(&true))
            })
            .collect();
        let planes = Planes::new(&tokens, mask.as_deref(), &uniform);
        Self { channels: tokens.channels, axes, planes, uniform }
    }

    pub(super) fn batch(&self) -> usize {
        self.uniform.len()
    }

    /// The number of tokens of an item.
    #[cfg(test)]
    pub(super) fn tokens(&self) -> usize {
        self.channels.shape().1
    }

    /// The factor of the scores of an item, as base-2 exponents. If everything is masked, all are 0.
    fn score_scale(&self, item: usize) -> f32 {
        if self.uniform[item] { 0.0 } else { LOG2_E }
    }

    fn channel_count(&self) -> usize {
        self.channels.shape().2
    }

    /// The width of a token.
    pub(super) fn width(&self) -> usize {
        self.channel_count() + self.axes.iter().map(|axis| axis.width).sum::<usize>()
    }

    /// All axes but the last, and the last axis.
    fn split_axes(&self) -> (&[Axis], &Axis) {
        match self.axes.split_last() {
            Some((last, outer)) => (outer, last),
            None => unreachable!("there are two axes or more"),
        }
    }

    /// The approximate number of operations for one item and this many queries.
    fn operations(&self, queries: usize) -> usize {
        (4 + self.channel_count() / 4) * queries * self.planes.row_count() * self.planes.columns()
    }
}

/// For each query, its products with the features of each position, and the sum of its factors.
struct Tables {
    /// For each axis, `(queries, size)`; for the last axis, with rows as long as those of a plane.
    axes: Vec<Scratch>,
    /// The sum of the factors of all features, for each query.
    features: Vec<f32>,
}

impl Tables {
    /// Computes the tables of `rows`, `(queries, width)`, with everything multiplied by `scale`.
    fn new(context: &Separable, rows: &[f32], scale: f32) -> Self {
        let width = context.width();
        let count = rows.len() / width;
        let last = context.axes.len() - 1;
        let axes = context.axes.iter().enumerate().map(|(i, axis)| {
            let stride = if i == last { context.planes.columns() } else { axis.size };
            let mut table = Scratch::zeros(count * stride);
            product(
                MatMut::strided(&mut table, count, axis.size, stride),
                Addend::Nothing,
                scale,
                MatRef::strided(&rows[axis.column..], count, axis.width, width),
                axis.features().t(),
                Threads::One,
            );
            table
        });
        let channels = context.channel_count();
        Self {
            axes: axes.collect(),
            features: rows
                .chunks_exact(width)
                .map(|row| row[channels..].iter().sum::<f32>() * scale)
                .collect(),
        }
    }

    /// The sum over all axes but the last, for one query and row.
    #[inline(always)]
    fn outer(&self, outer: &[Axis], query: usize, row: usize) -> f32 {
        outer
            .iter()
            .zip(&self.axes)
            .map(|(axis, table)| table[query * axis.size + axis.index(row)])
            .sum()
    }
}

/// Sums over tokens, for each query: the inverse direction of [`Tables`].
struct Sums {
    /// For each axis, the sums of weight / σ, laid out like the tables.
    axes: Vec<Scratch>,
    /// The sums of weight · μ / σ.
    means: Vec<f64>,
    /// The sums of weight · channel, `(queries, channels)`.
    channels: Vec<f64>,
}

impl Sums {
    fn new(context: &Separable, queries: usize) -> Self {
        let last = context.axes.len() - 1;
        let axes = context.axes.iter().enumerate().map(|(i, axis)| {
            let stride = if i == last { context.planes.columns() } else { axis.size };
            Scratch::zeros(queries * stride)
        });
        Self {
            axes: axes.collect(),
            means: vec![0.0; queries],
            channels: vec![0.0; queries * context.channel_count()],
        }
    }

    /// Adds the resulting rows, `(queries, width)`, to `out`, each multiplied by its query's factor.
    fn add_to(&self, context: &Separable, out: &mut [f32], factors: impl Fn(usize) -> f64) {
        let (width, channels) = (context.width(), context.channel_count());
        let count = self.means.len();
        let mut rows = Scratch::zeros(count * width);
        for (axis, sums) in context.axes.iter().zip(&self.axes) {
            let stride = sums.len() / count.max(1);
            product(
                MatMut::strided(&mut rows[axis.column..], count, axis.width, width),
                Addend::Nothing,
                1.0,
                MatRef::strided(sums, count, axis.size, stride),
                axis.features(),
                Threads::One,
            );
        }
        let rows = rows.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for (query, (row, out)) in rows.enumerate() {
            let factor = factors(query);
            for (channel, out) in out[..channels].iter_mut().enumerate() {
                *out += (factor * self.channels[query * channels + channel]) as f32;
            }
            for (&x, out) in row[channels..].iter().zip(&mut out[channels..]) {
                *out += (factor * (f64::from(x) - self.means[query])) as f32;
            }
        }
    }

    /// Multiplies all sums of a query by `factor`.
    #[cold]
    fn rescale(&mut self, query: usize, factor: f32) {
        let count = self.means.len();
        self.means[query] *= f64::from(factor);
        let channels = self.channels.len() / count;
        for sum in &mut self.channels[query * channels..][..channels] {
            *sum *= f64::from(factor);
        }
        for sums in &mut self.axes {
            let size = sums.len() / count;
            for sum in &mut sums[query * size..][..size] {
                *sum *= factor;
            }
        }
    }

    /// Adds the sums over another part of the tokens.
    fn add(&mut self, other: &Self) {
        for (sums, terms) in self.axes.iter_mut().zip(&other.axes) {
            for (sum, term) in sums.iter_mut().zip(&**terms) {
                *sum += term;
            }
        }
        for (sum, term) in self.means.iter_mut().zip(&other.means) {
            *sum += term;
        }
        for (sum, term) in self.channels.iter_mut().zip(&other.channels) {
            *sum += term;
        }
    }
}

/// Maps `(batch, queries, width)` to the same shape.
pub(super) fn attend(
    record: &mut Record<f32, Cpu>,
    query: Rows<f32, Cpu>,
    context: &std::sync::Arc<Separable>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let query = contiguous(record, &query)?;
    let shape = *query.shape();
    let mut out = vec![0.0; query.shape().num_elements()];
    let mut log_sums = vec![0.0; shape.0 * shape.1];
    forward::run(context, &read(&query), shape.1, &mut out, &mut log_sums);
    let out = query.device().try_tensor_from_vec(out, shape)?;

    let result = out.clone();
    let context = std::sync::Arc::clone(context);
    record.add(move |gradients| {
        with_gradient_of(gradients, &out, |d_out, gradients| {
            let (query_numbers, out) = (read(&query), read(&out));
            let mut d_query = Scratch::zeros(d_out.len());
            let saved = backward::Saved {
                query: &query_numbers,
                queries: shape.1,
                out: &out,
                log_sums: &log_sums,
                d_out,
            };
            let d_channels = gradient(gradients, &context.channels)?;
            backward::run(&context, &saved, &mut d_query, d_channels);
            for (sum, term) in gradient(gradients, &query)?.iter_mut().zip(&*d_query) {
                *sum += term;
            }
            Ok(())
        })
    });
    Ok(result)
}
