//! What latents attend to, made ready once for all layers, and attention to it.
//!
//! The heart of it is `softmax(query · x̂ᵀ) · x̂`, where x̂ are the tokens, normalised; `absorb.rs` says how keys and
//! values disappear.

mod absorb;
mod cpu;
mod separable;

use std::fmt::Debug;

use dfdx::prelude::*;

use super::attention::{self, Weights};
use super::in_f32::Normalize;
use super::record::with_tape;
use super::{
    Attend, AttentionKernel, KernelDevice, LinearKernel, Mask, Matrix, Record, Rows, Vector, check,
    layer_norm, plain_on_dfdx_devices,
};
use crate::spec::{Heads, Softmax};
#[cfg(feature = "f16")]
pub(super) use absorb::cross_attention;
pub use cpu::CpuContext;
#[cfg(feature = "f16")]
pub(super) use cpu::attend_dense;

/// Cross attention to tokens that many layers attend to.
pub trait ContextKernel<E: Dtype>: LinearKernel<E> + AttentionKernel<E> {
    /// What the device keeps of the tokens, and the one way in which they can be attended to.
    type Context: Clone + Debug;

    /// Makes tokens ready to be attended to as `attend` says: encoded and normalised.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_prepare(
        record: &mut Record<E, Self>,
        tokens: Positioned<E, Self>,
        attend: Attend,
    ) -> Result<Self::Context, Self::Err>;

    /// Attention of each head to the tokens of a context, as it was prepared: as
    /// [`try_attention`](AttentionKernel::try_attention) with keys and values projected from the tokens with `parameters`.
    /// Takes and returns `(batch, queries, count · dim)`.
    ///
    /// # Errors
    /// If the sizes do not fit together, or the device runs out of memory.
    fn try_cross_attention(
        record: &mut Record<E, Self>,
        query: Rows<E, Self>,
        parameters: &CrossParameters<'_, E, Self>,
        context: &Self::Context,
    ) -> Result<Rows<E, Self>, Self::Err>;
}

/// The methods of [`ContextKernel`] for a device without a kernel.
macro_rules! plain_context {
    ($E:ty) => {
        type Context = Dense<$E, Self>;

        fn try_prepare(
            record: &mut Record<$E, Self>,
            tokens: Positioned<$E, Self>,
            attend: Attend,
        ) -> Result<Self::Context, Self::Err> {
            plain_prepare(record, tokens, attend)
        }

        fn try_cross_attention(
            record: &mut Record<$E, Self>,
            query: Rows<$E, Self>,
            parameters: &CrossParameters<'_, $E, Self>,
            context: &Self::Context,
        ) -> Result<Rows<$E, Self>, Self::Err> {
            plain_cross_attention(record, query, parameters, context)
        }
    };
}
plain_on_dfdx_devices!(ContextKernel, plain_context);

/// What makes keys and values of normalised tokens.
#[derive(Debug)]
pub struct CrossParameters<'a, E: Dtype, D: Storage<E>> {
    /// The weight of the tokens' norm, `(width,)`.
    pub norm_weight: &'a Vector<E, D>,
    /// The bias of the tokens' norm, `(width,)`.
    pub norm_bias: &'a Vector<E, D>,
    /// To keys and values, `(2 · heads, width)`.
    pub to_kv: &'a Matrix<E, D>,
    /// The heads.
    pub heads: Heads,
}

impl<E: Dtype, D: KernelDevice<E>> CrossParameters<'_, E, D> {
    /// That they fit queries and tokens.
    fn check(&self, query: &Rows<E, D>, (batch, width): (usize, usize)) -> Result<(), D::Err> {
        let (key_value, inputs) = *self.to_kv.shape();
        let norms = [self.norm_weight, self.norm_bias];
        check(
            norms.iter().all(|norm| norm.shape().0.size() == width)
                && (key_value.size(), inputs.size()) == (2 * self.heads.width(), width)
                && (query.shape().0, query.shape().2) == (batch, self.heads.width()),
        )
    }
}

/// Tokens and where they are, not yet encoded.
#[derive(Clone, Debug)]
pub struct Positioned<E: Dtype, D: Storage<E> + Storage<bool>> {
    /// The input's own channels, `(batch, tokens, channels)`.
    pub channels: Rows<E, D>,
    /// The sizes of the input's axes; their product is the number of tokens.
    pub axes: Vec<usize>,
    /// For each axis, the features of each of its positions, row by row. Empty: tokens are not encoded.
    pub features: Vec<Vec<f64>>,
    /// True for each token of `(batch, tokens)` that may be attended to. `None`: all.
    pub mask: Option<Tensor<(usize, usize), bool, D>>,
}

