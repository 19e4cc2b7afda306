//! What a Perceiver is: everything about it that is known when it is compiled.

mod cost;
mod dims;
mod width;

use std::fmt::Debug;

use dfdx::shapes::ConstDim;

pub(crate) use cost::Cost;
pub use dims::{EncodedWidth, Same};
pub use width::Width;

use crate::input::InputKind;
use crate::model::Output;
use crate::position::Position;

/// A model of the Perceiver family. `perceiver!` writes one for each declaration, and the declared model is its own
/// spec; a model written by hand is [`Perceiver<Spec, E, D>`](crate::model::Perceiver).
///
/// What is part of the types of inputs and outputs is a type, the rest are numbers. The defaults are those of the
/// declaration's keys.
pub trait Spec: Clone + Debug + 'static {
    /// The model's name, as its summary shows it.
    const NAME: &'static str;
    /// The axes and channels of the input.
    type Input: InputKind;
    /// The number of latents.
    type NumLatents: ConstDim;
    /// The width of a latent.
    type LatentDim: ConstDim;
    /// What `forward` makes of the latents.
    type Output: Output;
    /// The position encoding.
    const POSITION: Position;
    /// The number of layers, each a cross attention and its self attentions.
    const DEPTH: usize;
    /// The number of self attentions after each cross attention.
    const SELF_PER_CROSS_ATTN: usize = 1;
    /// The heads of the cross attentions.
    const CROSS_HEADS: Heads = Heads { count: 1, dim: 64 };
    /// The heads of the self attentions.
    const LATENT_HEADS: Heads = Heads { count: 8, dim: 64 };
    /// Which layers share their weights.
    const SHARE: Share = Share::None;
    /// What the attention weights of the cross attentions sum to 1 over.
    const CROSS_SOFTMAX: Softmax = Softmax::Tokens;
    /// Dropout while training.
    const DROPOUT: Dropout = Dropout::NONE;
}

/// The heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// How many there are.
    pub count: usize,
    /// The width of one.
    pub dim: usize,
}

impl Heads {
    /// The width of all of them side by side.
    #[must_use]
    pub const fn width(self) -> usize {
        self.count.saturating_mul(self.dim)
    }

    /// What scores are scaled by: `1 / √dim`.
    #[must_use]
    pub fn scale(self) -> f64 {
        (self.dim as f64).powf(-0.5)
    }
}

/// Which layers share their weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every layer has its own.
    None,
    /// All layers but the first share one set.
    AllButFirst,
}

impl Share {
    /// What `weight_tie_layers` means.
    #[must_use]
    pub const fn tied(weight_tie_layers: bool) -> Self {
        if weight_tie_layers { Self::AllButFirst } else { Self::None }
    }

    /// The number of layers with weights of their own in a model of `depth` layers.
    #[must_use]
    pub const fn stored(self, depth: usize) -> usize {
        match self {
            Self::AllButFirst if depth > 2 => 2,
            Self::None | Self::AllButFirst => depth,
        }
    }
}

/// What the weights of an attention sum to 1 over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Softmax {
    /// Each query's weights, over the tokens.
    #[default]
    Tokens,
    /// Each token's weights, over the queries, which so compete for it; each query's weights are then divided by their
    /// sum (inverted attention, as in slot attention, arXiv 2006.15055).
    Queries,
}

impl Softmax {
    /// What `inverted_cross_attn` means.
    #[must_use]
    pub const fn inverted(inverted_cross_attn: bool) -> Self {
        if inverted_cross_attn { Self::Queries } else { Self::Tokens }
    }
}

/// Dropout rates, in `[0, 1)`. They act only where gradients are tracked; dfdx panics if one is not a probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dropout {
    /// Of attention weights, `attn_dropout`.
    pub attention: f64,
    /// Of the output of a feed-forward, `ff_dropout`.
    pub feed_forward: f64,
}

impl Dropout {
    /// Nothing is dropped.
    pub const NONE: Self = Self { attention: 0.0, feed_forward: 0.0 };

    const fn check(self) {
        let rates = [self.attention, self.feed_forward];
        assert!(rates[0] >= 0.0 && rates[0] < 1.0, "the dropout of attention must be in 0.0..1.0");
        assert!(
            rates[1] >= 0.0 && rates[1] < 1.0,
            "the dropout of feed-forwards must be in 0.0..1.0"
        );
    }
}

/// The numbers of a spec, with which the model runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub num_latents: usize,
    pub latent_dim: usize,
    pub token_dim: usize,
    pub position: Position,
    pub depth: usize,
    pub stored_layers: usize,
    pub self_per_cross_attn: usize,
    pub cross_heads: Heads,
    pub latent_heads: Heads,
    pub cross_softmax: Softmax,
}

impl Numbers {
    /// Those of `S`.
    ///
    /// # Panics
    /// If they do not fit together, when the program is compiled.
    pub const fn checked<S: Spec>() -> Self {
        assert!(S::NumLatents::SIZE > 0, "`NumLatents` must be at least 1");
        assert!(S::LatentDim::SIZE > 0, "`LatentDim` must be at least 1");
        assert!(S::DEPTH > 0, "`DEPTH` must be at least 1");
        let (cross, latent) = (S::CROSS_HEADS, S::LATENT_HEADS);
        assert!(cross.width() > 0, "`CROSS_HEADS` must have a count and a dim of at least 1");
        assert!(latent.width() > 0, "`LATENT_HEADS` must have a count and a dim of at least 1");
        S::POSITION.check(S::Input::AXES);
        S::DROPOUT.check();
        if let Some(dim) = S::Output::LATENT_DIM {
            assert!(
                dim == S::LatentDim::SIZE,
                "`Output` takes latents of another width than `LatentDim`"
            );
        }
        Self::of::<S>()
    }

    /// Those of `S`, whether they fit together or not.
    pub const fn of<S: Spec>() -> Self {
        Self {
            num_latents: S::NumLatents::SIZE,
            latent_dim: S::LatentDim::SIZE,
            token_dim: S::POSITION.token_dim(S::Input::AXES, S::Input::CHANNELS),
            position: S::POSITION,
            depth: S::DEPTH,
            stored_layers: S::SHARE.stored(S::DEPTH),
            self_per_cross_attn: S::SELF_PER_CROSS_ATTN,
            cross_heads: S::CROSS_HEADS,
            latent_heads: S::LATENT_HEADS,
            cross_softmax: S::CROSS_SOFTMAX,
        }
    }
}
