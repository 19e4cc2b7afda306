//! Attention and feed-forward, each with a norm and a residual connection.

use dfdx::prelude::*;

use super::ParameterSource;
use super::attention::{self, AttentionView};
use super::context::Context;
use super::feed_forward::{self, FeedForwardView};
use super::norm::{self, NormView};
use crate::WrongSize;
use crate::ops::{self, Attend, AttentionWeights, Mask, Record, Rows, Vector, Weight};
use crate::spec::{BlockShape, Dropout, Softmax};

/// The block that models are made of: `x + attention(norm(x), ..)`, then `x + feed_forward(norm(x))`.
///
/// Cross attentions, self attentions and decoders are such blocks (section 3.1 and appendix C of the paper). Its sizes are those
/// of a [`BlockShape`].
#[derive(Clone, Debug)]
pub struct BlockView<M, V> {
    /// Normalises the rows before they become queries, and in self attention keys and values.
    pub norm: NormView<V>,
    /// Normalises the context. `None` for self attention.
    pub norm_context: Option<NormView<V>>,
    /// The attention layer.
    pub attention: AttentionView<M, V>,
    /// Normalises the input of the feed-forward layer, if there is one.
    pub feed_forward_norm: Option<NormView<V>>,
    /// The feed-forward layer, if there is one.
    pub feed_forward: Option<FeedForwardView<M, V>>,
    /// Whether the result of the attention is added to the rows, or replaces them.
    pub residual: bool,
}

impl<M, V> BlockView<M, V> {
    /// Reads the parameters of a block of this shape.
    pub fn read<S: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut S,
        BlockShape { dim, context, heads, bias, mlp, residual }: BlockShape,
    ) -> Self {
        Self {
            norm: source.within(format_args!("norm"), |source| NormView::read(source, dim)),
            norm_context: context.map(|context| {
                source
                    .within(format_args!("norm_context"), |source| NormView::read(source, context))
            }),
            attention: source.within(format_args!("attention"), |source| {
                AttentionView::read(source, dim, context.unwrap_or(dim), heads, bias)
            }),
            feed_forward_norm: mlp.map(|_| {
                source
                    .within(format_args!("feed_forward_norm"), |source| NormView::read(source, dim))
            }),
            feed_forward: mlp.map(|mlp| {
                source.within(format_args!("feed_forward"), |source| {
                    FeedForwardView::read(source, dim, mlp)
                })
            }),
            residual,
        }
    }
}

/// The number of parameters of a block.
pub(crate) const fn parameters(shape: BlockShape) -> usize {
    let BlockShape { dim, context, heads, bias, mlp, .. } = shape;
    let attention = match context {
        None => attention::parameters(dim, dim, heads, bias),
        Some(context) => {
            let attention = attention::parameters(dim, context, heads, bias);
            attention.saturating_add(norm::parameters(context))
        }
    };
    let attention = attention.saturating_add(norm::parameters(dim));
    match mlp {
        None => attention,
        Some(mlp) => {
            let norm = norm::parameters(dim);
            attention.saturating_add(norm).saturating_add(feed_forward::parameters(dim, mlp))
        }
    }
}

/// The floating-point operations of a block, for each item of a batch: those of its attention from `rows` to `tokens`, and those
/// of its feed-forward layer.
pub(crate) const fn flops(shape: BlockShape, rows: u64, tokens: u64) -> [u64; 2] {
    let BlockShape { dim, context, heads, mlp, .. } = shape;
    let context = match context {
        Some(context) => context,
        None => dim,
    };
    let feed_forward = match mlp {
        Some(mlp) => feed_forward::flops(rows, dim, mlp),
        None => 0,
    };
    [attention::flops((rows, dim), (tokens, context), heads), feed_forward]
}

impl<E: Dtype, D: crate::Device<E>> BlockView<&Weight<E, D>, &Vector<E, D>> {
    /// Returns `x`, `(batch, rows, dim)`, updated by cross attention to a context, then by the feed-forward layer.
    ///
    /// The softmax and the attention dropout are those that the context was prepared with.
    ///
    /// # Errors
    /// If the block has no `norm_context`, the sizes do not match, or the device runs out of memory.
    pub fn try_cross(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        context: &Context<E, D>,
        feed_forward_dropout: f64,
    ) -> Result<Rows<E, D>, D::Err> {
        let x = self.try_attend_context(record, x, context)?;
        self.try_feed_forward(record, x, feed_forward_dropout)
    }

    /// The first half of [`try_cross`](Self::try_cross): attention and what it is added to.
    pub(super) fn try_attend_context(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        context: &Context<E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        let Some(norm_context) = &self.norm_context else {
            return Err(D::Err::wrong_size());
        };
        let query = self.norm.try_forward(record, x.clone())?;
        let residual = self.residual.then_some(&x);
        self.attention.try_attend_context(record, query, norm_context, context, residual)
    }

    /// The weights with which `x`, `(batch, rows, dim)`, attends to tokens that are not normalised, and with `keys_too` to
    /// itself: `(batch, heads, rows, tokens)`.
    pub(crate) fn try_weights(
        &self,
        x: Rows<E, D>,
        tokens: Rows<E, D>,
        mask: &Mask<D>,
        softmax: Softmax,
        keys_too: bool,
    ) -> Result<AttentionWeights<E, D>, D::Err> {
        let Some(norm_context) = &self.norm_context else {
            return Err(D::Err::wrong_size());
        };
        let mut record = Record::for_tape::<NoneTape>();
        let query = self.norm.try_forward(&mut record, x)?;
        let mut keys = norm_context.try_forward(&mut record, tokens)?;
        let (count, mut mask) = (keys.shape().1, mask.clone());
        if keys_too {
            mask = mask.followed_by::<E>(query.shape().1)?;
            keys = ops::concat(&mut record, keys, query.clone())?;
        }
        let weights = self.attention.try_weights(query, keys, &mask, softmax)?;
        if !keys_too {
            return Ok(weights);
        }
        let (batch, heads, rows, _) = *weights.shape();
        weights.try_slice((.., .., .., ..count))?.try_reshape_like(&(batch, heads, rows, count))
    }

    /// Returns `x`, `(batch, rows, dim)`, updated by self attention, then by the feed-forward layer.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn try_self(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        mask: &Mask<D>,
        dropout: Dropout,
    ) -> Result<Rows<E, D>, D::Err> {
        let attend = Attend { dropout: dropout.attention, ..Attend::default() };
        let rows = self.norm.try_forward(record, x.clone())?;
        let x = self.attention.try_attend(record, rows.clone(), rows, mask, attend, Some(&x))?;
        self.try_feed_forward(record, x, dropout.feed_forward)
    }

    /// The second half: the feed-forward layer, if there is one.
    pub(super) fn try_feed_forward(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        dropout: f64,
    ) -> Result<Rows<E, D>, D::Err> {
        let (Some(norm), Some(feed_forward)) = (&self.feed_forward_norm, &self.feed_forward) else {
            return Ok(x);
        };
        let rows = norm.try_forward(record, x.clone())?;
        if dropout == 0.0 || !record.is_on() {
            return feed_forward.try_forward(record, rows, Some(&x));
        }
        let branch = feed_forward.try_forward(record, rows, None)?;
        D::try_residual(record, x, branch, dropout)
    }
}
