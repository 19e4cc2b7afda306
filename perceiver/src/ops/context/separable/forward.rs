//! The forward pass: each query passes over all rows with a running maximum.

use pulp::{Arch, Simd, WithSimd};

use super::{BLOCK, MAX_CHANNELS, Separable, Sums, Tables, wide, with_channels};
use crate::ops::cpu::math::exp2;
use crate::ops::cpu::{Scratch, for_each, parts};

/// The number of queries that a thread processes at once.
pub(crate) const QUERIES: usize = 32;

/// How far a score, as a base-2 exponent, may exceed the reference before the reference is replaced: far from overflow,
/// even when summed over all tokens.
pub(super) const SLACK: f32 = 16.0;

/// Writes `(batch, queries, width)` to `out`, and the binary logarithm of the sum of `2^score` for each query to
/// `log_sums`.
pub(super) fn run(
    context: &Separable,
    query: &[f32],
    queries: usize,
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    let width = context.width();
    if queries == 0 {
        return;
    }
    let threads = parts(context.operations(queries));
    let is_wide = context.channel_count() > MAX_CHANNELS;
    let block = queries.div_ceil(threads).clamp(1, if is_wide { wide::QUERIES } else { QUERIES });
    for item in 0..context.batch() {
        let range = item * queries..(item + 1) * queries;
        let rows = range.start * width..range.end * width;
        let blocks = query[rows.clone()]
            .chunks(block * width)
            .zip(out[rows].chunks_mut(block * width))
            .zip(log_sums[range].chunks_mut(block));
        for_each(blocks, |((query, out), log_sums)| {
            if is_wide {
                return wide::attend_block(context, item, query, out, log_sums);
            }
            with_channels!(
                context.channel_count(),
                attend_block(context, item, query, out, log_sums)
            );
        });
    }
}

fn attend_block<const CHANNELS: usize>(
    context: &Separable,
    item: usize,
    query: &[f32],
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    let scale = context.score_scale(item);
    let rows = query.chunks_exact(context.width());
    let mut pass = Pass::<CHANNELS> {
        state: State::new(context, item, log_sums),
        tables: Tables::new(context, query, scale),
        channels: rows.map(|row| std::array::from_fn(|channel| row[channel] * scale)).collect(),
    };
    Arch::new().dispatch(&mut pass);
    pass.state.finish(out);
}

/// What some queries of an item have summed over its tokens so far.
pub(super) struct State<'a> {
    pub context: &'a Separable,
    pub item: usize,
    /// For each query, the score that its weights are relative to: one that the query has had.
    pub reference: &'a mut [f32],
    /// The sum of weights, for each query.
    pub weights: Vec<f64>,
    pub sums: Sums,
}

impl<'a> State<'a> {
    pub fn new(context: &'a Separable, item: usize, log_sums: &'a mut [f32]) -> Self {
        let count = log_sums.len();
        log_sums.fill(f32::NEG_INFINITY);
        Self {
            context,
            item,
            reference: log_sums,
            weights: vec![0.0; count],
            sums: Sums::new(context, count),
        }
    }

    /// Makes the sums of a query relative to a higher score. Returns the factor by which they have changed.
    #[cold]
    pub fn rescale(&mut self, query: usize, highest: f32) -> f32 {
        let before = self.reference[query];
        let factor = if before == f32::NEG_INFINITY { 0.0 } else { (before - highest).exp2() };
        self.reference[query] = highest;
        self.sums.rescale(query, factor);
        self.weights[query] *= f64::from(factor);
        factor
    }

    /// Writes the results to `out`, and makes the logarithms of sums of the references.
    pub fn finish(self, out: &mut [f32]) {
        self.sums.add_to(self.context, out, |query| 1.0 / self.weights[query]);
        for (log_sum, weight) in self.reference.iter_mut().zip(&self.weights) {
            *log_sum += weight.log2() as f32;
        }
    }
}

/// Some queries of an item, for all of its tokens.
struct Pass<'a, const CHANNELS: usize> {
    state: State<'a>,
    tables: Tables,
    /// The factors of the channels, for each query.
    channels: Vec<[f32; CHANNELS]>,
}

