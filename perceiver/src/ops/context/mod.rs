//! The context that latents attend to, prepared once for all layers, and attention to it.
//!
//! The core is `softmax(query · x̂ᵀ) · x̂`, where x̂ are the normalised tokens; `absorb.rs` explains how keys and
//! values are eliminated.

mod absorb;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
pub(crate) mod separable;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use dfdx::prelude::*;

use super::attention::{self, Weights};
use super::in_f32::Normalize;
use super::record::with_tape;
use super::{
    Attend, AttentionKernel, KernelDevice, LinearKernel, Mask, Matrix, Record, Rows, Selection,
    Vector, check, layer_norm, plain_in_f64,
};
use crate::spec::{Heads, Softmax};
pub(crate) use absorb::absorbs;
#[cfg(feature = "f16")]
pub(super) use absorb::cross_attention;
pub use cpu::CpuContext;
#[cfg(feature = "f16")]
pub(super) use cpu::attend_dense;

/// Cross attention to tokens that several layers attend to.
pub trait ContextKernel<E: Dtype>: LinearKernel<E> + AttentionKernel<E> {
    /// Tokens, as the device stores them, and the settings with which they can be attended to.
    type Context: Clone + Debug;

    /// Encodes and normalises tokens, to be attended to with the settings `attend`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_prepare(
        record: &mut Record<E, Self>,
        tokens: Positioned<E, Self>,
        attend: Attend,
    ) -> Result<Self::Context, Self::Err>;

    /// Attends to the tokens of a context, with the settings it was prepared with: same as
    /// [`try_attention`](AttentionKernel::try_attention), with keys and values projected from the tokens with
    /// `parameters`. Takes `(batch, queries, count · dim)` and returns `(batch, queries, count · value_dim)`.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
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
plain_in_f64!(ContextKernel, plain_context);

/// The parameters that turn normalised tokens into keys and values.
#[derive(Debug)]
pub struct CrossParameters<'a, E: Dtype, D: Storage<E>> {
    /// The weight of the tokens' norm, `(width,)`.
    pub norm_weight: &'a Vector<E, D>,
    /// The bias of the tokens' norm, `(width,)`.
    pub norm_bias: &'a Vector<E, D>,
    /// Projects to keys, then values: `(count · (dim + value_dim), width)`.
    pub to_kv: &'a Matrix<E, D>,
    /// `(count · (dim + value_dim),)`.
    pub kv_bias: Option<&'a Vector<E, D>>,
    /// The number and dimensions of the heads.
    pub heads: Heads,
}

impl<E: Dtype, D: KernelDevice<E>> CrossParameters<'_, E, D> {
    /// Checks that the parameters match the queries and tokens.
    fn check(&self, query: &Rows<E, D>, (batch, width): (usize, usize)) -> Result<(), D::Err> {
        let (key_value, inputs) = *self.to_kv.shape();
        let norms = [self.norm_weight, self.norm_bias];
        check(
            norms.iter().all(|norm| norm.shape().0.size() == width)
                && (key_value.size(), inputs.size()) == (self.heads.key_value_width(), width)
                && self.kv_bias.is_none_or(|bias| *bias.shape() == (key_value,))
                && (query.shape().0, query.shape().2) == (batch, self.heads.width()),
        )
    }
}

/// Tokens and their positions, not yet encoded.
#[derive(Clone, Debug)]
pub struct Positioned<E: Dtype, D: Storage<E> + Storage<bool>> {
    /// The input's own channels, `(batch, tokens, channels)`.
    pub channels: Rows<E, D>,
    /// The sizes of the input's axes; their product is the number of tokens.
    pub axes: Vec<usize>,
    /// For each axis, the features of each position along it, row by row. Empty if tokens are not encoded.
    pub features: Vec<Vec<f64>>,
    /// `(batch, tokens)`, true for each token that may be attended to. `None` for all.
    pub mask: Option<Tensor<(usize, usize), bool, D>>,
}

impl<E: Dtype, D: Storage<E> + Storage<bool>> Positioned<E, D> {
    /// The number of features that axis `axis` adds to each token.
    fn feature_width(&self, axis: usize) -> usize {
        self.features[axis].len() / self.axes[axis].max(1)
    }
}

impl<E: Dtype, D: KernelDevice<E>> Positioned<E, D> {
    /// Checks that the features and mask match the tokens.
    fn check(&self) -> Result<(), D::Err> {
        let (batch, tokens, _) = *self.channels.shape();
        let mask_fits = self.mask.as_ref().is_none_or(|mask| *mask.shape() == (batch, tokens));
        let axes_fit = self.axes.iter().product::<usize>() == tokens && tokens > 0;
        let tables = self.features.iter().zip(&self.axes);
        let features_fit = (self.features.is_empty() || self.features.len() == self.axes.len())
            && tables.map(|(table, size)| table.len() % size).all(|rest| rest == 0);
        check(mask_fits && axes_fit && features_fit)
    }

    /// Appends their features to the channels of the tokens. The features are expanded on the device; only one table
    /// per axis is copied there.
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

impl<E: Dtype, D: KernelDevice<E>> Positioned<E, D> {
    /// Same as [`try_encode`](Self::try_encode), for some of the tokens.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub(crate) fn try_encode_some(
        &self,
        record: &mut Record<E, D>,
        selection: &Selection,
    ) -> Result<Rows<E, D>, D::Err> {
        if matches!(selection, Selection::All) {
            return self.clone().try_encode(record);
        }
        let rows = super::select(record, self.channels.clone(), selection)?;
        if self.features.is_empty() {
            return Ok(rows);
        }
        let mut features = Vec::new();
        for place in selection.places(self.channels.shape().1) {
            let (mut rest, start) = (place, features.len());
            for axis in (0..self.axes.len()).rev() {
                let (size, width) = (self.axes[axis], self.feature_width(axis));
                let row = &self.features[axis][rest % size * width..][..width];
                // From the last axis to the first, so each goes before the one after it.
                features.splice(start..start, row.iter().copied());
                rest /= size;
            }
        }
        super::append_features(record, rows, &features)
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

/// Encoded tokens, normalised without the norm's weight and bias, of which each layer has its own.
#[derive(Clone, Debug)]
pub struct Dense<E: Dtype, D: Storage<E> + Storage<bool>> {
    /// `(batch, tokens, width)`.
    pub(super) tokens: Rows<E, D>,
    pub(super) mask: Mask<D>,
    pub(super) attend: Attend,
}

#[cfg(feature = "f16")]
impl<E: Dtype, D: Storage<E> + Storage<bool>> Dense<E, D> {
    /// Returns the same context, with tokens of another data type.
    pub(super) fn with_tokens<E2: Dtype>(&self, tokens: Rows<E2, D>) -> Dense<E2, D>
    where
        D: Storage<E2>,
    {
        Dense { tokens, mask: self.mask.clone(), attend: self.attend }
    }
}

/// Prepares tokens with dfdx's own operations.
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
    Ok(Dense { tokens, mask, attend })
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

/// Computes `softmax(query · x̂ᵀ) · x̂` with dfdx's own operations; takes and returns
/// `(batch, queries, width of a token)`.
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
