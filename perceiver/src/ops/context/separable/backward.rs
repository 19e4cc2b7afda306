//! The backward pass: attention weights are recomputed from the saved sums, for all queries and a few rows at a time.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::{BLOCK, LOG2_E, Separable, Sums, Tables, with_channels};
use crate::ops::cpu::math::exp2;
use crate::ops::cpu::{Scratch, for_each, map, parts};

/// The inputs and results of the forward pass, and the gradient of its output.
pub(super) struct Saved<'a> {
    pub query: &'a [f32],
    pub queries: usize,
    pub out: &'a [f32],
    pub log_sums: &'a [f32],
    pub d_out: &'a [f32],
}

/// Accumulates the gradients of the queries and the channels.
pub(super) fn run(
    context: &Separable,
    saved: &Saved<'_>,
    d_query: &mut [f32],
    d_channels: &mut [f32],
) {
    if saved.queries == 0 {
        return;
    }
    let items = d_query
        .chunks_mut(saved.queries * context.width())
        .zip(d_channels.chunks_mut(d_channels.len() / context.batch()))
        .enumerate();
    for_each(items, |(item, (d_query, d_channels))| {
        with_channels!(
            context.channel_count(),
            run_item(context, saved, item, d_query, d_channels)
        );
    });
}

fn run_item<const CHANNELS: usize>(
    context: &Separable,
    saved: &Saved<'_>,
    item: usize,
    d_query: &mut [f32],
    d_channels: &mut [f32],
) {
    let uniform = context.uniform[item];
    let width = context.width();
    let range = item * saved.queries * width..(item + 1) * saved.queries * width;
    let (query, d_out) = (&saved.query[range.clone()], &saved.d_out[range.clone()]);
    let scale = if uniform { 0.0 } else { 1.0 };
    let (scores, weights) = (Tables::new(context, query, scale), Tables::new(context, d_out, 1.0));
    let out = saved.out[range].chunks_exact(width);
    let factors: Vec<Factors<CHANNELS>> = query
        .chunks_exact(width)
        .zip(d_out.chunks_exact(width).zip(out))
        .enumerate()
        .map(|(i, (query, (d_out, out)))| Factors {
            query: std::array::from_fn(|channel| query[channel] * scale),
            query_sum: query.iter().sum::<f32>() * scale,
            d_out: std::array::from_fn(|channel| d_out[channel]),
            d_out_sum: d_out.iter().sum(),
            log_sum: saved.log_sums[item * saved.queries + i],
            delta: out.iter().zip(d_out).map(|(x, y)| x * y).sum(),
        })
        .collect();

    let planes = &context.planes;
    let threads = parts(3 * context.operations(saved.queries));
    let rows = planes.row_count().div_ceil(threads).max(1);
    let sums: Vec<Sums> = map(
        d_channels.chunks_mut(rows * planes.used() * CHANNELS).enumerate(),
        |(i, d_channels)| {
            let first = i * rows;
            let mut pass = Pass {
                context,
                item,
                rows: first..(first + rows).min(planes.row_count()),
                scores: &scores,
                weights: &weights,
                factors: &factors,
                sums: Sums::new(context, saved.queries),
                d_channels,
            };
            Arch::new().dispatch(&mut pass);
            pass.sums
        },
    );
    // Uniform scores do not depend on the queries and have no gradient.
    if !uniform {
        let mut sums = sums.into_iter();
        if let Some(mut total) = sums.next() {
            sums.for_each(|part| total.add(&part));
            total.add_to(context, d_query, |_| 1.0);
        }
    }
}

/// The factors from a query and from the gradient of its output.
struct Factors<const CHANNELS: usize> {
    query: [f32; CHANNELS],
    /// The sum over the whole width.
    query_sum: f32,
    d_out: [f32; CHANNELS],
    /// The sum over the whole width.
    d_out_sum: f32,
    log_sum: f32,
    /// The sum of the gradient times the output.
    delta: f32,
}

