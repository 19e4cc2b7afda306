//! What latents attend to.

use dfdx::prelude::*;

use super::{Dropout, FourierFeatures, Tokens};
use crate::error::memory_is_an_error;
use crate::ops::Positioned;

/// What the latents attend to: tokens, encoded and normalised, made ready once for all layers.
///
/// Made by [`Tokens::try_context`], or, of tokens that get a position encoding,
/// [`FourierFeatures::try_context`]. `WIDTH` is that of an encoded token. On the `Cpu` in `f32` the
/// encoding stays in its parts, and encoded tokens are never made.
#[derive(Clone, Debug)]
pub struct Context<B: Dim, const WIDTH: usize, E: Dtype, D: crate::Device<E>, T = NoneTape> {
    pub(super) prepared: D::Context,
    pub(super) batch: B,
    pub(super) tape: T,
}

impl<B: Dim, const WIDTH: usize, E: Dtype, D: crate::Device<E>, T> Context<B, WIDTH, E, D, T> {
    /// The context and the tape it carries.
    pub(super) fn split_tape(self) -> (Context<B, WIDTH, E, D>, T) {
        let context = Context {
            prepared: self.prepared,
            batch: self.batch,
            tape: NoneTape,
        };
        (context, self.tape)
    }
}

impl<B: Dim, const CHANNELS: usize, const AXES: usize, E, D, T>
    Tokens<B, Const<CHANNELS>, AXES, E, D, T>
where
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
{
    /// Makes tokens ready to be attended to as they are, without a position encoding. `inverted` and
    /// `dropout` are what the layers will be called with.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_context(
        self,
        inverted: bool,
        dropout: Dropout,
    ) -> Result<Context<B, CHANNELS, E, D, T>, D::Err> {
        prepare(self, Vec::new(), inverted, dropout)
    }
}

impl<const CHANNELS: usize, const AXES: usize, const BANDS: usize, const WIDTH: usize>
    FourierFeatures<CHANNELS, AXES, BANDS, WIDTH>
{
    /// Makes tokens ready to be attended to, with the features of their position. `inverted` and
    /// `dropout` are what the layers will be called with.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_context<B: Dim, E: Dtype, D: crate::Device<E>, T: Tape<E, D>>(
        &self,
        tokens: Tokens<B, Const<CHANNELS>, AXES, E, D, T>,
        inverted: bool,
        dropout: Dropout,
    ) -> Result<Context<B, WIDTH, E, D, T>, D::Err> {
        let features = self.tables(&tokens.axes);
        prepare(tokens, features, inverted, dropout)
    }
}

fn prepare<B: Dim, const CHANNELS: usize, const AXES: usize, const WIDTH: usize, E, D, T>(
    tokens: Tokens<B, Const<CHANNELS>, AXES, E, D, T>,
    features: Vec<Vec<f64>>,
    inverted: bool,
    dropout: Dropout,
) -> Result<Context<B, WIDTH, E, D, T>, D::Err>
where
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
{
    let batch = tokens.data.shape().0;
    let drops = dropout.attention > 0.0 && T::OWNS_TAPE;
    let (prepared, tape) =
        memory_is_an_error(|| D::try_context(tokens.try_positioned(features)?, inverted || drops))?;
    Ok(Context {
        prepared,
        batch,
        tape,
    })
}

impl<B: Dim, const CHANNELS: usize, const AXES: usize, E, D, T>
    Tokens<B, Const<CHANNELS>, AXES, E, D, T>
where
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
{
    /// The tokens as the device's operations take them.
    pub(super) fn try_positioned(
        self,
        features: Vec<Vec<f64>>,
    ) -> Result<Positioned<E, D, T>, D::Err> {
        let (batch, count, _) = *self.data.shape();
        let mask = match self.mask {
            None => None,
            Some(mask) => Some(mask.try_reshape_like(&(batch.size(), count))?),
        };
        Ok(Positioned {
            channels: self
                .data
                .try_reshape_like(&(batch.size(), count, CHANNELS))?,
            axes: self.axes.to_vec(),
            features,
            mask,
        })
    }
}
