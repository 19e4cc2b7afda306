//! Specifications: everything about a model that is known at compile time.
//!
//! [`Spec`] is that of a [`Perceiver`](crate::model::Perceiver), [`CausalSpec`] that of a
//! [`PerceiverAr`](crate::model::PerceiverAr). [`perceiver!`](crate::perceiver!) implements them for declared models; implement
//! one yourself for a model that no declaration describes.

mod block;
mod causal;
mod dims;
mod width;

use std::fmt::Debug;

use dfdx::shapes::ConstDim;

pub use block::{Activation, AttentionBias, BlockShape, Heads, Mlp};
pub(crate) use causal::CausalNumbers;
pub use causal::CausalSpec;
pub use dims::{EncodedWidth, Same};
pub use width::Width;

use crate::input::{GridSpec, InputKind, Modality, Stem, modalities};
use crate::model::{Output, OutputModality, QueryGrid, modalities as outputs};
use crate::position::Position;

/// The specification of a Perceiver.
///
/// [`perceiver!`](crate::perceiver!) implements it for each declared model, which is its own spec. For a model written by hand,
/// implement it for a type `S` of your own: the model is [`Perceiver<S, E, D>`](crate::model::Perceiver), where there is an
/// example.
///
/// What appears in the types of inputs and outputs is an associated type; everything else is a constant. The defaults are
/// those of the declaration's [keys](crate::perceiver!#keys). Constants that do not fit each other are a compile error where
/// `forward` is used.
pub trait Spec: Clone + Debug + 'static {
    /// The model's name, as shown in its summary.
    const NAME: &'static str;
    /// The kind of input: a [`Grid`](crate::input::Grid), [`Text`](crate::input::Text) or
    /// [`Modalities`](crate::input::Modalities).
    type Input: InputKind;
    /// The number of latents.
    type NumLatents: ConstDim;
    /// The dimension of each latent.
    type LatentDim: ConstDim;
    /// The output that `forward` computes from the latents, such as [`MeanPool`](crate::model::MeanPool).
    type Output: Output;
    /// The position encoding of a grid; [`Position::None`] for other inputs.
    const POSITION: Position;
    /// The sizes of a grid's axes, without its channels, if they are fixed; otherwise empty.
    const SHAPE: &'static [usize] = &[];
    /// The steps that turn a grid into tokens before their positions are encoded, in order.
    const STEM: &'static [Stem] = &[];
    /// The inputs of a model with several; otherwise empty.
    const MODALITIES: &'static [Modality] = &[];
    /// The number of learned values appended to each token of the widest of the [`MODALITIES`](Self::MODALITIES), at least 1.
    /// Narrower ones get more, so that all tokens are equally wide.
    const INPUT_PADDING: usize = 2;
    /// The outputs of a model with several; otherwise empty.
    const OUTPUTS: &'static [OutputModality] = &[];
    /// The same as [`INPUT_PADDING`](Self::INPUT_PADDING), for the queries of the [`OUTPUTS`](Self::OUTPUTS).
    const OUTPUT_PADDING: usize = 2;
    /// The width to which a shared linear layer projects the rows of all [`OUTPUTS`](Self::OUTPUTS).
    const OUTPUT_DIM: usize = 512;
    /// The grid whose positions are the queries of an output with [`OfGrid`](crate::model::OfGrid); `None` for other outputs.
    const QUERY_GRID: Option<QueryGrid> = None;
    /// The reference implementation whose initialisation and checkpoints the model uses.
    const FAMILY: Family = Family::PerceiverPytorch;
    /// The number of layers, each a cross attention and its self attentions.
    const DEPTH: usize;
    /// The number of layers, from the first on, that begin with a cross attention; the others have only self attentions.
    const CROSS_ATTENDS: usize = Self::DEPTH;
    /// The number of self attentions in each layer, after its cross attention if it has one.
    const SELF_PER_CROSS_ATTN: usize = 1;
    /// The heads of the cross attentions.
    const CROSS_HEADS: Heads = Heads::new(1, 64);
    /// The heads of the self attentions.
    const LATENT_HEADS: Heads = Heads::new(8, 64);
    /// Which linear maps of the attention layers have a bias.
    const ATTN_BIAS: AttentionBias = AttentionBias::OUTPUT;
    /// The feed-forward layer of each block.
    const FEED_FORWARD: Mlp = Mlp::GEGLU;
    /// The block in which the queries of an output attend to the latents; `None` for that of the [`FAMILY`](Self::FAMILY).
    const DECODER: Option<BlockShape> = None;
    /// The factor that an output with queries is multiplied by.
    const OUTPUT_SCALE: f64 = 1.0;
    /// Which layers share their weights.
    const SHARE: Share = Share::None;
    /// Whether the cross attentions attend to the latents as well as to the tokens, which must then be equally wide.
    const QUERIES_CONTRIBUTE_KV: bool = false;
    /// Whether the latents are normalised after the last layer.
    const FINAL_NORM: bool = false;
    /// The axis over which the weights of the cross attentions sum to 1.
    const CROSS_SOFTMAX: Softmax = Softmax::Tokens;
    /// Whether each layer has [`Softmax::Queries`] instead of [`Softmax::Tokens`], one flag per layer; empty if all layers have
    /// [`CROSS_SOFTMAX`](Self::CROSS_SOFTMAX).
    const INVERTED: &'static [bool] = &[];
    /// The rank of the weights, if each layer returns a weighted mean of its own result, those of all layers before it, and the
    /// initial latents; `None` if it returns its own result.
    const ATTN_RESIDUAL_RANK: Option<usize> = None;
    /// The dropout rates in training.
    const DROPOUT: Dropout = Dropout::NONE;
}