impl<E: Dtype, D: Storage<E> + Storage<bool>> Positioned<E, D> {
    /// How many features axis `axis` adds to each token.
    fn feature_width(&self, axis: usize) -> usize {
        self.features[axis].len() / self.axes[axis].max(1)
    }
}

impl<E: Dtype, D: KernelDevice<E>> Positioned<E, D> {
    /// That features and mask are those of these tokens.
    fn check(&self) -> Result<(), D::Err> {
        let (batch, tokens, _) = *self.channels.shape();
        let mask_fits = self
            .mask
            .as_ref()
            .is_none_or(|mask| *mask.shape() == (batch, tokens));
        let axes_fit = self.axes.iter().product::<usize>() == tokens && tokens > 0;
        let tables = self.features.iter().zip(&self.axes);
        let features_fit = (self.features.is_empty() || self.features.len() == self.axes.len())
            && tables
                .map(|(table, size)| table.len() % size)
                .all(|rest| rest == 0);
        check(mask_fits && axes_fit && features_fit)
    }

    /// Tokens with their features behind their channels. The features are made on the device; only a table for each
    /// axis is sent there.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub(crate) fn try_encode(self, record: &mut Record<E, D>) -> Result<Rows<E, D>, D::Err> {
        let tables: Vec<_> = (0..self.features.len())
            .map(|axis| (self.axes[axis], self.feature_width(axis)))
            .zip(&self.features)
            .collect();
        let axes = &self.axes;
        with_tape!(record, encode(self.channels, axes, &tables))
    }
}

fn encode<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    mut tokens: Rows<E, D, T>,
    axes: &[usize],
    tables: &[((usize, usize), &Vec<f64>)],
) -> Result<Rows<E, D, T>, D::Err> {
    let (batch, count, _) = *tokens.shape();
    let device = tokens.device().clone();
    for (axis, &((size, width), table)) in tables.iter().enumerate() {
        let before: usize = axes[..axis].iter().product();
        let after: usize = axes[axis + 1..].iter().product();
        let table = table.iter().map(|&x| E::from_f64(x).unwrap_or_default());
        let features = device
            .try_tensor_from_vec(table.collect(), (size, width))?
            .try_broadcast_like::<_, Axes2<0, 2>>(&(before, size, after, width))?
            .try_reshape_like(&(count, width))?
            .try_broadcast_like::<_, Axis<0>>(&(batch, count, width))?;
        tokens = (tokens, features).try_concat_along(Axis::<2>)?;
    }
    Ok(tokens)
}

/// Encoded tokens, normalised but for the weight and bias that each layer has of its own.
#[derive(Clone, Debug)]
pub struct Dense<E: Dtype, D: Storage<E> + Storage<bool>> {
    /// `(batch, tokens, width)`.
    pub(super) tokens: Rows<E, D>,
    pub(super) mask: Mask<D>,
    pub(super) attend: Attend,
}

#[cfg(feature = "f16")]
impl<E: Dtype, D: Storage<E> + Storage<bool>> Dense<E, D> {
    pub(super) fn tokens(&self) -> &Rows<E, D> {
        &self.tokens
    }

    /// The same with tokens of another data type.
    pub(super) fn with_tokens<E2: Dtype>(&self, tokens: Rows<E2, D>) -> Dense<E2, D>
    where
        D: Storage<E2>,
    {
        Dense {
            tokens,
            mask: self.mask.clone(),
            attend: self.attend,
        }
    }
}

/// Makes tokens ready in dfdx's own operations.
pub(super) fn plain_prepare<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    mut tokens: Positioned<E, D>,
    attend: Attend,
) -> Result<Dense<E, D>, D::Err> {
    fn normalize<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        x: Rows<E, D, T>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        let epsilon = layer_norm::EPSILON;
        D::try_in_f32(x, Normalize { epsilon })
    }
    tokens.check()?;
    let mask = tokens.mask.take().map_or(Mask::None, Mask::Keys);
    let encoded = tokens.try_encode(record)?;
    let tokens = with_tape!(record, normalize(encoded))?;
    Ok(Dense {
        tokens,
        mask,
        attend,
    })
}

pub(super) fn plain_cross_attention<E: Dtype, D: LinearKernel<E> + AttentionKernel<E>>(
    record: &mut Record<E, D>,
    query: Rows<E, D>,
    parameters: &CrossParameters<'_, E, D>,
    context: &Dense<E, D>,
) -> Result<Rows<E, D>, D::Err> {
    absorb::cross_attention(record, query, parameters, context, |record, query| {
        with_tape!(record, plain(query, context))
    })
}

