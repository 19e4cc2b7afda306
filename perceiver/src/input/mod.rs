//! The inputs of `forward`, and their conversion to run-time dimensions.

mod grid;
mod mask;

pub use grid::Grid;
pub use mask::{InputMask, Unmasked};

use std::marker::PhantomData;

use dfdx::prelude::*;

use crate::ForwardError;
use crate::ops;

/// The kind of input that a spec declares.
pub trait InputKind: 'static {
    /// The number of axes.
    const AXES: usize;
    /// The number of channels at each position.
    const CHANNELS: usize;
}

/// An input `I` that a model with this kind of input accepts.
pub trait Accepts<I, E: Dtype, D: Storage<E>>: InputKind {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The tape that the input carries.
    type Tape: Tape<E, D>;

    /// Converts the input to tokens, with run-time dimensions.
    ///
    /// # Errors
    /// If the batch or an axis is empty, or the mask and the input differ in size.
    fn tokens(input: I) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
    where
        D: crate::Device<E>;
}

/// An input as a model processes it: only the batch keeps its type, the other dimensions are run-time sizes.
#[derive(Clone, Debug)]
pub struct Tokens<B: Dim, E: Dtype, D: Storage<E> + Storage<bool>, T = NoneTape> {
    pub(crate) grid: ops::AnyRank<E, D>,
    pub(crate) mask: Option<ops::AnyRank<bool, D>>,
    pub(crate) batch: PhantomData<B>,
    pub(crate) tape: T,
}

impl<B: Dim, E: Dtype, D: crate::Device<E>, T> Tokens<B, E, D, T> {
    /// Adds a mask over the positions of the input that these tokens come from.
    ///
    /// # Errors
    /// If the mask and the input differ in size.
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

/// An input for a Perceiver with `AXES` axes: a tensor `(batch, axis 1, .., channels)` with one to four axes, or a pair
/// of such a tensor and a mask, a `bool` tensor `(batch, axis 1, ..)` that is true where a position may be attended to.
///
/// Batch, axes and channels may be `usize` or `Const`.
pub trait Input<const AXES: usize, E: Dtype, D: Storage<E>>: Sized {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The dimension of the channels.
    type Channels: Dim;
    /// The dimensions of the axes and the channels, as a tuple.
    type Sizes: Sizes<Channels = Self::Channels>;
    /// The dimensions of the batch and the axes, as a tuple: those of a mask.
    type Positions;
    /// The mask, which does not necessarily fit this input.
    type Mask;
    /// The tape that the tensor carries.
    type Tape: Tape<E, D>;

    /// Converts the dimensions to run-time sizes.
    ///
    /// # Errors
    /// If the batch or an axis is empty.
    fn into_parts(
        self,
    ) -> Result<(Tokens<Self::Batch, E, D, Self::Tape>, Self::Mask), ForwardError<D::Err>>
    where
        D: crate::Device<E>;

    /// Converts the dimensions to run-time sizes, including those of the mask.
    ///
    /// # Errors
    /// If the batch or an axis is empty, or the mask and the input differ in size.
    fn into_tokens(self) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
    where
        D: crate::Device<E>,
        Self::Mask: InputMask<Self::Positions, E, D>,
    {
        let (tokens, mask) = self.into_parts()?;
        tokens.try_masked(mask)
    }
}

/// A tuple of dimensions, `(axis 1, .., channels)`.
pub trait Sizes {
    /// The last dimension.
    type Channels: Dim;
}
