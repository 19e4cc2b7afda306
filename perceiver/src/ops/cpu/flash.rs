//! `softmax(query · keyᵀ) · value` of one head, tile by tile: the matrix of queries by tokens is never materialised.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::ops::cpu::Scratch;
use crate::ops::cpu::math::{exp2, sum, update, update_all};
use crate::ops::cpu::matrix::{MatMut, MatRef};
use crate::ops::cpu::product::{Addend, Threads, product};

/// The number of queries and tokens in a tile: 128 KiB of scores, which fit twice into an L2 cache, even if there are twice as
/// many queries.
const QUERIES: usize = 128;
const TOKENS: usize = 256;

/// Returns the number of queries of a tile, of so many: with many, the keys and values of a tile are laid out for twice as many
/// at once.
pub(in crate::ops) const fn queries_of_tile(queries: usize) -> usize {
    if queries < 8 * QUERIES { QUERIES } else { 2 * QUERIES }
}

/// The bias of a token that must not be attended to: scores are nowhere near it, so the weight becomes 0.
pub(in crate::ops) const MASKED: f32 = -1e30;

/// Replaces [`MASKED`] for a query that may attend to nothing: it attends to all tokens equally, as in PyTorch.
pub(in crate::ops) const UNIFORM: f32 = f32::NEG_INFINITY;

/// Which tokens the queries of a head may attend to: 0 where they may, [`MASKED`] where they may not.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) enum Bias<'a> {
    /// All tokens may be attended to.
    None,
    /// A bias for each token.
    Keys(&'a [f32]),
    /// A bias for each query and token, `(queries, tokens)`; all [`UNIFORM`] for a query that may attend to none.
    Pairs(MatRef<'a>),
    /// Query `i` may attend to the tokens up to and including `i + offset`.
    Causal { offset: usize },
    /// The same, and a bias for each token.
    CausalKeys { offset: usize, keys: &'a [f32] },
}

impl Bias<'_> {
    /// Returns the bias for some of the queries.
    pub(in crate::ops) fn queries(self, queries: Range<usize>) -> Self {
        match self {
            Self::None | Self::Keys(_) => self,
            Self::Pairs(bias) => Self::Pairs(bias.rows(queries)),
            Self::Causal { offset } => {
                Self::Causal { offset: offset.saturating_add(queries.start) }
            }
            Self::CausalKeys { offset, keys } => {
                Self::CausalKeys { offset: offset.saturating_add(queries.start), keys }
            }
        }
    }

    /// Applies the bias to the scores of a query for some tokens. Returns whether the scores depend on the query.
    #[inline(always)]
    fn add_to<S: Simd>(
        self,
        simd: S,
        scores: &mut [f32],
        query: usize,
        tokens: &Range<usize>,
    ) -> bool {
        let bias = match self {
            Self::None => return true,
            Self::Keys(bias) => &bias[tokens.clone()],
            Self::Pairs(bias) => {
                let bias = &bias.row(query)[tokens.clone()];
                if bias.first() == Some(&UNIFORM) {
                    scores.fill(0.0);
                    return false;
                }
                bias
            }
            Self::Causal { offset } => {
                mask_after(scores, query, offset, tokens);
                return true;
            }
            Self::CausalKeys { offset, keys } => {
                mask_after(scores, query, offset, tokens);
                &keys[tokens.clone()]
            }
        };
        // Replaces the score, which may be anything, instead of being added to it.
        let (zero, masked) = (simd.splat_f32s(0.0), simd.splat_f32s(MASKED));
        update(
            simd,
            scores,
            [bias],
            #[inline(always)]
            |score, [bias]| simd.select_f32s(simd.less_than_f32s(bias, zero), masked, score),
        );
        true
    }

    /// Whether none of this many queries may attend to any of these tokens.
    fn excludes(self, queries: usize, tokens: &Range<usize>) -> bool {
        match self {
            Self::Causal { offset } | Self::CausalKeys { offset, .. } => {
                tokens.start >= offset.saturating_add(queries)
            }
            Self::None | Self::Keys(_) | Self::Pairs(_) => false,
        }
    }
}

/// Masks the tokens after `query + offset`.
#[inline(always)]
fn mask_after(scores: &mut [f32], query: usize, offset: usize, tokens: &Range<usize>) {
    let allowed = (query + 1).saturating_add(offset).saturating_sub(tokens.start);
    scores[allowed.min(tokens.len())..].fill(MASKED);
}

const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// One head of one item of a batch.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Head<'a> {
    /// `(queries, d)`.
    pub query: MatRef<'a>,
    /// `(tokens, d)`.
    pub key: MatRef<'a>,
    /// `(tokens, e)`.
    pub value: MatRef<'a>,
    /// Which tokens may be attended to.
    pub bias: Bias<'a>,
    /// The factor that scores are multiplied by. With 0, all weights are equal.
    pub scale: f32,
}

