//! `softmax(query · keyᵀ) · value`, for each head.

mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;

use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

use super::record::with_tape;
use super::{InF32, KernelDevice, Mask, Record, Rows, check, plain_in_f64};
use crate::spec::{Heads, Softmax};
pub(super) use cpu::MaskBias;

/// The settings with which queries attend to tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Attend {
    /// The axis over which the weights sum to 1.
    pub softmax: Softmax,
    /// The dropout rate of attention weights, in `[0, 1)`; the remaining weights are scaled by `1 / (1 - dropout)`.
    /// Applied only if gradients are tracked; dfdx panics if it is not a probability.
    pub dropout: f64,
    /// The number of queries, if they are keys and values of their own attention, after the tokens of a
    /// [`Context`](crate::nn::Context); otherwise 0.
    pub queries_as_keys: usize,
}

impl Attend {
    /// Whether the attention weights themselves are needed, not just weighted sums.
    pub(crate) fn needs_weights(self, is_recorded: bool) -> bool {
        self.softmax == Softmax::Queries || (self.dropout > 0.0 && is_recorded)
    }
}

/// Multi-head attention.
pub trait AttentionKernel<E: Dtype>: KernelDevice<E> {
    /// Computes `softmax(query · keyᵀ / √dim) · value` for each head (section 3.1 and appendix C of the paper).
    ///
    /// `query` is `(batch, queries, count · dim)`; `key_value` is `(batch, tokens, count · (dim + value_dim))`: keys,
    /// then values; the result is `(batch, queries, count · value_dim)`. Heads are concatenated in all of them. Masked
    /// scores become the lowest finite number before the softmax, so a query with nothing to attend to gets the mean of
    /// all values, as in PyTorch; with [`Softmax::Queries`] it gets zeros.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
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

plain_in_f64!(AttentionKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> AttentionKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_attention(
        record: &mut Record<E, Self>,
        query: Rows<E, Self>,
        key_value: Rows<E, Self>,
        heads: Heads,
        mask: &Mask<Self>,
        attend: Attend,
    ) -> Result<Rows<E, Self>, CudaError> {
        fits(&query, &key_value, heads, mask)?;
        let is_plain = attend.softmax == Softmax::Queries;
        if is_plain || !cuda::Shape::of_key_values(heads).fits() {
            return with_tape!(record, plain(query, key_value, heads, mask, attend));
        }
        cuda::forward(record, &query, &key_value, heads, mask, attend.dropout)
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
        #[cfg(test)]
        let _counted = super::counted::Counted::new({
            let (batch, queries, width) = *query.shape();
            2 * batch * queries * key_value.shape().1 * (width + heads.value_width())
        });
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
    let widths_fit = (q, kv) == (heads.width(), heads.key_value_width());
    check(widths_fit && b == key_batch && m > 0 && mask.fits(b, l, m))
}

/// The smallest sum of weights that inverted attention divides by.
const INVERTED_EPSILON: f64 = 1e-8;

/// The reference implementation, in dfdx's own operations: it runs on devices without a kernel, and kernels are tested
/// against it. Materialises all `heads · queries · tokens` weights at once.
pub(super) fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    query: Rows<E, D, T>,
    key_value: Rows<E, D>,
    heads: Heads,
    mask: &Mask<D>,
    attend: Attend,
) -> Result<Rows<E, D, T>, D::Err> {
    let (batch, queries, inner) = *query.shape();
    let tokens = key_value.shape().1;
    let Heads { count, value_dim, .. } = heads;

    let (query, tape) = query.split_tape();
    // dfdx's `slice` overwrites the gradient of its input, so slice a separate tensor, once for each half.
    let key_value = key_value.put_tape(tape).try_add(E::default())?;
    let key = key_value.with_empty_tape().try_slice((.., .., ..inner))?;
    let value = key_value.try_slice((.., .., inner..))?;

    let value = value
        .try_reshape_like(&(batch, tokens, count, value_dim))?
        .try_permute::<_, Axes4<0, 2, 1, 3>>()?;
    let weights = weights(query.retaped::<T>(), key, heads, mask, attend.softmax)?;
    let weights = if attend.dropout > 0.0 && T::OWNS_TAPE {
        super::random::dropout(weights, attend.dropout)?
    } else {
        weights
    };

    weights.try_matmul(value)?.try_permute::<_, Axes4<0, 2, 1, 3>>()?.try_reshape_like(&(
        batch,
        queries,
        heads.value_width(),
    ))
}

/// The weights of attention, `(batch, heads, queries, tokens)`.
pub(crate) type AttentionWeights<E, D, T = NoneTape> =
    Tensor<(usize, usize, usize, usize), E, D, T>;

/// The weights with which queries, `(batch, queries, count · dim)`, attend to keys, `(batch, tokens, count · dim)`.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn weights<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    query: Rows<E, D, T>,
    key: Rows<E, D, T>,
    heads: Heads,
    mask: &Mask<D>,
    softmax: Softmax,
) -> Result<AttentionWeights<E, D, T>, D::Err> {
    let ((batch, queries, _), tokens) = (*query.shape(), key.shape().1);
    let Heads { count, dim, .. } = heads;
    // (B, L, count · dim) -> (B, H, L, dim), with the last two axes swapped for keys.
    let query = query
        .try_reshape_like(&(batch, queries, count, dim))?
        .try_permute::<_, Axes4<0, 2, 1, 3>>()?;
    let key = key
        .try_reshape_like(&(batch, tokens, count, dim))?
        .try_permute::<_, Axes4<0, 2, 3, 1>>()?;
    let scale = E::from_f64(heads.scale()).unwrap_or(E::ONE);
    let scores = query.try_mul(scale)?.try_matmul(key)?;
    let allowed = mask.over_scores::<E>(scores.device(), *scores.shape())?;
    D::try_in_f32(clamp_scores(scores)?, Weights { allowed, softmax })
}

