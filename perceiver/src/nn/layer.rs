//! One layer of a Perceiver, and the run of layers over the latents.

use dfdx::prelude::*;

use super::{Attention, Context, CrossPreNorm, FeedForward, LayerNorm, PreNorm};
use crate::error::memory_is_an_error;
use crate::ops::AttentionOptions;

/// The probabilities with which a forward pass drops values; in `[0, 1)`, and 0 by default. They act only where
/// gradients are tracked; dfdx panics if one is not a probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dropout {
    /// Of an attention weight, `attn_dropout`.
    pub attention: f64,
    /// Of a value that a feed-forward layer gives, `ff_dropout`.
    pub feed_forward: f64,
}

impl Dropout {
    /// Nothing is dropped.
    pub const NONE: Self = Self {
        attention: 0.0,
        feed_forward: 0.0,
    };
}

/// The cross attention of a layer, from latents to tokens.
pub type CrossAttention<
    const DIM: usize,
    const CONTEXT: usize,
    const HEADS: usize,
    const DIM_HEAD: usize,
    E,
    D,
> = CrossPreNorm<DIM, CONTEXT, Attention<DIM, CONTEXT, HEADS, DIM_HEAD, E, D>, E, D>;

/// Self attention among the latents and the feed-forward behind it.
pub type SelfAttention<const DIM: usize, const HEADS: usize, const DIM_HEAD: usize, E, D> = (
    PreNorm<DIM, Attention<DIM, DIM, HEADS, DIM_HEAD, E, D>, E, D>,
    PreNorm<DIM, FeedForward<DIM, E, D>, E, D>,
);

/// A layer of a Perceiver: the latents attend to the tokens once and then `SELF_ATTNS` times to each
/// other, with a feed-forward after each; every step is normalised first and added to what it started
/// from. The paper's figure 1 and section 3.1.
///
/// Takes `DIM` wide latents and `CONTEXT` wide tokens.
#[derive(Clone, Debug)]
pub struct Layer<
    const DIM: usize,
    const CONTEXT: usize,
    const CROSS_HEADS: usize,
    const CROSS_DIM_HEAD: usize,
    const LATENT_HEADS: usize,
    const LATENT_DIM_HEAD: usize,
    const SELF_ATTNS: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// From latents to tokens.
    pub cross_attn: CrossAttention<DIM, CONTEXT, CROSS_HEADS, CROSS_DIM_HEAD, E, D>,
    /// After the cross attention.
    pub cross_ff: PreNorm<DIM, FeedForward<DIM, E, D>, E, D>,
    /// Among the latents.
    pub self_attns: Repeated<SelfAttention<DIM, LATENT_HEADS, LATENT_DIM_HEAD, E, D>, SELF_ATTNS>,
}

impl<
    const DIM: usize,
    const CONTEXT: usize,
    const CROSS_HEADS: usize,
    const CROSS_DIM_HEAD: usize,
    const LATENT_HEADS: usize,
    const LATENT_DIM_HEAD: usize,
    const SELF_ATTNS: usize,
    E: Dtype,
    D: Storage<E>,
>
    Layer<
        DIM,
        CONTEXT,
        CROSS_HEADS,
        CROSS_DIM_HEAD,
        LATENT_HEADS,
        LATENT_DIM_HEAD,
        SELF_ATTNS,
        E,
        D,
    >
{
    /// The number of trainable parameters.
    pub const PARAMETERS: usize = LayerNorm::<DIM, E, D>::PARAMETERS
        + LayerNorm::<CONTEXT, E, D>::PARAMETERS
        + Attention::<DIM, CONTEXT, CROSS_HEADS, CROSS_DIM_HEAD, E, D>::PARAMETERS
        + Self::FEED_FORWARD
        + SELF_ATTNS
            * (LayerNorm::<DIM, E, D>::PARAMETERS
                + Attention::<DIM, DIM, LATENT_HEADS, LATENT_DIM_HEAD, E, D>::PARAMETERS
                + Self::FEED_FORWARD);

    /// A feed-forward and the norm in front of it.
    const FEED_FORWARD: usize =
        LayerNorm::<DIM, E, D>::PARAMETERS + FeedForward::<DIM, E, D>::PARAMETERS;
}

impl<
    const DIM: usize,
    const CONTEXT: usize,
    const CROSS_HEADS: usize,
    const CROSS_DIM_HEAD: usize,
    const LATENT_HEADS: usize,
    const LATENT_DIM_HEAD: usize,
    const SELF_ATTNS: usize,
    E: Dtype,
    D: crate::Device<E>,
