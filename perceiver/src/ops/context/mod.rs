//! What latents attend to, made ready once for all layers, and the one operation over it:
//! `softmax(query · x̂ᵀ) · x̂`, where x̂ are the tokens, normalised.
//!
//! Keys and values are linear in x̂: with the norm's weight γ and the projection W, `(x̂ γ) · W`. So what
//! a layer has of its own can be moved to the small side, to the queries and to what comes out, and
//! keys and values of all tokens never have to be made.

mod cpu;
mod separable;

use dfdx::prelude::*;

use super::attention::{self, Weights};
use super::{Device, Normalize, layer_norm};
pub use cpu::CpuContext;
pub(super) use cpu::{attend as cpu, prepare as cpu_prepare};

/// Tokens and where they are, not yet encoded.
#[derive(Clone, Debug)]
pub struct Positioned<E: Dtype, D: Device<E>, T = NoneTape> {
    /// The input's own channels, `(batch, tokens, channels)`.
    pub channels: Tensor<(usize, usize, usize), E, D, T>,
    /// The sizes of the input's axes; their product is the number of tokens.
    pub axes: Vec<usize>,
    /// For each axis, the features of each of its positions, row by row. Empty: tokens are not encoded.
    pub features: Vec<Vec<f64>>,
    /// 1 for each token of `(batch, tokens)` that may be attended to, 0 for the others. `None`: to all.
    pub mask: Option<Tensor<(usize, usize), E, D>>,
}

impl<E: Dtype, D: Device<E>, T> Positioned<E, D, T> {
    /// How many features axis `axis` adds to each token.
    fn feature_width(&self, axis: usize) -> usize {
        self.features[axis].len() / self.axes[axis].max(1)
    }
}

impl<E: Dtype, D: Device<E>, T: Tape<E, D>> Positioned<E, D, T> {
    /// Tokens with their features behind their channels. The features are made on the device; only a
    /// table for each axis is sent there.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_encode(self) -> Result<Tensor<(usize, usize, usize), E, D, T>, D::Err> {
        let (batch, count, _) = *self.channels.shape();
        let widths: Vec<usize> = (0..self.features.len())
            .map(|axis| self.feature_width(axis))
            .collect();
        let device = self.channels.device().clone();
        let mut tokens = self.channels;
        for (axis, table) in self.features.iter().enumerate() {
            let (size, width) = (self.axes[axis], widths[axis]);
            let before: usize = self.axes[..axis].iter().product();
            let after: usize = self.axes[axis + 1..].iter().product();
            let table: Vec<E> = table
                .iter()
                .map(|&x| E::from_f64(x).unwrap_or_default())
                .collect();
            let features = device
                .try_tensor_from_vec(table, (size, width))?
                .try_broadcast_like::<_, Axes2<0, 2>>(&(before, size, after, width))?
                .try_reshape_like(&(count, width))?
                .try_broadcast_like::<_, Axis<0>>(&(batch, count, width))?;
            tokens = (tokens, features).try_concat_along(Axis::<2>)?;
        }
        Ok(tokens)
    }
}

/// Encoded tokens, normalised but for the weight and bias that each layer has of its own.
#[derive(Clone, Debug)]
pub struct Dense<E: Dtype, D: Device<E>> {
    /// `(batch, tokens, width)`.
    pub tokens: Tensor<(usize, usize, usize), E, D>,
    /// As in [`Positioned`].
    pub mask: Option<Tensor<(usize, usize), E, D>>,
}

/// Makes tokens ready in dfdx's own operations.
pub(super) fn plain_prepare<E: Dtype, D: Device<E>, T: Tape<E, D>>(
    mut tokens: Positioned<E, D, T>,
) -> Result<(Dense<E, D>, T), D::Err> {
    let mask = tokens.mask.take();
    let normalize = Normalize {
        epsilon: layer_norm::EPSILON,
    };
    let (tokens, tape) = D::try_accumulate(tokens.try_encode()?, normalize)?.split_tape();
    Ok((Dense { tokens, mask }, tape))
}

