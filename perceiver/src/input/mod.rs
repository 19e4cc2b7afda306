//! What `forward` takes, with its dimensions turned into numbers.

mod grid;
mod mask;

pub use grid::Grid;
pub use mask::{InputMask, Unmasked};

use std::marker::PhantomData;

use dfdx::prelude::*;

use crate::ForwardError;
use crate::ops;

/// What a spec says about an input.
pub trait InputKind: 'static {
    /// The number of axes.
    const AXES: usize;
    /// The number of channels of a position.
    const CHANNELS: usize;
}

/// An input `I` that a model with this kind of input takes.
pub trait Accepts<I, E: Dtype, D: Storage<E>>: InputKind {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The tape that the input carries.
    type Tape: Tape<E, D>;

    /// Turns the input's dimensions into numbers.
    ///
    /// # Errors
    /// If the batch or an axis is empty, or the mask is of another size than the input.
    fn tokens(input: I) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
    where
        D: crate::Device<E>;
}

/// An input as a model takes it: its dimensions are numbers, but for that of the batch.
#[derive(Clone, Debug)]
pub struct Tokens<B: Dim, E: Dtype, D: Storage<E> + Storage<bool>, T = NoneTape> {
    pub(crate) grid: ops::AnyRank<E, D>,
    pub(crate) mask: Option<ops::AnyRank<bool, D>>,
    pub(crate) batch: PhantomData<B>,
    pub(crate) tape: T,
}

impl<B: Dim, E: Dtype, D: crate::Device<E>, T> Tokens<B, E, D, T> {
    /// These tokens with a mask over the positions of the input they come from.
    ///
    /// # Errors
    /// If the mask is of another size than the input.
    pub fn try_masked<Positions, M: InputMask<Positions, E, D>>(
        self,
        mask: M,
    ) -> Result<Self, ForwardError<D::Err>> {
        let mask = mask.grid();
        if let Some(mask) = &mask {
            let (mask, mut input) = (mask.sizes(), self.grid.sizes());
            input.pop();
            if mask != input {
                return Err(ForwardError::MaskShape { mask, input });
            }
        }
        Ok(Self { mask, ..self })
    }
}

/// What can be handed to a Perceiver of `AXES` axes: a tensor `(batch, axis 1, .., channels)` with one to four axes,
/// or a pair of it and a mask, a `bool` tensor `(batch, axis 1, ..)` that is true where a position may be attended to.
///
/// Batch, axes and channels may be `usize` or `Const`.
pub trait Input<const AXES: usize, E: Dtype, D: Storage<E>>: Sized {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The dimension of the channels.
    type Channels: Dim;
    /// The dimensions of the axes and the channels, as a tuple.
    type Sizes: Sizes<Channels = Self::Channels>;
    /// The dimensions of the batch and the axes, as a tuple: what a mask lies over.
    type Positions;
    /// The mask, which need not be one for this input.
    type Mask;
    /// The tape that the tensor carries.
    type Tape: Tape<E, D>;

    /// Turns the dimensions into numbers.
    ///
    /// # Errors
    /// If the batch or an axis is empty.
    fn into_parts(
        self,
    ) -> Result<(Tokens<Self::Batch, E, D, Self::Tape>, Self::Mask), ForwardError<D::Err>>
    where
        D: crate::Device<E>;

    /// Turns the dimensions into numbers, those of the mask too.
    ///
    /// # Errors
    /// If the batch or an axis is empty, or the mask is of another size than the input.
    fn into_tokens(self) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
    where
        D: crate::Device<E>,
        Self::Mask: InputMask<Self::Positions, E, D>,
    {
        let (tokens, mask) = self.into_parts()?;
        tokens.try_masked(mask)
    }
}

/// Dimensions as a tuple, `(axis 1, .., channels)`.
pub trait Sizes {
    /// The last one.
    type Channels: Dim;
}
