//! `softmax(query · keyᵀ) · value`, by head.

mod cpu;

use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

use super::record::with_tape;
use super::{InF32, KernelDevice, Mask, Record, Rows, check};
use crate::spec::{Heads, Softmax};
pub(super) use cpu::MaskBias;

/// How queries attend to tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attend {
    /// What the weights sum to 1 over.
    pub softmax: Softmax,
    /// The probability with which each attention weight is dropped, in `[0, 1)`; the others are scaled by
    /// `1 / (1 - dropout)`. Acts only where gradients are tracked; dfdx panics if it is not a probability.
    pub dropout: f64,
}

impl Attend {
    /// Whether the weights themselves are needed, and not just the sums that they weigh.
    pub(crate) fn needs_weights(self, is_recorded: bool) -> bool {
        self.softmax == Softmax::Queries || (self.dropout > 0.0 && is_recorded)
    }
}

/// Multi-head attention.
pub trait AttentionKernel<E: Dtype>: KernelDevice<E> {
    /// `softmax(query · keyᵀ / √dim) · value` for each head; section 3.1 and appendix C of the paper.
    ///
    /// `query` is `(batch, queries, heads)`, and so is the result; `key_value` is `(batch, tokens, 2 · heads)`: keys, then
    /// values. Heads lie side by side in all of them. The scores of what must not be attended to become the lowest finite
    /// number before the softmax, so a query with nothing to attend to gets the mean of all values, as in PyTorch.
    ///
    /// # Errors
    /// If the sizes do not fit together, or the device runs out of memory.
    fn try_attention(
        record: &mut Record<E, Self>,
        query: Rows<E, Self>,
        key_value: Rows<E, Self>,
        heads: Heads,
        mask: &Mask<Self>,
        attend: Attend,
    ) -> Result<Rows<E, Self>, Self::Err> {
        fits(&query, &key_value, heads, mask)?;
        with_tape!(record, plain(query, key_value, heads, mask, attend))
    }
}

impl AttentionKernel<f32> for Cpu {
    fn try_attention(
        record: &mut Record<f32, Self>,
        query: Rows<f32, Self>,
        key_value: Rows<f32, Self>,
        heads: Heads,
        mask: &Mask<Self>,
        attend: Attend,
    ) -> Result<Rows<f32, Self>, CpuError> {
        fits(&query, &key_value, heads, mask)?;
        if attend.needs_weights(record.is_on()) {
            return with_tape!(record, plain(query, key_value, heads, mask, attend));
        }
        cpu::forward(record, query, key_value, heads, mask)
    }
}

fn fits<E: Dtype, D: KernelDevice<E>>(
    query: &Rows<E, D>,
    key_value: &Rows<E, D>,
    heads: Heads,
    mask: &Mask<D>,
) -> Result<(), D::Err> {
    let ((b, l, q), (key_batch, m, kv)) = (*query.shape(), *key_value.shape());
    let widths_fit = (q, kv) == (heads.width(), 2 * heads.width());
    check(widths_fit && b == key_batch && mask.fits(b, l, m))
}

/// The smallest sum of weights that inverted attention divides by.
const INVERTED_EPSILON: f64 = 1e-8;

/// The operation in dfdx's own: what a device without a kernel runs, and what kernels are tested against. Holds all
/// `heads · queries · tokens` weights at once.
pub(super) fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    query: Rows<E, D, T>,
    key_value: Rows<E, D>,
    heads: Heads,
    mask: &Mask<D>,
    attend: Attend,
) -> Result<Rows<E, D, T>, D::Err> {
    let (batch, queries, inner) = *query.shape();
    let tokens = key_value.shape().1;
    let (count, dim) = (heads.count, heads.dim);

    let (query, tape) = query.split_tape();
    let key_value = key_value.put_tape(tape);
    let key = key_value.with_empty_tape().try_slice((.., .., ..inner))?;
    let value = key_value.try_slice((.., .., inner..))?;

    // (B, L, inner) -> (B, H, L, dim); the keys' last two axes the other way round.
    let query = query
        .retaped::<T>()
        .try_reshape_like(&(batch, queries, count, dim))?
        .try_permute::<_, Axes4<0, 2, 1, 3>>()?;
    let key = key
        .try_reshape_like(&(batch, tokens, count, dim))?
        .try_permute::<_, Axes4<0, 2, 3, 1>>()?;
    let value = value
        .try_reshape_like(&(batch, tokens, count, dim))?
        .try_permute::<_, Axes4<0, 2, 1, 3>>()?;

    let scale = E::from_f64(heads.scale()).unwrap_or(E::ONE);
    let scores = query.try_mul(scale)?.try_matmul(key)?;

    let allowed = mask.over_scores::<E>(scores.device(), *scores.shape())?;
    let softmax = attend.softmax;
    let weights = D::try_in_f32(clamp_scores(scores)?, Weights { allowed, softmax })?;
    let weights = if attend.dropout > 0.0 && T::OWNS_TAPE {
        weights.try_dropout(attend.dropout)?
    } else {
        weights
    };

    weights
        .try_matmul(value)?
        .try_permute::<_, Axes4<0, 2, 1, 3>>()?
        .try_reshape_like(&(batch, queries, inner))
}

/// Makes weights of scores, `(batch, heads, queries, tokens)`: the softmax, over the tokens or over the queries.
pub(super) struct Weights<S: Shape, D: Storage<bool>> {
    /// Which tokens may be attended to. `None`: all.
    pub allowed: Option<Tensor<S, bool, D>>,
    /// What they sum to 1 over.
    pub softmax: Softmax,
}