>
    Layer<
        DIM,
        CONTEXT,
        CROSS_HEADS,
        CROSS_DIM_HEAD,
        LATENT_HEADS,
        LATENT_DIM_HEAD,
        SELF_ATTNS,
        E,
        D,
    >
{
    /// Updates `latents`, `(batch, latents, DIM)`, from `context`. With `inverted` the latents compete for
    /// each token, see [`AttentionOptions::inverted`].
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_update<B: Dim, N: Dim, T: Tape<E, D>>(
        &self,
        latents: Tensor<(B, N, Const<DIM>), E, D, T>,
        context: &Context<B, CONTEXT, E, D>,
        inverted: bool,
        dropout: Dropout,
    ) -> Result<Tensor<(B, N, Const<DIM>), E, D, T>, D::Err> {
        let self_options = AttentionOptions {
            dropout: dropout.attention,
            ..AttentionOptions::default()
        };

        let attn = &self.cross_attn;
        let mut x = residual(latents, |x| {
            let x = attn.norm.try_forward(x)?;
            attn.inner
                .try_attend_normalized(x, &attn.norm_context, context, inverted, dropout)
        })?;
        x = feed_forward(&self.cross_ff, x, dropout)?;
        for (attn, ff) in &self.self_attns.modules {
            x = residual(x, |x| {
                let x = attn.norm.try_forward(x)?;
                let context = x.with_empty_tape();
                attn.inner.try_attend(x, context, &self_options)
            })?;
            x = feed_forward(ff, x, dropout)?;
        }
        Ok(x)
    }
}

/// A feed-forward with its norm, dropout and residual.
fn feed_forward<B: Dim, N: Dim, const DIM: usize, E: Dtype, D: crate::Device<E>, T: Tape<E, D>>(
    layer: &PreNorm<DIM, FeedForward<DIM, E, D>, E, D>,
    x: Tensor<(B, N, Const<DIM>), E, D, T>,
    dropout: Dropout,
) -> Result<Tensor<(B, N, Const<DIM>), E, D, T>, D::Err> {
    residual(x, |x| {
        let x = layer.try_forward(x)?;
        if dropout.feed_forward > 0.0 && T::OWNS_TAPE {
            x.try_dropout(dropout.feed_forward)
        } else {
            Ok(x)
        }
    })
}

/// `layer(x) + x`.
fn residual<S: Shape, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    x: Tensor<S, E, D, T>,
    layer: impl FnOnce(Tensor<S, E, D, T>) -> Result<Tensor<S, E, D, T>, D::Err>,
) -> Result<Tensor<S, E, D, T>, D::Err> {
    let skip = x.with_empty_tape();
    layer(x)?.try_add(skip)
}

/// Sends the learned `latents`, one copy for each item of the batch, through `depth` layers that each
/// attend to `context`; gives `(batch, NUM_LATENTS, DIM)`.
///
/// With fewer `layers` than `depth` the last one is used for the rest: tied weights. With more, the rest is not
/// used; with none, the latents are given as they are.
///
/// # Errors
/// If the device runs out of memory.
pub fn try_iterate<
    B: Dim,
    const NUM_LATENTS: usize,
    const DIM: usize,
    const CONTEXT: usize,
    const CROSS_HEADS: usize,
    const CROSS_DIM_HEAD: usize,
    const LATENT_HEADS: usize,
    const LATENT_DIM_HEAD: usize,
    const SELF_ATTNS: usize,
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
>(
    latents: &Tensor<Rank2<NUM_LATENTS, DIM>, E, D>,
    layers: &[Layer<
        DIM,
        CONTEXT,
        CROSS_HEADS,
        CROSS_DIM_HEAD,
        LATENT_HEADS,
        LATENT_DIM_HEAD,
        SELF_ATTNS,
        E,
        D,
    >],
    depth: usize,
    context: Context<B, CONTEXT, E, D, T>,
    inverted: bool,
    dropout: Dropout,
) -> Result<Tensor<(B, Const<NUM_LATENTS>, Const<DIM>), E, D, T>, D::Err> {
    let (context, tape) = context.split_tape();
    let mut x = latents
        .clone()
        .put_tape(tape)
        .try_broadcast_like::<_, Axis<0>>(&(context.batch, Const, Const))?;
    let tied = layers.last().into_iter().cycle();
    for layer in layers.iter().chain(tied).take(depth) {
        x = memory_is_an_error(|| layer.try_update(x, &context, inverted, dropout))?;
    }
    Ok(x)
}

impl<
    const DIM: usize,
    const CONTEXT: usize,
    const CROSS_HEADS: usize,
    const CROSS_DIM_HEAD: usize,
    const LATENT_HEADS: usize,
    const LATENT_DIM_HEAD: usize,
    const SELF_ATTNS: usize,
    E: Dtype,
    D: Device<E>,
> TensorCollection<E, D>
    for Layer<
        DIM,
        CONTEXT,
        CROSS_HEADS,
        CROSS_DIM_HEAD,
        LATENT_HEADS,
        LATENT_DIM_HEAD,
        SELF_ATTNS,
        E,
        D,
    >
{
    type To<E2: Dtype, D2: Device<E2>> = Layer<
        DIM,
        CONTEXT,
        CROSS_HEADS,
        CROSS_DIM_HEAD,
        LATENT_HEADS,
        LATENT_DIM_HEAD,
        SELF_ATTNS,
        E2,
        D2,
    >;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("cross_attn", |s| &s.cross_attn, |s| &mut s.cross_attn),
                Self::module("cross_ff", |s| &s.cross_ff, |s| &mut s.cross_ff),
                Self::module("self_attns", |s| &s.self_attns, |s| &mut s.self_attns),
            ),
            |(cross_attn, cross_ff, self_attns)| Layer {
                cross_attn,
                cross_ff,
                self_attns,
            },
        )
    }
}
