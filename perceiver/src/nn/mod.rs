//! The building blocks of models: attention, feed-forward layers, norms, and how their parameters are stored.
//!
//! For models of your own, [`Attention`] and [`FeedForward`] are dfdx modules with their widths in their types: an input of
//! the wrong width does not compile. Inputs and results are `(batch, tokens, width)`.
//!
//! Everything else is how this crate's models are made, for run-time sizes. A [`Part`] names what has parameters; its view,
//! such as [`AttentionView`], has a field for each of them, reads them from a [`ParameterSource`], and computes with them;
//! [`Parameters`] stores them as a dfdx module. A part of your own is written the same way: see [`Part`].

pub(crate) mod attention;
pub(crate) mod block;
mod causal;
mod context;
pub(crate) mod conv_pool;
pub(crate) mod decoder;
pub(crate) mod feed_forward;
pub(crate) mod init;
pub(crate) mod linear;
pub(crate) mod norm;
mod parameters;
pub(crate) mod residual;

pub use attention::{Attention, AttentionPart, AttentionView};
pub use block::BlockView;
pub(crate) use causal::Before;
pub use context::Context;
pub(crate) use context::TokenMask;
pub use conv_pool::{BatchNormView, ConvPoolView};
pub(crate) use decoder::{Decoder, Last};
pub use feed_forward::{FeedForward, FeedForwardPart, FeedForwardView};
pub use linear::LinearView;
pub use norm::NormView;
pub use parameters::{Init, ParameterSource, Parameters, Part};
pub use residual::DepthResidualView;

// Imported one by one: with a glob, rust-analyzer resolves `Device` to dfdx's.
use dfdx::prelude::{Dim, Dtype, SplitTape, Tape, Tensor};

use crate::Device;
use crate::ops::{self, AnyRank, Record, Rows};

/// Converts a caller's tensor to rows.
fn rows_of<B: Dim, L: Dim, W: Dim, E: Dtype, D: Device<E>>(
    record: &mut Record<E, D>,
    x: Tensor<(B, L, W), E, D>,
) -> Result<Rows<E, D>, D::Err> {
    D::try_flatten(record, AnyRank::Three(ops::untyped(x)))
}

/// Runs a layer with its widths in its type: rows of width `I` become rows of width `O`.
fn layer<B: Dim, L: Dim, I: Dim, O: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    x: Tensor<(B, L, I), E, D, T>,
    layer: impl FnOnce(&mut Record<E, D>, Rows<E, D>) -> Result<Rows<E, D>, D::Err>,
) -> Result<Tensor<(B, L, O), E, D, T>, D::Err> {
    let (x, mut tape) = x.split_tape();
    let mut record = Record::for_tape::<T>();
    let x = rows_of(&mut record, x)?;
    let y = layer(&mut record, x)?;
    record.put_on(&mut tape);
    ops::typed(y, tape)
}