/// The op in dfdx's own operations.
pub(super) fn plain<E: Dtype, D: Device<E>, T: Tape<E, D>>(
    query: Tensor<(usize, usize, usize), E, D, T>,
    context: &Dense<E, D>,
) -> Result<Tensor<(usize, usize, usize), E, D, T>, D::Err> {
    let keys = context
        .tokens
        .retaped::<T>()
        .try_permute::<_, Axes3<0, 2, 1>>()?;
    let scores = query.try_matmul(keys)?;
    let (batch, queries, tokens) = *scores.shape();
    let shape = (batch, Const::<1>, queries, tokens);
    let allowed = match &context.mask {
        None => None,
        Some(mask) => {
            let mask = mask.clone().try_broadcast_like::<_, Axes2<1, 2>>(&shape)?;
            Some(attention::allowed(mask)?)
        }
    };
    let weights = Weights {
        allowed,
        inverted: false,
    };
    let scores = attention::finite(scores)?.try_reshape_like(&shape)?;
    D::try_accumulate(scores, weights)?
        .try_reshape_like(&(batch, queries, tokens))?
        .try_matmul(context.tokens.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};
    use super::*;

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
        let data = tensor::<_, E>(
            (batch, tokens, channels),
            &samples(seed, batch * tokens * channels),
        );
        let query = samples(seed + 1, batch * queries * width);
        let query: Vec<f64> = query.into_iter().map(|x| case.size * x).collect();
        let query = tensor((batch, queries, width), &query);
        let mask = samples(seed + 2, batch * tokens).into_iter();
        let mask: Vec<f64> = mask.map(|x| f64::from(u8::from(x < case.keep))).collect();
        let encoded = if features == 0 { &[][..] } else { &case.axes };
        let tables = encoded
            .iter()
            .map(|&size| samples(seed + 3 + size as u64, size * features))
            .collect();
        let tokens = Positioned {
            channels: data.leaky_trace(),
            axes: case.axes.clone(),
            features: tables,
            mask: (case.keep < 9.0).then(|| tensor((batch, tokens), &mask)),
        };
        let (context, tape) = <Cpu as Device<E>>::try_context(tokens, false).unwrap();
        let out = <Cpu as Device<E>>::try_attend(query.clone().put_tape(tape), &context).unwrap();
        let (out, gradients) = backward(out);
        vec![
            out,
            numbers(&gradients.get(&query)),
            numbers(&gradients.get(&data)),
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
        (
            1..3_usize,
            1..40_usize,
            1..6_usize,
            axes,
            0..9_usize,
            keep,
            0..1000_u64,
        )
            .prop_map(
                |(batch, queries, channels, axes, features, keep, seed)| Case {
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
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn kernels_are_plain(case in cases()) {
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

    #[test]
    fn tokens_stay_in_parts_unless_they_are_needed_whole_or_have_many_channels() {
        let case = Case {
            axes: vec![9, 11],
            ..IMAGE
        };
        let dense = Case {
            channels: 5,
            ..case.clone()
        };
        let dev = Cpu::default();
        for (case, separable) in [(case, true), (dense, false)] {
            let tokens = Positioned::<f32, Cpu> {
                channels: dev.zeros_like(&(1, 99, case.channels)),
                axes: case.axes,
                features: vec![vec![0.5; 9 * 2], vec![0.5; 11 * 2]],
                mask: None,
            };
            let (context, _) = <Cpu as Device<f32>>::try_context(tokens.clone(), false).unwrap();
            assert_eq!(<Cpu as Device<f32>>::dense(&context).is_none(), separable);
            let (context, _) = <Cpu as Device<f32>>::try_context(tokens, true).unwrap();
            assert!(<Cpu as Device<f32>>::dense(&context).is_some());
        }
    }
}