/// All queries of an item, for some of its rows.
struct Pass<'a, const CHANNELS: usize> {
    context: &'a Separable,
    item: usize,
    rows: Range<usize>,
    scores: &'a Tables,
    /// The same for the gradient of the output, from which the gradients of the weights are computed.
    weights: &'a Tables,
    factors: &'a [Factors<CHANNELS>],
    /// The sums of the gradients of the scores.
    sums: Sums,
    /// The gradients of the tokens of these rows.
    d_channels: &'a mut [f32],
}

/// The sums over queries from which the gradients of tokens are computed, for some rows.
///
/// With g the gradient of the normalised token x̂, that of the token is `(g - mean(g) - x̂ · mean(g · x̂)) / σ`; only
/// the channels of a token have a gradient.
struct TokenSums<const CHANNELS: usize> {
    /// g for each channel.
    channels: [Scratch; CHANNELS],
    /// The sum of g.
    sum: Scratch,
    /// The sum of g · x̂.
    product: Scratch,
}

impl<const CHANNELS: usize> WithSimd for &mut Pass<'_, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let planes = &self.context.planes;
        // There are about as many sums as planes.
        let step = planes.rows_in(BLOCK / 2);
        let mut tokens = TokenSums {
            channels: std::array::from_fn(|_| Scratch::new(step * planes.columns())),
            sum: Scratch::new(step * planes.columns()),
            product: Scratch::new(step * planes.columns()),
        };
        for first in self.rows.clone().step_by(step) {
            let rows = first..(first + step).min(self.rows.end);
            tokens.channels.iter_mut().for_each(|sums| sums.fill(0.0));
            tokens.sum.fill(0.0);
            tokens.product.fill(0.0);
            for query in 0..self.factors.len() {
                self.query_in_rows(simd, query, rows.clone(), &mut tokens);
            }
            self.write_tokens(rows, &tokens);
        }
    }
}

