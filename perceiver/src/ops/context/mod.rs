//! What latents attend to, made ready once for all layers, and the one operation over it:
//! `softmax(query · x̂ᵀ) · x̂`, where x̂ are the tokens, normalised.
//!
//! Keys and values are linear in x̂: with the norm's weight γ and the projection W, `(x̂ γ) · W`. So what
//! a layer has of its own can be moved to the small side, to the queries and to what comes out, and
//! keys and values of all tokens never have to be made.

mod cpu;
mod separable;

use dfdx::prelude::*;

use super::{Device, layer_norm};
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
    let (tokens, tape) = tokens
        .try_encode()?
        .try_normalize::<Axis<2>>(layer_norm::EPSILON)?
        .split_tape();
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
    let scores = match &context.mask {
        None => scores,
        Some(mask) => {
            let allowed = mask
                .clone()
                .try_broadcast_like::<_, Axis<1>>(scores.shape())?
                .try_gt(E::default())?;
            super::attention::keep_or(&allowed, scores, super::attention::lowest())?
        }
    };
    scores
        .try_softmax::<Axis<2>>()?
        .try_matmul(context.tokens.clone())
}