/// The reference implementation whose initialisation and checkpoint format a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// [perceiver-pytorch](https://pypi.org/project/perceiver-pytorch/) 0.11: latents are initialised from N(0, 1),
    /// linear layers as in PyTorch.
    PerceiverPytorch,
    /// Hugging Face's Transformers: latents and weights are initialised from N(0, 0.02²), biases to 0.
    Transformers,
}

/// Which layers of a model share their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every layer has its own weights.
    None,
    /// All layers after the first share one set of weights.
    AllButFirst,
    /// All layers share one set of weights.
    All,
}

impl Share {
    /// Returns what the key `weight_tie_layers` stands for: [`AllButFirst`](Self::AllButFirst) or [`None`](Self::None).
    #[must_use]
    pub const fn tied(weight_tie_layers: bool) -> Self {
        if weight_tie_layers { Self::AllButFirst } else { Self::None }
    }

    /// Returns the number of layers with weights of their own in a model with `depth` layers.
    #[must_use]
    pub const fn stored(self, depth: usize) -> usize {
        match self {
            Self::All if depth > 1 => 1,
            Self::AllButFirst if depth > 2 => 2,
            Self::None | Self::AllButFirst | Self::All => depth,
        }
    }
}

/// The axis over which attention weights sum to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Softmax {
    /// Each query's weights sum to 1 over the tokens.
    #[default]
    Tokens,
    /// Each token's weights sum to 1 over the queries, which thus compete for it; each query's weights are then divided
    /// by their sum (inverted attention, as in [slot attention](https://arxiv.org/abs/2006.15055)).
    Queries,
}

impl Softmax {
    /// Returns what the key `inverted_cross_attn` stands for: [`Queries`](Self::Queries) or [`Tokens`](Self::Tokens).
    #[must_use]
    pub const fn inverted(inverted_cross_attn: bool) -> Self {
        if inverted_cross_attn { Self::Queries } else { Self::Tokens }
    }
}

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For its result: nothing is random.
    Inference,
    /// For gradients: with dropout at the spec's rates, if gradients are tracked.
    Training,
}

impl Mode {
    pub(crate) const fn dropout<S: Spec>(self) -> Dropout {
        match self {
            Self::Inference => Dropout::NONE,
            Self::Training => S::DROPOUT,
        }
    }
}

/// Dropout rates, from 0 up to but not including 1. They apply only if gradients are tracked.
///
/// The rates of a spec are checked when it is compiled. dfdx panics if any other rate is not a probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dropout {
    /// The dropout rate of attention weights, `attn_dropout`.
    pub attention: f64,
    /// The dropout rate of feed-forward outputs, `ff_dropout`.
    pub feed_forward: f64,
}

impl Dropout {
    /// No dropout.
    pub const NONE: Self = Self { attention: 0.0, feed_forward: 0.0 };

    const fn check(self) {
        let rates = [self.attention, self.feed_forward];
        assert!(rates[0] >= 0.0 && rates[0] < 1.0, "the attention dropout must be in 0.0..1.0");
        assert!(rates[1] >= 0.0 && rates[1] < 1.0, "the feed-forward dropout must be in 0.0..1.0");
    }
}

/// The dimension of each token.
pub(crate) const fn token_dim<S: Spec>() -> usize {
    if S::MODALITIES.is_empty() {
        GridSpec::of::<S>().token_dim()
    } else {
        modalities::token_dim(S::MODALITIES, S::INPUT_PADDING)
    }
}