/// Turns scores, `(batch, heads, queries, tokens)`, into weights: a softmax over the tokens or over the queries.
pub(super) struct Weights<S: Shape, D: Storage<bool>> {
    /// Which tokens may be attended to. `None` for all.
    pub allowed: Option<Tensor<S, bool, D>>,
    /// The axis over which the weights sum to 1.
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
    /// Returns `values` where a token may be attended to, and `otherwise` elsewhere.
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
        // Created on the device: a number from here would be copied to it.
        let zero: Tensor<(), E, D> = values.device().try_zeros_like(&())?;
        let otherwise = zero.try_add(otherwise)?;
        allowed.clone().try_choose(values, otherwise.try_broadcast_like(&shape)?)
    }
}

/// Clamps scores to the range of their data type: the softmax of infinite scores would be NaN.
pub(super) fn clamp_scores<S: Shape, E: Dtype, D: TensorDevice<E>, T: Tape<E, D>>(
    scores: Tensor<S, E, D, T>,
) -> Result<Tensor<S, E, D, T>, D::Err> {
    let lowest = finfo_min::<E>().to_f64().unwrap_or(f64::MIN);
    if lowest > f64::from(f32::MIN) { scores.try_clamp(lowest, -lowest) } else { Ok(scores) }
}

/// The lowest finite number of the data type, or one far below any score.
fn finfo_min<E: Dtype>() -> E {
    // dfdx's `Dtype` has no bounds, so this takes the first of the lowest f32 and f16 that stays finite.
    [f64::from(f32::MIN), -65504.0]
        .into_iter()
        .filter_map(E::from_f64)
        .find(|lowest| lowest.to_f64().is_some_and(f64::is_finite))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};

    #[derive(Clone, Copy, Debug)]
    struct Case {
        seed: u64,
        /// Batch, queries, tokens.
        sizes: (usize, usize, usize),
        heads: Heads,
        /// The scale of the scores.
        size: f64,
        mask: Kind,
    }

    #[derive(Clone, Copy, Debug)]
    enum Kind {
        None,
        /// Tokens may be attended to where their sample is below this.
        Keys(f64),
        Pairs(f64),
        Causal(usize),
        /// Tokens at least as late as this one may be attended to by what comes after them.
        CausalKeys(usize, usize),
    }

    fn run<E: Dtype>(case: &Case) -> Outcome
    where
        Cpu: Device<E>,
    {
        let &Case { seed, heads, size, .. } = case;
        let (b, l, m) = case.sizes;
        let width = heads.width();
        let query = samples(seed, b * l * width).into_iter();
        let query: Vec<f64> = query.map(|x| size * x).collect();
        let query = tensor::<_, E>((b, l, width), &query);
        let kv = heads.key_value_width();
        let key_value = tensor((b, m, kv), &samples(seed + 1, b * m * kv));
        let allowed = |count, keep| samples(seed + 2, count).into_iter().map(move |x| x < keep);
        let dev = Cpu::default();
        let mask = match case.mask {
            Kind::None => Mask::None,
            Kind::Keys(keep) => {
                Mask::Keys(dev.tensor_from_vec(allowed(b * m, keep).collect(), (b, m)))
            }
            Kind::Pairs(keep) => {
                let allowed = allowed(b * l * m, keep).collect();
                Mask::Pairs(dev.tensor_from_vec(allowed, (b, l, m)))
            }
            Kind::Causal(offset) => Mask::Causal { offset },
            Kind::CausalKeys(offset, first) => {
                // Every query has a key: what becomes of one without is not defined.
                let first = first.min(offset).min(m - 1);
                let keys = (0..b * m).map(|i| i % m >= first).collect();
                Mask::CausalKeys { offset, keys: dev.tensor_from_vec(keys, (b, m)) }
            }
        };
        let mut record = Record::new();
        let (q, kv) = (query.clone(), key_value.clone());
        let out = Cpu::try_attention(&mut record, q, kv, heads, &mask, Attend::default()).unwrap();
        let (out, gradients) = backward(record, out);
        vec![out, numbers(&gradients.get(&query)), numbers(&gradients.get(&key_value))]
    }

    fn check_case(case: &Case, tolerance: f64) {
        assert_close(&run::<f32>(case), &run::<f64>(case), tolerance);
    }

    fn masks() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::None),
            (-1.0..1.0).prop_map(Kind::Keys),
            (-2.0..1.0).prop_map(Kind::Pairs),
            (0..300_usize).prop_map(Kind::Causal),
            (0..300_usize, 0..300_usize)
                .prop_map(|(offset, first)| Kind::CausalKeys(offset, first)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn kernel_matches_reference(
            seed: u32,
            sizes in (1..3_usize, 1..150_usize, 1..300_usize),
            mask in masks(),
            (count, dim, value_dim) in prop_oneof![Just((2, 5, 5)), Just((1, 16, 16)), Just((2, 3, 9)), Just((3, 7, 2))],
        ) {
            let heads = Heads { count, dim, value_dim };
            check_case(&Case { seed: seed.into(), sizes, heads, size: 1.0, mask }, 2e-5);
        }
    }

    #[test]
    fn one_token_no_token_and_extreme_scores() {
        let case = Case {
            seed: 1,
            sizes: (2, 1, 1),
            heads: Heads::new(3, 4),
            size: 1.0,
            mask: Kind::None,
        };
        check_case(&case, 1e-6);
        // Nothing may be attended to, so attention is uniform.
        for mask in [Kind::Keys(-9.0), Kind::Pairs(-9.0)] {
            let sizes = (2, 5, 7);
            check_case(&Case { sizes, mask, ..case }, 1e-5);
            let sizes = (1, 5, 600);
            check_case(&Case { sizes, mask, ..case }, 1e-5);
        }
        // A tile in which everything is masked before one with unmasked tokens.
        let sizes = (1, 3, 600);
        let mask = Kind::Keys(-2.5);
        check_case(&Case { sizes, mask, ..case }, 1e-5);
        // Scores of ±1e4 select one token each; f32 has four digits left for them after the decimal point.
        let sizes = (1, 9, 40);
        check_case(&Case { sizes, size: 1e4, ..case }, 5e-3);
    }

    #[test]
    fn a_causal_mask_is_that_of_pairs() {
        let dev = Cpu::default();
        let heads = Heads::new(2, 4);
        // In the second, only the last query sees the first token of the second tile.
        for (l, m, offset) in [(300, 320, 20), (100, 300, 157)] {
            let query = tensor::<_, f32>((1, l, 8), &samples(1, l * 8));
            let key_value = tensor((1, m, 16), &samples(2, m * 16));
            let pairs = (0..l * m).map(|i| i % m <= i / m + offset).collect();
            let masks =
                [Mask::Causal { offset }, Mask::Pairs(dev.tensor_from_vec(pairs, (1, l, m)))];
            let [causal, pairs] = masks.map(|mask| {
                let (q, kv) = (query.clone(), key_value.clone());
                let record = &mut Record::new();
                let attend = Attend::default();
                numbers(&Cpu::try_attention(record, q, kv, heads, &mask, attend).unwrap())
            });
            assert_close(&vec![causal], &vec![pairs], 1e-6);
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let heads = Heads::new(1, 4);
        let fits = |query: (usize, usize, usize), key_value: (usize, usize, usize), mask: usize| {
            let query = tensor::<_, f32>(query, &vec![0.0; query.num_elements()]);
            let key_value = tensor(key_value, &vec![0.0; key_value.num_elements()]);
            let mask = Cpu::default().tensor_from_vec(vec![true; 2 * mask], (2, mask));
            let record = &mut Record::new();
            let mask = Mask::Keys(mask);
            Cpu::try_attention(record, query, key_value, heads, &mask, Attend::default()).is_ok()
        };
        assert!(fits((2, 3, 4), (2, 5, 8), 5));
        assert!(!fits((2, 3, 4), (2, 5, 8), 4));
        assert!(!fits((2, 3, 4), (2, 5, 7), 5));
        assert!(!fits((2, 3, 5), (2, 5, 8), 5));
        assert!(!fits((1, 3, 4), (2, 5, 8), 5));
    }
}