impl<const CHANNELS: usize> Pass<'_, CHANNELS> {
    #[inline(always)]
    fn query_in_rows<S: Simd>(
        &mut self,
        simd: S,
        query: usize,
        rows: Range<usize>,
        tokens: &mut TokenSums<CHANNELS>,
    ) {
        let (outer_axes, _) = self.context.split_axes();
        let last = outer_axes.len();
        let columns = self.context.planes.columns();
        let range = query * columns..(query + 1) * columns;
        let (score_table, _) = S::as_simd_f32s(&self.scores.axes[last][range.clone()]);
        let (weight_table, _) = S::as_simd_f32s(&self.weights.axes[last][range.clone()]);
        let len = score_table.len();
        let weight_table = &weight_table[..len];

        let factors = &self.factors[query];
        let splat = |x: f32| simd.splat_f32s(x);
        let (query_channels, d_out) = (factors.query.map(splat), factors.d_out.map(splat));
        let (query_sum, d_out_sum) = (splat(factors.query_sum), splat(factors.d_out_sum));
        let (log_sum, delta) = (splat(-factors.log_sum), splat(factors.delta));
        let query_features = splat(self.scores.features[query]);
        let d_out_features = splat(self.weights.features[query]);
        let (zero, log2_e) = (splat(0.0), splat(LOG2_E));
        let (mut means, mut channels) = (zero, [zero; CHANNELS]);

        for (i, row) in rows.enumerate() {
            let planes = self.context.planes.row::<CHANNELS>(self.item, row);
            let vectors = |plane| &S::as_simd_f32s(plane).0[..len];
            let (inverse, mean) = (vectors(planes.inverse), vectors(planes.mean));
            let (bias, channel) = (vectors(planes.bias), planes.channels.map(vectors));
            let range = i * columns..(i + 1) * columns;
            let token_channels = tokens
                .channels
                .each_mut()
                .map(|sums| &mut S::as_mut_simd_f32s(&mut sums[range.clone()]).0[..len]);
            let token_sum = &mut S::as_mut_simd_f32s(&mut tokens.sum[range.clone()]).0[..len];
            let token_product = &mut S::as_mut_simd_f32s(&mut tokens.product[range]).0[..len];
            let sums = &mut self.sums.axes[last][query * columns..][..columns];
            let sums = &mut S::as_mut_simd_f32s(sums).0[..len];

            let score_outer = splat(self.scores.outer(outer_axes, query, row));
            let weight_outer = splat(self.weights.outer(outer_axes, query, row));
            let mut row_sum = zero;
            for i in 0..len {
                let (inverse, mean) = (inverse[i], mean[i]);
                let position = simd.add_f32s(score_outer, score_table[i]);
                let mut score = simd.mul_f32s(inverse, position);
                score = simd.negate_mul_add_f32s(query_features, mean, score);
                let position = simd.add_f32s(weight_outer, weight_table[i]);
                let mut d_weight = simd.mul_f32s(inverse, position);
                d_weight = simd.negate_mul_add_f32s(d_out_features, mean, d_weight);
                for c in 0..CHANNELS {
                    score = simd.mul_add_f32s(query_channels[c], channel[c][i], score);
                    d_weight = simd.mul_add_f32s(d_out[c], channel[c][i], d_weight);
                }
                let exponent = simd.mul_add_f32s(score, log2_e, simd.add_f32s(bias[i], log_sum));
                let weight = exp2(simd, exponent);
                let d_score = simd.mul_f32s(weight, simd.sub_f32s(d_weight, delta));

                let scaled = simd.mul_f32s(d_score, inverse);
                row_sum = simd.add_f32s(row_sum, scaled);
                sums[i] = simd.add_f32s(sums[i], scaled);
                means = simd.mul_add_f32s(d_score, mean, means);
                for c in 0..CHANNELS {
                    channels[c] = simd.mul_add_f32s(d_score, channel[c][i], channels[c]);
                    let g = simd.mul_add_f32s(d_score, query_channels[c], token_channels[c][i]);
                    token_channels[c][i] = simd.mul_add_f32s(weight, d_out[c], g);
                }
                let g = simd.mul_add_f32s(d_score, query_sum, token_sum[i]);
                token_sum[i] = simd.mul_add_f32s(weight, d_out_sum, g);
                let g = simd.mul_add_f32s(d_score, score, token_product[i]);
                token_product[i] = simd.mul_add_f32s(weight, d_weight, g);
            }
            let row_sum = simd.reduce_sum_f32s(row_sum);
            for (axis, sums) in outer_axes.iter().zip(&mut self.sums.axes) {
                sums[query * axis.size + axis.index(row)] += row_sum;
            }
        }

        self.sums.means[query] += f64::from(simd.reduce_sum_f32s(means));
        let sums = &mut self.sums.channels[query * CHANNELS..][..CHANNELS];
        for (sum, channel) in sums.iter_mut().zip(channels) {
            *sum += f64::from(simd.reduce_sum_f32s(channel));
        }
    }

    /// Accumulates the gradients of the tokens of some rows.
    fn write_tokens(&mut self, rows: Range<usize>, tokens: &TokenSums<CHANNELS>) {
        let planes = &self.context.planes;
        let (columns, used) = (planes.columns(), planes.used());
        let inverse_width = 1.0 / self.context.width() as f32;
        let first = rows.start - self.rows.start;
        for (i, row) in rows.enumerate() {
            let planes = planes.row::<CHANNELS>(self.item, row);
            let d_row = &mut self.d_channels[(first + i) * used * CHANNELS..];
            for (column, d_token) in d_row.chunks_exact_mut(CHANNELS).take(used).enumerate() {
                let at = i * columns + column;
                let mean = tokens.sum[at] * inverse_width;
                let mean_product = tokens.product[at] * inverse_width;
                for (channel, d) in d_token.iter_mut().enumerate() {
                    let normal = planes.channels[channel][column];
                    let g = tokens.channels[channel][at] - mean - normal * mean_product;
                    *d += planes.inverse[column] * g;
                }
            }
        }
    }
}