/// The numbers of a spec that the model runs with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub num_latents: usize,
    pub latent_dim: usize,
    pub depth: usize,
    pub stored_layers: usize,
    pub cross_attends: usize,
    pub self_per_cross_attn: usize,
    /// The block that attends from latents to tokens.
    pub cross: BlockShape,
    /// The block that attends among latents.
    pub latent: BlockShape,
    /// The block that attends from the queries of an output to the latents.
    pub decoder: BlockShape,
    pub queries_contribute_kv: bool,
    pub attn_residual_rank: Option<usize>,
    pub cross_softmax: Softmax,
    pub inverted: &'static [bool],
}

impl Numbers {
    /// The axis over which the weights of the cross attention of a layer sum to 1.
    pub const fn softmax_of(&self, layer: usize) -> Softmax {
        match layer < self.inverted.len() {
            true => Softmax::inverted(self.inverted[layer]),
            false => self.cross_softmax,
        }
    }

    /// Returns the numbers of `S`.
    ///
    /// # Panics
    /// If they are inconsistent, at compile time.
    pub const fn checked<S: Spec>() -> Self {
        assert!(S::NumLatents::SIZE > 0, "`NumLatents` must be at least 1");
        assert!(S::LatentDim::SIZE > 0, "`LatentDim` must be at least 1");
        assert!(S::DEPTH > 0, "`DEPTH` must be at least 1");
        let (cross, latent) = (S::CROSS_HEADS, S::LATENT_HEADS);
        assert!(
            cross.width() > 0 && cross.value_width() > 0,
            "`CROSS_HEADS` must have a count and a dim of at least 1"
        );
        assert!(
            latent.width() > 0 && latent.value_width() > 0,
            "`LATENT_HEADS` must have a count and a dim of at least 1"
        );
        if S::MODALITIES.is_empty() {
            GridSpec::of::<S>().check();
        } else {
            modalities::check(S::MODALITIES, S::INPUT_PADDING);
        }
        outputs::check(S::OUTPUTS, S::OUTPUT_PADDING);
        if let Some(grid) = S::QUERY_GRID {
            grid.check();
        }
        S::DROPOUT.check();
        assert!(
            S::CROSS_ATTENDS > 0 && S::CROSS_ATTENDS <= S::DEPTH,
            "`CROSS_ATTENDS` must be from 1 to `DEPTH`"
        );
        assert!(
            S::INVERTED.is_empty() || S::INVERTED.len() == S::DEPTH,
            "`INVERTED` must have one flag per layer"
        );
        assert!(
            !matches!(S::ATTN_RESIDUAL_RANK, Some(0)),
            "`ATTN_RESIDUAL_RANK` must be at least 1"
        );
        let numbers = Self::of::<S>();
        if let (true, Some(tokens)) = (S::QUERIES_CONTRIBUTE_KV, numbers.cross.context) {
            assert!(
                tokens == S::LatentDim::SIZE,
                "with `QUERIES_CONTRIBUTE_KV`, tokens must be as wide as latents"
            );
        }
        numbers
    }

    /// Returns the numbers of `S` without checking them.
    pub const fn of<S: Spec>() -> Self {
        let token_dim = token_dim::<S>();
        let latent = BlockShape {
            dim: S::LatentDim::SIZE,
            context: None,
            heads: S::LATENT_HEADS,
            bias: S::ATTN_BIAS,
            mlp: Some(S::FEED_FORWARD),
            residual: true,
        };
        Self {
            num_latents: S::NumLatents::SIZE,
            latent_dim: S::LatentDim::SIZE,
            depth: S::DEPTH,
            stored_layers: S::SHARE.stored(S::DEPTH),
            cross_attends: S::CROSS_ATTENDS,
            self_per_cross_attn: S::SELF_PER_CROSS_ATTN,
            cross: BlockShape { context: Some(token_dim), heads: S::CROSS_HEADS, ..latent },
            decoder: match S::DECODER {
                Some(decoder) => decoder,
                None => BlockShape {
                    dim: match S::OUTPUTS.is_empty() {
                        true => S::LatentDim::SIZE,
                        false => outputs::query_dim(S::OUTPUTS, S::OUTPUT_PADDING),
                    },
                    context: Some(S::LatentDim::SIZE),
                    residual: S::OUTPUTS.is_empty(),
                    heads: match S::FAMILY {
                        Family::PerceiverPytorch => S::CROSS_HEADS,
                        Family::Transformers => Heads::new(1, S::LatentDim::SIZE),
                    },
                    ..latent
                },
            },
            latent,
            queries_contribute_kv: S::QUERIES_CONTRIBUTE_KV,
            attn_residual_rank: S::ATTN_RESIDUAL_RANK,
            cross_softmax: S::CROSS_SOFTMAX,
            inverted: S::INVERTED,
        }
    }
}