/// `softmax(query · x̂ᵀ) · x̂` in dfdx's own operations; takes and returns `(batch, queries, width of a token)`.
pub(super) fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    query: Rows<E, D, T>,
    context: &Dense<E, D>,
) -> Result<Rows<E, D, T>, D::Err> {
    let keys = context.tokens.retaped::<T>();
    let scores = query.try_matmul(keys.try_permute::<_, Axes3<0, 2, 1>>()?)?;
    let (batch, queries, tokens) = *scores.shape();
    let shape = (batch, 1, queries, tokens);
    let weights = Weights {
        allowed: context.mask.over_scores::<E>(scores.device(), shape)?,
        softmax: Softmax::Tokens,
    };
    let scores = attention::clamp_scores(scores)?.try_reshape_like(&shape)?;
    D::try_in_f32(scores, weights)?
        .try_reshape_like(&(batch, queries, tokens))?
        .try_matmul(context.tokens.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{
        Outcome, assert_close, backward, matrix, numbers, samples, tensor, vector,
    };

    #[derive(Clone, Debug)]
    struct Case {
        batch: usize,
        queries: usize,
        channels: usize,
        axes: Vec<usize>,
        /// Per axis; 0: not encoded.
        features: usize,
        /// The size of scores.
        size: f64,
        /// A token may be attended to where its sample is below this; above 9: no mask.
        keep: f64,
        softmax: Softmax,
        /// Small: keys and values are made. Large: they are not.
        dim_head: usize,
        seed: u64,
    }

    fn run<E: Dtype>(case: &Case) -> Outcome
    where
        Cpu: Device<E>,
    {
        let &Case {
            batch,
            queries,
            channels,
            features,
            seed,
            ..
        } = case;
        let tokens: usize = case.axes.iter().product();
        let width = channels + case.axes.len() * features;
        let heads = Heads {
            count: 2,
            dim: case.dim_head,
        };
        let data = tensor::<_, E>(
            (batch, tokens, channels),
            &samples(seed, batch * tokens * channels),
        );
        let inner = heads.width();
        let query = samples(seed + 1, batch * queries * inner);
        let query: Vec<f64> = query.into_iter().map(|x| case.size * x).collect();
        let query = tensor((batch, queries, inner), &query);
        let norm_weight = vector(&samples(seed + 7, width));
        let norm_bias = vector(&samples(seed + 8, width));
        let to_kv = matrix(2 * inner, width, &samples(seed + 9, 2 * inner * width));
        let parameters = CrossParameters {
            norm_weight: &norm_weight,
            norm_bias: &norm_bias,
            to_kv: &to_kv,
            heads,
        };
        let mask = samples(seed + 2, batch * tokens).into_iter();
        let mask: Vec<bool> = mask.map(|x| x < case.keep).collect();
        let encoded = if features == 0 { &[][..] } else { &case.axes };
        let tables = encoded
            .iter()
            .map(|&size| samples(seed + 3 + size as u64, size * features))
            .collect();
        let dev = Cpu::default();
        let tokens = Positioned {
            channels: data.clone(),
            axes: case.axes.clone(),
            features: tables,
            mask: (case.keep < 9.0).then(|| dev.tensor_from_vec(mask, (batch, tokens))),
        };
        let attend = Attend {
            softmax: case.softmax,
            ..Attend::default()
        };
        let mut record = Record::new();
        let context = Cpu::try_prepare(&mut record, tokens, attend).unwrap();
        let out =
            Cpu::try_cross_attention(&mut record, query.clone(), &parameters, &context).unwrap();
        let (out, gradients) = backward(record, out);
        vec![
            out,
            numbers(&gradients.get(&query)),
            numbers(&gradients.get(&data)),
            numbers(&gradients.get(&norm_weight)),
            numbers(&gradients.get(&norm_bias)),
            numbers(&gradients.get(&to_kv)),
        ]
    }

    fn check(case: &Case, tolerance: f64) {
        assert_close(&run::<f32>(case), &run::<f64>(case), tolerance);
    }

    fn cases() -> impl Strategy<Value = Case> {
        let axes = prop_oneof![
            prop::collection::vec(1..30_usize, 1..3),
            prop::collection::vec(1..8_usize, 3..4),
        ];
        let keep = prop_oneof![Just(10.0), -1.0..1.0];
        let softmax = prop_oneof![3 => Just(Softmax::Tokens), 1 => Just(Softmax::Queries)];
        let dim_head = prop_oneof![Just(3), Just(64)];
        (
            (softmax, dim_head),
            1..3_usize,
            1..40_usize,
            1..6_usize,
            axes,
            0..9_usize,
            keep,
            0..1000_u64,
        )
            .prop_map(
                |((softmax, dim_head), batch, queries, channels, axes, features, keep, seed)| {
                    Case {
                        softmax,
                        dim_head,
                        batch,
                        queries,
                        // One number is its own mean: its derivative is all rounding.
                        channels: if features == 0 {
                            channels + 2
                        } else {
                            channels
                        },
                        axes,
                        features,
                        size: 0.5,
                        keep,
                        seed,
                    }
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn kernels_match_reference(case in cases()) {
            check(&case, 1e-4);
        }
    }

    /// An image that is cut among threads.
    const IMAGE: Case = Case {
        batch: 2,
        queries: 70,
        channels: 3,
        axes: Vec::new(),
        features: 9,
        size: 0.5,
        keep: 10.0,
        softmax: Softmax::Tokens,
        dim_head: 64,
        seed: 5,
    };

    #[test]
    fn an_image_is_cut_among_threads() {
        let case = Case {
            axes: vec![45, 51],
            ..IMAGE
        };
        check(&case, 1e-4);
        check(
            &Case {
                keep: 0.3,
                ..case.clone()
            },
            1e-4,
        );
        check(
            &Case {
                axes: vec![3, 15, 51],
                ..case
            },
            1e-4,
        );
    }

    #[test]
    fn one_token_no_token_and_extreme_scores() {
        let case = Case {
            axes: vec![1, 1],
            ..IMAGE
        };
        check(&case, 1e-4);
        check(
            &Case {
                axes: vec![6, 7],
                keep: -9.0,
                ..case.clone()
            },
            1e-4,
        );
        check(
            &Case {
                axes: vec![2000],
                batch: 1,
                ..case.clone()
            },
            1e-4,
        );
        // Of scores of ±1e4 f32 has three digits behind the point.
        check(
            &Case {
                axes: vec![6, 7],
                size: 1e3,
                ..case
            },
            2e-2,
        );
    }

    /// The order of evaluation is chosen by the number of operations, and nothing is made that is not needed.
    #[test]
    fn keys_and_values_are_made_only_where_that_is_less_work() {
        assert!(absorb::absorbs(29, 64, 256));
        assert!(absorb::absorbs(261, 64, 64));
        assert!(!absorb::absorbs(261, 64, 512));
        assert!(!absorb::absorbs(1024, 64, 2048));
    }

    #[test]
    fn tokens_stay_in_parts_unless_they_are_needed_whole_or_have_many_channels() {
        let dev = Cpu::default();
        let tokens = |channels| Positioned::<f32, Cpu> {
            channels: dev.zeros_like(&(1, 99, channels)),
            axes: vec![9, 11],
            features: vec![vec![0.5; 9 * 2], vec![0.5; 11 * 2]],
            mask: None,
        };
        let is_separable = |channels, attend| {
            let record = &mut Record::new();
            let context = Cpu::try_prepare(record, tokens(channels), attend).unwrap();
            context.is_separable()
        };
        let plain = Attend::default();
        let inverted = Attend {
            softmax: Softmax::Queries,
            ..plain
        };
        let dropped = Attend {
            dropout: 0.1,
            ..plain
        };
        assert!(is_separable(3, plain));
        assert!(!is_separable(5, plain));
        assert!(!is_separable(3, inverted));
        assert!(!is_separable(3, dropped));
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let fits = |tokens: usize, inner: usize, norm: usize| {
            let data = tensor::<_, f32>((1, 4, tokens), &vec![0.0; 4 * tokens]);
            let tokens = Positioned {
                channels: data,
                axes: vec![4],
                features: Vec::new(),
                mask: None,
            };
            let record = &mut Record::new();
            let context = Cpu::try_prepare(record, tokens, Attend::default()).unwrap();
            let parameters = CrossParameters {
                norm_weight: &vector(&vec![1.0; norm]),
                norm_bias: &vector(&vec![0.0; norm]),
                to_kv: &matrix(16, 5, &[0.0; 80]),
                heads: Heads { count: 2, dim: 4 },
            };
            let query = tensor((1, 3, inner), &vec![0.0; 3 * inner]);
            Cpu::try_cross_attention(record, query, &parameters, &context).is_ok()
        };
        assert!(fits(5, 8, 5));
        assert!(!fits(6, 8, 5));
        assert!(!fits(5, 7, 5));
        assert!(!fits(5, 8, 4));
    }
}
