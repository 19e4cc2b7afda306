//! `softmax(query · x̂ᵀ) · x̂` without x̂, where x̂ are tokens with position features.
//!
//! A token is `[channels.., features of axis 1.., features of axis 2.., ..]`, and the features of an axis depend only
//! on the index along it. With μ and σ the token's mean and deviation, and its channels normalised, a score is
//!
//! ```text
//! Σ query · channel  +  (Σ over axes of table[axis][index] - μ · Σ query of features) / σ
//! ```
//!
//! where `table[axis] = query of that axis · its featuresᵀ` is small. For what comes out, only sums of weights along
//! each axis are needed, and are multiplied by the features at the end. So the work for a query and a token does not
//! depend on how many bands there are, and encoded tokens are never made.
//!
//! All axes but the last are one run of rows here, and a row goes along the last axis.

mod backward;
mod forward;
mod planes;

use dfdx::prelude::*;

use super::Positioned;
use crate::ops::cpu::matrix::{Destination, MatMut, MatRef, Threads, product};
use crate::ops::cpu::{Scratch, contiguous, gradient, read, with_gradient_of};
use crate::ops::{Record, Rows};
use planes::Planes;

/// Up to how many channels the kernels are made for: more are better off in a matrix product.
const MAX_CHANNELS: usize = 4;

/// How many bytes of planes are gone through for each query before the next: half the first level of a cache.
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

/// Tokens in parts.
#[derive(Debug)]
pub struct Separable {
    /// `(batch, tokens, channels)`, whose gradient this is about.
    channels: Rows<f32, Cpu>,
    axes: Vec<Axis>,
    planes: Planes,
    /// For each item, whether nothing of it may be attended to: all of it is then attended to equally.
    uniform: Vec<bool>,
}

/// The features along an axis.
#[derive(Debug)]
struct Axis {
    size: usize,
    /// `(size, width)`.
    features: Vec<f32>,
    width: usize,
    /// Its first column in a token.
    column: usize,
    /// How many rows there are for each step along it; the last axis is the row, 0.
    stride: usize,
}

impl Axis {
    /// Which of its positions a row has.
    fn index(&self, row: usize) -> usize {
        (row / self.stride) % self.size
    }

    fn features(&self) -> MatRef<'_> {
        MatRef::new(&self.features, self.size, self.width)
    }
}

/// Whether this is the way to do it: with one axis there is nothing to separate.
pub(super) fn applies(tokens: &Positioned<f32, Cpu>) -> bool {
    tokens.features.len() >= 2 && (1..=MAX_CHANNELS).contains(&tokens.channels.shape().2)
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
        let planes = Planes::new(&read(&tokens.channels), &tokens, mask.as_deref(), &uniform);
        Self { channels: tokens.channels, axes, planes, uniform }
    }

    pub(super) fn batch(&self) -> usize {
        self.uniform.len()
    }

    fn channel_count(&self) -> usize {
        self.channels.shape().2
    }

    /// The width of a token.
    pub(super) fn width(&self) -> usize {
        self.channel_count() + self.axes.iter().map(|axis| axis.width).sum::<usize>()
    }

    /// All axes but the last, and it.
    fn split_axes(&self) -> (&[Axis], &Axis) {
        match self.axes.split_last() {
            Some((last, outer)) => (outer, last),
            None => unreachable!("there are two axes or more"),
        }
    }

    /// How many operations an item takes with so many queries, roughly.
    fn operations(&self, queries: usize) -> usize {
        4 * queries * self.planes.row_count() * self.planes.columns()
    }
}

/// For each query, its product with the channels, the features of each position, and their sum.
struct Tables {
    /// For each axis, `(queries, size)`; the last has rows as long as a plane's.
    axes: Vec<Scratch>,
    /// The sum of the factors of all features.
    features: Vec<f32>,
}

impl Tables {
    /// `rows` are `(queries, width)`, and all is multiplied by `scale`.
    fn new(context: &Separable, rows: &[f32], scale: f32) -> Self {
        let width = context.width();
        let count = rows.len() / width;
        let last = context.axes.len() - 1;
        let axes = context.axes.iter().enumerate().map(|(i, axis)| {
            let stride = if i == last { context.planes.columns() } else { axis.size };
            let mut table = Scratch::zeros(count * stride);
            product(
                MatMut::strided(&mut table, count, axis.size, stride),
                Destination::Overwrite,
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

    /// What the axes but the last add up to for a query in a row.
    #[inline(always)]
    fn outer(&self, outer: &[Axis], query: usize, row: usize) -> f32 {
        outer
            .iter()
            .zip(&self.axes)
            .map(|(axis, table)| table[query * axis.size + axis.index(row)])
            .sum()
    }
}

/// Sums over tokens, for each query: what [`Tables`] are the other way round.
struct Sums {
    /// For each axis, of what a token weighs over σ; laid out as tables are.
    axes: Vec<Scratch>,
    /// Of what a token weighs times μ / σ.
    means: Vec<f64>,
    /// Of what a token weighs times each channel, `(queries, channels)`.
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

    /// Adds what they come to, `(queries, width)`, each query's times its factor.
    fn add_to(&self, context: &Separable, out: &mut [f32], factors: impl Fn(usize) -> f64) {
        let (width, channels) = (context.width(), context.channel_count());
        let count = self.means.len();
        let mut rows = Scratch::zeros(count * width);
        for (axis, sums) in context.axes.iter().zip(&self.axes) {
            let stride = sums.len() / count.max(1);
            product(
                MatMut::strided(&mut rows[axis.column..], count, axis.width, width),
                Destination::Overwrite,
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

    /// Multiplies all that has been summed up for a query.
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

    /// Adds those of another part of the tokens.
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

/// `(batch, queries, width)` to the same.
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