impl<B: Dim, H: Dim, L: Dim, M: Dim, D: Storage<bool>> InF32<(B, H, L, M), D>
    for Weights<(B, H, L, M), D>
{
    type Output = (B, H, L, M);

    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        scores: Tensor<(B, H, L, M), E, D, T>,
    ) -> Result<Tensor<(B, H, L, M), E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
    {
        let shape = *scores.shape();
        let scores = self.keep_or(scores, finfo_min())?;
        if self.softmax == Softmax::Tokens {
            return scores.try_softmax::<Axis<3>>();
        }
        let weights = self.keep_or(scores.try_softmax::<Axis<2>>()?, E::default())?;
        let sums = weights
            .retaped::<T>()
            .try_sum::<_, Axis<3>>()?
            .try_clamp(INVERTED_EPSILON, f64::from(f32::MAX))?;
        weights.try_div(sums.try_broadcast_like::<_, Axis<3>>(&shape)?)
    }
}

impl<S: Shape, D: Storage<bool>> Weights<S, D> {
    /// `values` where a token may be attended to, `otherwise` elsewhere.
    fn keep_or<E: Dtype, T: Tape<E, D>>(
        &self,
        values: Tensor<S, E, D, T>,
        otherwise: E,
    ) -> Result<Tensor<S, E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
        (): BroadcastShapeTo<S, S::AllAxes>,
    {
        let Some(allowed) = &self.allowed else {
            return Ok(values);
        };
        let shape = *values.shape();
        // Made on the device: a number of ours would be copied to it.
        let zero: Tensor<(), E, D> = values.device().try_zeros_like(&())?;
        let otherwise = zero.try_add(otherwise)?;
        allowed
            .clone()
            .try_choose(values, otherwise.try_broadcast_like(&shape)?)
    }
}

/// Scores within the range of their data type: a softmax of infinite ones would not be a number.
pub(super) fn clamp_scores<S: Shape, E: Dtype, D: TensorDevice<E>, T: Tape<E, D>>(
    scores: Tensor<S, E, D, T>,
) -> Result<Tensor<S, E, D, T>, D::Err> {
    let lowest = finfo_min::<E>().to_f64().unwrap_or(f64::MIN);
    if lowest > f64::from(f32::MIN) {
        scores.try_clamp(lowest, -lowest)
    } else {
        Ok(scores)
    }
}

/// The lowest finite number of the data type, or one far below any score.
fn finfo_min<E: Dtype>() -> E {
    // Bounds are not part of dfdx's `Dtype`: the first of f32's and f16's lowest that stays finite.
    [f64::from(f32::MIN), -65504.0]
        .into_iter()
        .filter_map(E::from_f64)
        .find(|lowest| lowest.to_f64().is_some_and(f64::is_finite))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};
    use super::*;

    /// With scores of about `size`, and a mask that keeps a token where its sample is below `keep`.
    fn run<const H: usize, const D: usize, E: Dtype>(
        seed: u64,
        (b, l, m): (usize, usize, usize),
        size: f64,
        keep: f64,
    ) -> Outcome
    where
        Cpu: Device<E>,
    {
        let query: Vec<f64> = samples(seed, b * l * H * D)
            .into_iter()
            .map(|x| size * x)
            .collect();
        let query = tensor::<_, E>((b, l, Inner::<H, D>::default()), &query);
        let key_value = samples(seed + 1, b * m * 2 * H * D);
        let key_value = tensor((b, m, KeyValue::<H, D>::default()), &key_value);
        let mask = samples(seed + 2, b * m)
            .into_iter()
            .map(|x| f64::from(u8::from(x < keep)));
        let options = AttentionOptions {
            mask: (keep < 9.0).then(|| tensor((b, m), &mask.collect::<Vec<_>>())),
            ..AttentionOptions::default()
        };
        let out = Cpu::try_attention(query.leaky_trace(), key_value.clone(), &options).unwrap();
        let (out, gradients) = backward(out);
        vec![
            out,
            numbers(&gradients.get(&query)),
            numbers(&gradients.get(&key_value)),
        ]
    }

    fn check<const H: usize, const D: usize>(
        seed: u64,
        sizes: (usize, usize, usize),
        size: f64,
        keep: f64,
        tolerance: f64,
    ) {
        let found = run::<H, D, f32>(seed, sizes, size, keep);
        assert_close(
            &found,
            &run::<H, D, f64>(seed, sizes, size, keep),
            tolerance,
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn kernel_is_plain(
            seed: u32,
            sizes in (1..3_usize, 1..150_usize, 1..300_usize),
            keep in prop_oneof![Just(9.0), -1.0..1.0],
        ) {
            check::<2, 5>(seed.into(), sizes, 1.0, keep, 2e-5);
            check::<1, 16>(seed.into(), sizes, 1.0, keep, 2e-5);
        }
    }

    #[test]
    fn one_token_no_token_and_extreme_scores() {
        check::<3, 4>(1, (2, 1, 1), 1.0, 9.0, 1e-6);
        // Nothing may be attended to: all is, equally.
        check::<3, 4>(2, (2, 5, 7), 1.0, -9.0, 1e-5);
        // A tile of nothing before one of something.
        check::<1, 4>(3, (1, 3, 600), 1.0, -2.5, 1e-5);
        // Scores of ±1e4 choose one token each; f32 has four digits of them left behind the point.
        check::<2, 4>(4, (1, 9, 40), 1e4, 9.0, 5e-3);
    }
}
