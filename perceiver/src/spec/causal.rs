//! The specification of a Perceiver AR.

use std::fmt::Debug;

use dfdx::shapes::ConstDim;

use super::{Activation, AttentionBias, BlockShape, Dropout, Heads, Mlp};

/// The specification of a [Perceiver AR](https://arxiv.org/abs/2202.07765), an autoregressive language model whose latents are
/// the last tokens of its input.
///
/// [`perceiver!`](crate::perceiver!) implements it for a model declared with `family: PerceiverAr`. For a model written by hand,
/// implement it for a type `S` of your own: the model is [`PerceiverAr<S, E, D>`](crate::model::PerceiverAr). The defaults are
/// those of the declaration's keys, and of [perceiver-io](https://pypi.org/project/perceiver-io/) 0.11.
///
/// ```
/// use perceiver::dfdx::nn::BuildModule;
/// use perceiver::model::PerceiverAr;
/// use perceiver::prelude::*;
/// use perceiver::spec::{CausalSpec, Heads};
///
/// #[derive(Clone, Debug)]
/// struct Bytes;
///
/// impl CausalSpec for Bytes {
///     const NAME: &str = "Bytes";
///     type Vocab = Const<256>;
///     const MAX_LEN: usize = 32;
///     const MAX_LATENTS: usize = 8;
///     const DIM: usize = 16;
///     const SELF_ATTENTIONS: usize = 2;
///     const CROSS_HEADS: Heads = Heads::new(2, 8);
///     const LATENT_HEADS: Heads = Heads::new(2, 8);
/// }
///
/// let dev = Cpu::default();
/// let model = PerceiverAr::<Bytes, f32, Cpu>::build(&dev);
/// let ids = dev.tensor_from_vec((0..12_usize).collect(), (Const::<1>, 12));
/// let logits: Tensor<(Const<1>, usize, Const<256>), f32, _> = model.try_forward(ids)?;
/// assert_eq!(logits.shape().1, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait CausalSpec: Clone + Debug + 'static {
    /// The model's name, as shown in its summary.
    const NAME: &'static str;
    /// The size of the vocabulary; ids must be below it.
    type Vocab: ConstDim;
    /// The largest number of tokens of an input.
    const MAX_LEN: usize;
    /// The largest number of latents, at most [`MAX_LEN`](Self::MAX_LEN).
    const MAX_LATENTS: usize;
    /// The dimension of tokens and latents.
    const DIM: usize;
    /// Whether a learned row is added to each token for its position.
    const LEARNED_POSITIONS: bool = true;
    /// The share of the channels of each head's queries and keys that is rotated by the position, from 0 to 1
    /// ([RoPE](https://arxiv.org/abs/2104.09864)); `None` for no rotation. Rotated heads must have an even dimension.
    const ROTARY: Option<f64> = None;
    /// The number of self attentions, from the first on, whose queries and keys are rotated; those of the cross attention always
    /// are.
    const ROTARY_LAYERS: usize = 1;
    /// The number of self attentions after the cross attention.
    const SELF_ATTENTIONS: usize;
    /// The heads of the cross attention.
    const CROSS_HEADS: Heads;
    /// The heads of the self attentions.
    const LATENT_HEADS: Heads;
    /// Which linear maps of the cross attention have a bias.
    const CROSS_BIAS: AttentionBias = AttentionBias::OUTPUT;
    /// Which linear maps of the self attentions have a bias.
    const LATENT_BIAS: AttentionBias = AttentionBias::NONE;
    /// The feed-forward layer of each block.
    const FEED_FORWARD: Mlp = Mlp { activation: Activation::Gelu, mult: 4, bias: false };
    /// Whether the latents are normalised after the last layer.
    const FINAL_NORM: bool = false;
    /// Whether the logits have a bias.
    const OUTPUT_BIAS: bool = true;
    /// The share of the tokens before the latents that is dropped in training, from 0 up to but not including 1.
    const PREFIX_DROPOUT: f64 = 0.5;
    /// The dropout rates in training.
    const DROPOUT: Dropout = Dropout::NONE;
}

/// The numbers of a spec that the model runs with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CausalNumbers {
    pub vocab: usize,
    pub max_len: usize,
    pub max_latents: usize,
    pub dim: usize,
    pub has_positions: bool,
    /// How many channels of each head are rotated in the cross attention, and in the self attentions.
    pub rotated: [usize; 2],
    pub rotary_layers: usize,
    pub self_attentions: usize,
    /// The block in which the latents attend to all tokens.
    pub cross: BlockShape,
    /// The block in which they attend to each other.
    pub latent: BlockShape,
    pub output_bias: bool,
    pub prefix_dropout: f64,
    pub dropout: Dropout,
}

impl CausalNumbers {
    /// Returns the numbers of `S`.
    ///
    /// # Panics
    /// If they are inconsistent, at compile time.
    pub const fn checked<S: CausalSpec>() -> Self {
        let numbers = Self::of::<S>();
        assert!(S::Vocab::SIZE > 0, "`Vocab` must be at least 1");
        assert!(S::MAX_LATENTS > 0, "`MAX_LATENTS` must be at least 1");
        assert!(S::MAX_LATENTS <= S::MAX_LEN, "`MAX_LATENTS` must not exceed `MAX_LEN`");
        assert!(numbers.cross.heads.width() > 0, "`CROSS_HEADS` must have a width of at least 1");
        assert!(numbers.latent.heads.width() > 0, "`LATENT_HEADS` must have a width of at least 1");
        if let Some(share) = S::ROTARY {
            assert!(share >= 0.0 && share <= 1.0, "`ROTARY` must be from 0 to 1");
            let dims = [numbers.cross.heads.dim, numbers.latent.heads.dim];
            assert!(
                dims[0].is_multiple_of(2) && dims[1].is_multiple_of(2),
                "heads that are rotated must have an even dimension"
            );
        }
        let rate = S::PREFIX_DROPOUT;
        assert!(rate >= 0.0 && rate < 1.0, "`PREFIX_DROPOUT` must be in 0.0..1.0");
        S::DROPOUT.check();
        numbers
    }

    /// Returns the numbers of `S` without checking them.
    pub const fn of<S: CausalSpec>() -> Self {
        let latent = BlockShape {
            dim: S::DIM,
            context: None,
            heads: S::LATENT_HEADS,
            bias: S::LATENT_BIAS,
            mlp: Some(S::FEED_FORWARD),
            residual: true,
        };
        Self {
            vocab: S::Vocab::SIZE,
            max_len: S::MAX_LEN,
            max_latents: S::MAX_LATENTS,
            dim: S::DIM,
            has_positions: S::LEARNED_POSITIONS,
            rotated: [
                rotated(S::ROTARY, S::CROSS_HEADS.dim),
                rotated(S::ROTARY, S::LATENT_HEADS.dim),
            ],
            rotary_layers: S::ROTARY_LAYERS,
            self_attentions: S::SELF_ATTENTIONS,
            cross: BlockShape {
                context: Some(S::DIM),
                heads: S::CROSS_HEADS,
                bias: S::CROSS_BIAS,
                ..latent
            },
            latent,
            output_bias: S::OUTPUT_BIAS,
            prefix_dropout: S::PREFIX_DROPOUT,
            dropout: S::DROPOUT,
        }
    }
}

/// How many channels of a head of this dimension are rotated: an even number.
const fn rotated(share: Option<f64>, dim: usize) -> usize {
    match share {
        Some(share) => (dim as f64 * share) as usize / 2 * 2,
        None => 0,
    }
}
