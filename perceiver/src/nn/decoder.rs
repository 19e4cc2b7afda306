//! A block in which many queries attend to few rows, and the linear layers after it.
//!
//! Without gradients, what does not depend on the queries is multiplied out once, where that takes fewer operations: a query
//! `x` has the scores `(x · Wqᵀ + bq) · k = x · (k · Wq) + bq · k`, the sums of values `Σ p v · Woᵀ = Σ p (v · Woᵀ)`, and what
//! follows the feed-forward layer `h · Wcᵀ + x` is linear in `h` and `x`. The published model for optical flow has 182,528
//! queries of width 322 and a head of width 512, so this saves half of its decoder.

use dfdx::prelude::*;

use super::{BlockView, Context, LinearView};
use crate::ops::{
    self, Attend, FeedForwardParameters, Mask, Record, Rows, Vector, Weight, matrix, untyped,
};
use crate::spec::Heads;
use crate::{Device, WrongSize};

type Linear<'a, E, D> = LinearView<&'a Weight<E, D>, &'a Vector<E, D>>;

/// A block in which queries attend to rows that are prepared once.
pub(crate) struct Decoder<'a, E: Dtype, D: Device<E>> {
    block: &'a BlockView<&'a Weight<E, D>, &'a Vector<E, D>>,
    context: Context<E, D>,
    /// Keys and values for queries that are not projected, `(batch, rows, width + 1 + width)`.
    absorbed: Option<Rows<E, D>>,
    dropout: f64,
}

impl<'a, E: Dtype, D: Device<E>> Decoder<'a, E, D> {
    /// Prepares `rows`, `(batch, rows, dim)`, for so many queries.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn new(
        record: &mut Record<E, D>,
        block: &'a BlockView<&'a Weight<E, D>, &'a Vector<E, D>>,
        rows: Rows<E, D>,
        queries: usize,
        attend: Attend,
        dropout: f64,
    ) -> Result<Self, D::Err> {
        let (heads, width) = (block.attention.heads, block.attention.to_q.weight.shape().1.size());
        let absorbed = match !record.is_on() && absorbs(heads, width, rows.shape().1, queries) {
            true => Some(absorb(block, rows.clone())?),
            false => None,
        };
        let context = Context::of_rows(record, rows, None, attend)?;
        Ok(Self { block, context, absorbed, dropout })
    }

    /// The batch size.
    pub fn batch(&self) -> usize {
        self.context.batch()
    }

    /// Attends from queries, `(batch, queries, width)`, and passes what they become through the feed-forward layer and `last`.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn try_forward(
        &self,
        record: &mut Record<E, D>,
        queries: Rows<E, D>,
        last: &Last<'_, E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        let rows = match &self.absorbed {
            Some(key_value) => self.attend_absorbed(record, queries, key_value)?,
            None => self.block.try_attend_context(record, queries, &self.context)?,
        };
        match last {
            Last::Folded(folded) => folded.try_forward(record, rows, self.block),
            Last::Layers(layers) => {
                let mut rows = self.block.try_feed_forward(record, rows, self.dropout)?;
                for layer in layers {
                    rows = layer.try_forward(record, rows)?;
                }
                Ok(rows)
            }
        }
    }

    fn attend_absorbed(
        &self,
        record: &mut Record<E, D>,
        queries: Rows<E, D>,
        key_value: &Rows<E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        let (_, count, width) = *queries.shape();
        let query = self.block.norm.try_forward(record, queries.clone())?;
        let query = ops::append_features(record, query, &vec![1.0; count])?;
        let heads = Heads { count: 1, dim: width + 1, value_dim: width };
        let attend = Attend::default();
        let key_value = key_value.clone();
        let branch = D::try_attention(record, query, key_value, heads, &Mask::None, attend)?;
        match self.block.residual {
            true => D::try_residual(record, queries, branch, 0.0),
            false => Ok(branch),
        }
    }
}

/// Whether it takes fewer operations to project the rows than the queries, which have this width.
pub(crate) const fn absorbs(heads: Heads, width: usize, rows: usize, queries: usize) -> bool {
    let inner = heads.dim.saturating_add(heads.value_dim);
    let projected = queries.saturating_mul(inner).saturating_mul(rows.saturating_add(width));
    let attended =
        queries.saturating_mul(rows).saturating_mul(width.saturating_mul(2).saturating_add(1));
    let absorbed = attended.saturating_add(rows.saturating_mul(inner).saturating_mul(width));
    heads.count == 1 && absorbed < projected
}

/// Whether it takes fewer operations to multiply layers of these widths with the last one of a feed-forward layer, from `hidden`
/// numbers to `dim`.
pub(crate) const fn folds(dim: usize, hidden: usize, layers: &[usize], queries: usize) -> bool {
    let (mut i, mut width) = (0, dim);
    let (mut as_they_are, mut products) = (dim.saturating_mul(hidden), 0_usize);
    while i < layers.len() {
        let layer = layers[i].saturating_mul(width);
        as_they_are = as_they_are.saturating_add(layer);
        products = products.saturating_add(layer.saturating_mul(dim.saturating_add(hidden)));
        width = layers[i];
        i += 1;
    }
    let folded = queries.saturating_mul(width).saturating_mul(dim.saturating_add(hidden));
    !layers.is_empty() && folded.saturating_add(products) < queries.saturating_mul(as_they_are)
}