impl Head<'_> {
    /// Writes `(queries, e)` to `out`, and the binary logarithm of the sum of `2^score` for each query to `log_sums`.
    pub(in crate::ops) fn forward(&self, out: &mut [f32], log_sums: &mut [f32]) {
        let (queries, tokens) = (self.query.height(), self.key.height());
        let width = self.value.width();
        let mut sums = Scratch::zeros(queries);
        log_sums.fill(f32::NEG_INFINITY);
        out.fill(0.0);
        for start in (0..tokens).step_by(TOKENS) {
            let range = start..(start + TOKENS).min(tokens);
            if self.bias.excludes(queries, &range) {
                break;
            }
            let mut weights = self.scores(0..queries, range.clone());
            Arch::new().dispatch(OnlineSoftmax {
                scores: &mut weights,
                bias: self.bias,
                tokens: range.clone(),
                highest: log_sums,
                sums: &mut sums,
                out,
                width,
            });
            product(
                MatMut::new(out, queries, width),
                Addend::Existing,
                1.0,
                MatRef::new(&weights, queries, range.len()),
                self.value.rows(range),
                Threads::One,
            );
        }
        for (query, out) in out.chunks_exact_mut(width).enumerate() {
            let inverse = 1.0 / sums[query];
            out.iter_mut().for_each(|x| *x *= inverse);
            log_sums[query] += sums[query].log2();
        }
    }

    /// Adds the gradients of the queries, and of the keys and values in `tokens`, given the gradient of what `forward`
    /// wrote to `out`.
    ///
    /// `deltas` are the sums of `d_out · out` for each query.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::ops) fn backward(
        &self,
        tokens: Range<usize>,
        d_out: MatRef<'_>,
        log_sums: &[f32],
        deltas: &[f32],
        d_query: &mut [f32],
        d_key: &mut [f32],
        d_value: &mut [f32],
    ) {
        let (d, e) = (self.key.width(), self.value.width());
        for q_start in (0..self.query.height()).step_by(QUERIES) {
            let queries = q_start..(q_start + QUERIES).min(self.query.height());
            let bias = self.bias.queries(queries.clone());
            for start in tokens.clone().step_by(TOKENS) {
                let range = start..(start + TOKENS).min(tokens.end);
                if bias.excludes(queries.len(), &range) {
                    break;
                }
                let tile = (queries.len(), range.len());
                let mut weights = self.scores(queries.clone(), range.clone());
                let mut d_scores = Scratch::new(tile.0 * tile.1);
                product(
                    MatMut::new(&mut d_scores, tile.0, tile.1),
                    Addend::Nothing,
                    1.0,
                    d_out.rows(queries.clone()),
                    self.value.rows(range.clone()).t(),
                    Threads::One,
                );
                Arch::new().dispatch(SoftmaxBackward {
                    scores: &mut weights,
                    d_scores: &mut d_scores,
                    bias,
                    tokens: range.clone(),
                    log_sums: &log_sums[queries.clone()],
                    deltas: &deltas[queries.clone()],
                });
                let weights = MatRef::new(&weights, tile.0, tile.1);
                let d_scores = MatRef::new(&d_scores, tile.0, tile.1);
                let first = start - tokens.start;
                let add = |out: &mut [f32], rows, cols, scale, lhs, rhs| {
                    let out = MatMut::new(out, rows, cols);
                    product(out, Addend::Existing, scale, lhs, rhs, Threads::One);
                };
                let d_value = &mut d_value[first * e..];
                add(d_value, tile.1, e, 1.0, weights.t(), d_out.rows(queries.clone()));
                let d_key = &mut d_key[first * d..];
                let query = self.query.rows(queries.clone());
                add(d_key, tile.1, d, self.scale, d_scores.t(), query);
                let d_query = &mut d_query[queries.start * d..];
                add(d_query, tile.0, d, self.scale, d_scores, self.key.rows(range));
            }
        }
    }

    /// The scores of a tile, as base-2 exponents.
    fn scores(&self, queries: Range<usize>, tokens: Range<usize>) -> Scratch {
        let mut scores = Scratch::new(queries.len() * tokens.len());
        product(
            MatMut::new(&mut scores, queries.len(), tokens.len()),
            Addend::Nothing,
            self.scale * LOG2_E,
            self.query.rows(queries),
            self.key.rows(tokens).t(),
            Threads::One,
        );
        scores
    }
}