impl<const CHANNELS: usize> WithSimd for &mut Pass<'_, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let planes = &self.state.context.planes;
        let mut scores = Scratch::new(planes.columns());
        let rows = planes.row_count();
        let step = planes.rows_in(BLOCK);
        for first in (0..rows).step_by(step) {
            for query in 0..self.state.weights.len() {
                self.query_in_rows(simd, query, first..(first + step).min(rows), &mut scores);
            }
        }
    }
}

impl<const CHANNELS: usize> Pass<'_, CHANNELS> {
    #[inline(always)]
    fn query_in_rows<S: Simd>(
        &mut self,
        simd: S,
        query: usize,
        rows: std::ops::Range<usize>,
        scores: &mut [f32],
    ) {
        let state = &mut self.state;
        let context = state.context;
        let (outer_axes, _) = context.split_axes();
        let last = outer_axes.len();
        let columns = context.planes.columns();
        let (table, _) = S::as_simd_f32s(&self.tables.axes[last][query * columns..][..columns]);
        let (scores, _) = S::as_mut_simd_f32s(scores);
        let factors = self.channels[query].map(|x| simd.splat_f32s(x));
        let features = simd.splat_f32s(self.tables.features[query]);
        let zero = simd.splat_f32s(0.0);
        let (mut weights, mut means, mut channels) = (zero, zero, [zero; CHANNELS]);

        for row in rows {
            let planes = context.planes.row::<CHANNELS>(state.item, row);
            let inverse = &S::as_simd_f32s(planes.inverse).0[..table.len()];
            let mean = &S::as_simd_f32s(planes.mean).0[..table.len()];
            let bias = &S::as_simd_f32s(planes.bias).0[..table.len()];
            let channel = planes.channels.map(|plane| &S::as_simd_f32s(plane).0[..table.len()]);
            let scores = &mut scores[..table.len()];

            let outer = simd.splat_f32s(self.tables.outer(outer_axes, query, row));
            let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
            for i in 0..table.len() {
                let position = simd.add_f32s(outer, table[i]);
                let mut score = simd.mul_add_f32s(inverse[i], position, bias[i]);
                score = simd.negate_mul_add_f32s(features, mean[i], score);
                for c in 0..CHANNELS {
                    score = simd.mul_add_f32s(factors[c], channel[c][i], score);
                }
                highest = simd.max_f32s(highest, score);
                scores[i] = score;
            }

            let highest = simd.reduce_max_f32s(highest);
            if highest > state.reference[query] + SLACK {
                let factor = simd.splat_f32s(state.rescale(query, highest));
                weights = simd.mul_f32s(weights, factor);
                means = simd.mul_f32s(means, factor);
                channels = channels.map(|sum| simd.mul_f32s(sum, factor));
            }
            let reference = simd.splat_f32s(state.reference[query]);

            let sums = &mut state.sums.axes[last][query * columns..][..columns];
            let sums = &mut S::as_mut_simd_f32s(sums).0[..table.len()];
            let mut row_sum = zero;
            for i in 0..table.len() {
                let weight = exp2(simd, simd.sub_f32s(scores[i], reference));
                let scaled = simd.mul_f32s(weight, inverse[i]);
                weights = simd.add_f32s(weights, weight);
                row_sum = simd.add_f32s(row_sum, scaled);
                sums[i] = simd.add_f32s(sums[i], scaled);
                means = simd.mul_add_f32s(weight, mean[i], means);
                for c in 0..CHANNELS {
                    channels[c] = simd.mul_add_f32s(weight, channel[c][i], channels[c]);
                }
            }
            let row_sum = simd.reduce_sum_f32s(row_sum);
            for (axis, sums) in outer_axes.iter().zip(&mut state.sums.axes) {
                sums[query * axis.size + axis.index(row)] += row_sum;
            }
        }

        state.weights[query] += f64::from(simd.reduce_sum_f32s(weights));
        state.sums.means[query] += f64::from(simd.reduce_sum_f32s(means));
        let sums = &mut state.sums.channels[query * CHANNELS..][..CHANNELS];
        for (sum, channel) in sums.iter_mut().zip(channels) {
            *sum += f64::from(simd.reduce_sum_f32s(channel));
        }
    }
}