/// The keys and values of rows for queries that are not projected.
fn absorb<E: Dtype, D: Device<E>>(
    block: &BlockView<&Weight<E, D>, &Vector<E, D>>,
    rows: Rows<E, D>,
) -> Result<Rows<E, D>, D::Err> {
    let Some(norm) = &block.norm_context else {
        return Err(D::Err::wrong_size());
    };
    let mut off = Record::for_tape::<NoneTape>();
    let attention = &block.attention;
    let (heads, to_q) = (attention.heads, &attention.to_q);
    let rows = norm.try_forward(&mut off, rows)?;
    let key_value = attention.to_kv.try_forward(&mut off, rows)?;
    let (batch, count, _) = *key_value.shape();
    let key = key_value.clone().try_slice((.., .., ..heads.dim))?;
    let value = key_value.try_slice((.., .., heads.dim..))?;
    let key: Rows<E, D> = key.try_reshape_like(&(batch, count, heads.dim))?;
    let value: Rows<E, D> = value.try_reshape_like(&(batch, count, heads.value_dim))?;

    let weight = matrix(to_q.weight);
    let width = weight.shape().1;
    // The attention divides by the root of the width of its queries, which here is another one.
    let factor = ((width + 1) as f64).sqrt() * heads.scale();
    let factor = E::from_f64(factor).unwrap_or(E::ONE);
    let bias = match to_q.bias {
        Some(bias) => untyped::<_, (usize,), E, D>(bias.clone()),
        None => weight.device().try_zeros_like(&(heads.dim,))?,
    };
    let bias = bias.try_reshape_like(&(heads.dim, 1))?;
    let keys = key.clone().try_matmul(weight)?.try_mul(factor)?;
    let biases = key.try_matmul(bias)?.try_mul(factor)?;
    let values = attention.to_out.try_forward(&mut off, value)?;
    let keys = ops::concat_channels(&mut off, keys, biases)?;
    ops::concat_channels(&mut off, keys, values)
}

/// The linear layers after a block.
pub(crate) enum Last<'a, E: Dtype, D: Device<E>> {
    /// As they are.
    Layers(Vec<Linear<'a, E, D>>),
    /// Multiplied with the last layer of the block.
    Folded(Box<Folded<E, D>>),
}

impl<'a, E: Dtype, D: Device<E>> Last<'a, E, D> {
    /// Prepares layers for so many queries.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn new(
        record: &Record<E, D>,
        block: &BlockView<&Weight<E, D>, &Vector<E, D>>,
        layers: Vec<Linear<'a, E, D>>,
        queries: usize,
    ) -> Result<Self, D::Err> {
        let Some(feed_forward) = block.feed_forward.as_ref().filter(|_| !record.is_on()) else {
            return Ok(Self::Layers(layers));
        };
        let (dim, hidden) = *feed_forward.contract.weight.shape();
        let widths: Vec<_> = layers.iter().map(|layer| layer.weight.shape().0.size()).collect();
        if !folds(dim.size(), hidden.size(), &widths, queries) {
            return Ok(Self::Layers(layers));
        }
        Ok(Self::Folded(Box::new(Folded::new(&feed_forward.contract, &layers)?)))
    }
}

/// `layers(contract(h) + x)` as `h · hiddenᵀ + x · directᵀ + bias`.
pub(crate) struct Folded<E: Dtype, D: Device<E>> {
    hidden: Weight<E, D>,
    direct: Weight<E, D>,
    bias: Vector<E, D>,
}

impl<E: Dtype, D: Device<E>> Folded<E, D> {
    fn new(contract: &Linear<'_, E, D>, layers: &[Linear<'_, E, D>]) -> Result<Self, D::Err> {
        let device = contract.weight.device();
        let bias_of = |layer: &Linear<'_, E, D>| match layer.bias {
            Some(bias) => Ok(untyped::<_, (usize,), E, D>(bias.clone())),
            None => device.try_zeros_like(&(layer.weight.shape().0.size(),)),
        };
        let mut bias = bias_of(contract)?;
        let mut direct: Option<Tensor<(usize, usize), E, D>> = None;
        for layer in layers {
            let weight = matrix(layer.weight);
            let (outputs, inputs) = *weight.shape();
            let column = bias.try_reshape_like(&(inputs, 1))?;
            let moved: Tensor<(usize, usize), E, D> = weight.clone().try_matmul(column)?;
            bias = moved.try_reshape_like(&(outputs,))?.try_add(bias_of(layer)?)?;
            direct = Some(match direct {
                None => weight,
                Some(before) => weight.try_matmul(before)?,
            });
        }
        let direct = direct.ok_or_else(D::Err::wrong_size)?;
        let folded = |weight| Weight::from(untyped(weight));
        let hidden = direct.clone().try_matmul(matrix(contract.weight))?;
        Ok(Self { hidden: folded(hidden), direct: folded(direct), bias: untyped(bias) })
    }

    fn try_forward(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        block: &BlockView<&Weight<E, D>, &Vector<E, D>>,
    ) -> Result<Rows<E, D>, D::Err> {
        let (Some(norm), Some(feed_forward)) = (&block.feed_forward_norm, &block.feed_forward)
        else {
            return Err(D::Err::wrong_size());
        };
        let parameters = FeedForwardParameters {
            expand: feed_forward.expand.weight,
            expand_bias: feed_forward.expand.bias,
            contract: &self.hidden,
            contract_bias: Some(&self.bias),
            activation: feed_forward.activation,
        };
        let rows = norm.try_forward(record, x.clone())?;
        let direct = D::try_linear(record, x, &self.direct, None, None)?;
        D::try_feed_forward(record, rows, &parameters, Some(&direct))
    }
}
