//! Attention and feed-forward, each with its norm and its residual connection.

use dfdx::prelude::*;

use super::ParameterSource;
use super::attention::{self, AttentionView};
use super::context::Context;
use super::feed_forward::{self, FeedForwardView};
use super::norm::{self, NormView};
use crate::WrongSize;
use crate::ops::{Attend, Mask, Matrix, Record, Rows, Vector};
use crate::spec::{Dropout, Heads};

/// `x + attention(norm(x), ..)`, then `x + feed_forward(norm(x))`: the one block that cross attention, self attention and
/// decoders are made of. The paper's section 3.1 and appendix C.
#[derive(Clone, Debug)]
pub struct BlockView<M, V> {
    /// Normalises what attends.
    pub norm: NormView<V>,
    /// Normalises what is attended to. `None`: `x` attends to itself.
    pub norm_context: Option<NormView<V>>,
    /// The attention.
    pub attention: AttentionView<M, V>,
    /// Normalises the input of the feed-forward.
    pub feed_forward_norm: NormView<V>,
    /// The feed-forward.
    pub feed_forward: FeedForwardView<M, V>,
}

impl<M, V> BlockView<M, V> {
    /// Reads a block for rows of `dim` numbers that attend to rows of `context` numbers, or to themselves.
    pub fn read<S: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut S,
        dim: usize,
        context: Option<usize>,
        heads: Heads,
    ) -> Self {
        Self {
            norm: source.within(format_args!("norm"), |source| NormView::read(source, dim)),
            norm_context: context.map(|context| {
                source
                    .within(format_args!("norm_context"), |source| NormView::read(source, context))
            }),
            attention: source.within(format_args!("attention"), |source| {
                AttentionView::read(source, dim, context.unwrap_or(dim), heads)
            }),
            feed_forward_norm: source
                .within(format_args!("feed_forward_norm"), |source| NormView::read(source, dim)),
            feed_forward: source
                .within(format_args!("feed_forward"), |source| FeedForwardView::read(source, dim)),
        }
    }
}

/// The number of parameters of a block.
pub(crate) const fn parameters(dim: usize, context: Option<usize>, heads: Heads) -> usize {
    let attention = match context {
        None => attention::parameters(dim, dim, heads),
        Some(context) => {
            let attention = attention::parameters(dim, context, heads);
            attention.saturating_add(norm::parameters(context))
        }
    };
    let norms = norm::parameters(dim).saturating_mul(2);
    attention.saturating_add(norms).saturating_add(feed_forward::parameters(dim))
}

impl<E: Dtype, D: crate::Device<E>> BlockView<&Matrix<E, D>, &Vector<E, D>> {
    /// Updates `x`, `(batch, rows, dim)`, from a context, which says how it is attended to, its dropout too.
    ///
    /// # Errors
    /// If the block has no `norm_context`, the sizes do not fit together, or the device runs out of memory.
    pub fn try_cross(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        context: &Context<E, D>,
        feed_forward_dropout: f64,
    ) -> Result<Rows<E, D>, D::Err> {
        let Some(norm_context) = &self.norm_context else {
            return Err(D::Err::wrong_size());
        };
        let query = self.norm.try_forward(record, x.clone())?;
        let branch = self.attention.try_attend_context(record, query, norm_context, context)?;
        let x = D::try_residual(record, x, branch, 0.0)?;
        self.try_feed_forward(record, x, feed_forward_dropout)
    }

    /// Updates `x`, `(batch, rows, dim)`, from itself.
    ///
    /// # Errors
    /// If the sizes do not fit together, or the device runs out of memory.
    pub fn try_self(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        mask: &Mask<D>,
        dropout: Dropout,
    ) -> Result<Rows<E, D>, D::Err> {
        let attend = Attend { dropout: dropout.attention, ..Attend::default() };
        let rows = self.norm.try_forward(record, x.clone())?;
        let branch = self.attention.try_attend(record, rows.clone(), rows, mask, attend)?;
        let x = D::try_residual(record, x, branch, 0.0)?;
        self.try_feed_forward(record, x, dropout.feed_forward)
    }

    fn try_feed_forward(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        dropout: f64,
    ) -> Result<Rows<E, D>, D::Err> {
        let rows = self.feed_forward_norm.try_forward(record, x.clone())?;
        let branch = self.feed_forward.try_forward(record, rows)?;
        D::try_residual(record, x, branch, dropout)
    }
}
