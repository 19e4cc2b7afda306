//! The forward pass for tokens with many channels: queries and channels are multiplied as matrices, tile by tile, and only
//! the features of the axes are separated.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::forward::{SLACK, State};
use super::{Separable, Tables};
use crate::ops::cpu::Scratch;
use crate::ops::cpu::math::{exp2, update};
use crate::ops::cpu::matrix::{MatMut, MatRef};
use crate::ops::cpu::product::{Addend, Threads, product};

/// The numbers of queries and of tokens in a tile: 256 KiB of scores, which fit into an L2 cache.
pub(crate) const QUERIES: usize = 128;
pub(crate) const TOKENS: usize = 512;

pub(super) fn attend_block(
    context: &Separable,
    item: usize,
    query: &[f32],
    out: &mut [f32],
    log_sums: &mut [f32],
) {
    let scale = context.score_scale(item);
    let (count, width, channels) = (log_sums.len(), context.width(), context.channel_count());
    let columns = context.planes.columns();
    let factors = MatRef::strided(query, count, channels, width);
    let mut pass = Pass {
        state: State::new(context, item, log_sums),
        tables: Tables::new(context, query, scale),
        channels: Scratch::zeros(count * channels),
    };
    for row in 0..context.planes.row_count() {
        for start in (0..columns).step_by(TOKENS) {
            let columns = start..(start + TOKENS).min(columns);
            let len = columns.len();
            let of_tokens = context.planes.channels(item, row).columns(columns.clone());
            let mut tile = Scratch::new(count * len);
            let scores = MatMut::new(&mut tile, count, len);
            product(scores, Addend::Nothing, scale, factors, of_tokens, Threads::One);
            let scores = &mut tile;
            Arch::new().dispatch(Tile { pass: &mut pass, row, columns, scores });
            let sums = MatMut::new(&mut pass.channels, count, channels);
            let weights = MatRef::new(&tile, count, len);
            product(sums, Addend::Existing, 1.0, weights, of_tokens.t(), Threads::One);
        }
    }
    let Pass { mut state, channels, .. } = pass;
    state.sums.channels = channels.iter().copied().map(f64::from).collect();
    state.finish(out);
}

/// Some queries of an item, for all of its tokens.
struct Pass<'a> {
    state: State<'a>,
    tables: Tables,
    /// The sums of weight · channel, `(queries, channels)`.
    channels: Scratch,
}

/// Turns what the channels add to the scores of some tokens of a row into weights, and sums those.
struct Tile<'a, 'pass> {
    pass: &'a mut Pass<'pass>,
    row: usize,
    columns: Range<usize>,
    scores: &'a mut [f32],
}

impl WithSimd for Tile<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.scores.chunks_exact_mut(self.columns.len());
        for (query, scores) in rows.enumerate() {
            self.pass.of_query(simd, query, self.row, self.columns.clone(), scores);
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn of_query<S: Simd>(
        &mut self,
        simd: S,
        query: usize,
        row: usize,
        range: Range<usize>,
        scores: &mut [f32],
    ) {
        let context = self.state.context;
        let (outer_axes, _) = context.split_axes();
        let last = outer_axes.len();
        let columns = context.planes.columns();
        let in_row = query * columns + range.start..query * columns + range.end;
        let planes = context.planes.row::<0>(self.state.item, row);
        // Rows are padded, and tiles begin and end at multiples of the padding.
        let (scores, _) = S::as_mut_simd_f32s(scores);
        let count = scores.len();
        let table = &S::as_simd_f32s(&self.tables.axes[last][in_row.clone()]).0[..count];
        let inverse = &S::as_simd_f32s(&planes.inverse[range.clone()]).0[..count];
        let mean = &S::as_simd_f32s(&planes.mean[range.clone()]).0[..count];
        let bias = &S::as_simd_f32s(&planes.bias[range]).0[..count];

        let features = simd.splat_f32s(self.tables.features[query]);
        let outer = simd.splat_f32s(self.tables.outer(outer_axes, query, row));
        let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
        for i in 0..count {
            let position = simd.add_f32s(outer, table[i]);
            let score = simd.add_f32s(scores[i], bias[i]);
            let score = simd.mul_add_f32s(inverse[i], position, score);
            let score = simd.negate_mul_add_f32s(features, mean[i], score);
            highest = simd.max_f32s(highest, score);
            scores[i] = score;
        }

        let highest = simd.reduce_max_f32s(highest);
        if highest > self.state.reference[query] + SLACK {
            self.rescale(simd, query, highest);
        }
        let state = &mut self.state;
        let reference = simd.splat_f32s(state.reference[query]);

        let sums = &mut S::as_mut_simd_f32s(&mut state.sums.axes[last][in_row]).0[..count];
        let zero = simd.splat_f32s(0.0);
        let (mut weights, mut means, mut row_sum) = (zero, zero, zero);
        for i in 0..count {
            let weight = exp2(simd, simd.sub_f32s(scores[i], reference));
            let scaled = simd.mul_f32s(weight, inverse[i]);
            weights = simd.add_f32s(weights, weight);
            row_sum = simd.add_f32s(row_sum, scaled);
            sums[i] = simd.add_f32s(sums[i], scaled);
            means = simd.mul_add_f32s(weight, mean[i], means);
            scores[i] = weight;
        }
        let row_sum = simd.reduce_sum_f32s(row_sum);
        for (axis, sums) in outer_axes.iter().zip(&mut state.sums.axes) {
            sums[query * axis.size + axis.index(row)] += row_sum;
        }
        state.weights[query] += f64::from(simd.reduce_sum_f32s(weights));
        state.sums.means[query] += f64::from(simd.reduce_sum_f32s(means));
    }

    /// Makes all sums of a query relative to a higher score.
    #[cold]
    fn rescale<S: Simd>(&mut self, simd: S, query: usize, highest: f32) {
        let factor = simd.splat_f32s(self.state.rescale(query, highest));
        let count = self.channels.len() / self.state.weights.len();
        update(
            simd,
            &mut self.channels[query * count..][..count],
            [],
            #[inline(always)]
            |sum, []| simd.mul_f32s(sum, factor),
        );
    }
}