/// The sums of `d_out · out` over each row.
pub(in crate::ops) fn deltas(out: &[f32], d_out: MatRef<'_>) -> Vec<f32> {
    out.chunks_exact(d_out.width())
        .enumerate()
        .map(|(row, out)| d_out.row(row).iter().zip(out).map(|(x, y)| x * y).sum())
        .collect()
}

/// Turns a tile of scores into weights relative to each query's highest score so far, and rescales the previous sums
/// accordingly.
struct OnlineSoftmax<'a> {
    scores: &'a mut [f32],
    bias: Bias<'a>,
    tokens: Range<usize>,
    highest: &'a mut [f32],
    sums: &'a mut [f32],
    out: &'a mut [f32],
    width: usize,
}

impl WithSimd for OnlineSoftmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self
            .scores
            .chunks_exact_mut(self.tokens.len())
            .zip(self.out.chunks_exact_mut(self.width))
            .zip(self.highest.iter_mut().zip(self.sums));
        for (query, ((scores, out), (highest, sum_so_far))) in rows.enumerate() {
            self.bias.add_to(simd, scores, query, &self.tokens);
            let reference = highest.max(maximum(simd, scores));
            if reference > *highest {
                let factor =
                    if *highest == f32::NEG_INFINITY { 0.0 } else { (*highest - reference).exp2() };
                *sum_so_far *= factor;
                let factor = simd.splat_f32s(factor);
                update(
                    simd,
                    out,
                    [],
                    #[inline(always)]
                    |x, []| simd.mul_f32s(x, factor),
                );
                *highest = reference;
            }
            let reference = simd.splat_f32s(reference);
            update(
                simd,
                scores,
                [],
                #[inline(always)]
                |score, []| exp2(simd, simd.sub_f32s(score, reference)),
            );
            *sum_so_far += sum(
                simd,
                [scores],
                #[inline(always)]
                |sum, [x]| simd.add_f32s(sum, x),
            );
        }
    }
}

/// Turns a tile of scores into weights, and the gradient of the weights into that of the scores.
struct SoftmaxBackward<'a> {
    scores: &'a mut [f32],
    d_scores: &'a mut [f32],
    bias: Bias<'a>,
    tokens: Range<usize>,
    log_sums: &'a [f32],
    deltas: &'a [f32],
}

impl WithSimd for SoftmaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self
            .scores
            .chunks_exact_mut(self.tokens.len())
            .zip(self.d_scores.chunks_exact_mut(self.tokens.len()))
            .zip(self.log_sums.iter().zip(self.deltas));
        for (query, ((scores, d_scores), (&log_sum, &delta))) in rows.enumerate() {
            let depends_on_query = self.bias.add_to(simd, scores, query, &self.tokens);
            let (log_sum, delta) = (simd.splat_f32s(log_sum), simd.splat_f32s(delta));
            update_all(
                simd,
                [scores, d_scores],
                [],
                #[inline(always)]
                |[score, d_weight], []| {
                    let weight = exp2(simd, simd.sub_f32s(score, log_sum));
                    [weight, simd.mul_f32s(weight, simd.sub_f32s(d_weight, delta))]
                },
            );
            if !depends_on_query {
                d_scores.fill(0.0);
            }
        }
    }
}

/// The largest of some numbers.
#[inline(always)]
fn maximum<S: Simd>(simd: S, numbers: &[f32]) -> f32 {
    let (head, tail) = S::as_simd_f32s(numbers);
    let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
    for &x in head {
        highest = simd.max_f32s(highest, x);
    }
    let head = simd.reduce_max_f32s(highest);
    tail.iter().copied().fold(head, f32::max)
}
