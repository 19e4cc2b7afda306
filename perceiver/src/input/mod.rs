//! The inputs of `forward`: what kinds there are, and their conversion to tokens with run-time dimensions.
//!
//! A [spec](crate::spec::Spec::Input) names one kind: a [`Grid`] of numbers, such as a sequence, an image or a video; [`Text`],
//! that is, ids; or several [`Modalities`]. Each can come with a mask, as the pair `(input, mask)`. The traits say which
//! tensors fit, so that others do not compile; the views hold the parameters with which an input becomes tokens.

mod grid;
mod mask;
pub(crate) mod modalities;
pub(crate) mod stem;
mod text;

pub use grid::{Grid, GridPart, GridSpec, GridView, StemView};
pub use mask::{InputMask, Unmasked};
pub use modalities::{
    Modalities, ModalitiesPart, Modality, ModalityInput, ModalityInputView, ModalityView,
};
pub use stem::Stem;
pub use text::{Ids, Text, TextPart, TextSpec, TextView};

use std::fmt::Debug;
use std::marker::PhantomData;

// Imported one by one: with a glob, rust-analyzer resolves `Device` to dfdx's.
use dfdx::prelude::{Dim, Dtype, HasShape, Merge, NoneTape, OwnedTape, Storage, Tape, Tensor};

use crate::nn::{Context, Parameters, Part};
use crate::ops::{self, Attend, Positioned, Record, Weight};
use crate::spec::{Mode, Spec};
use crate::{Device, ForwardError};

/// The kind of input that a spec declares: [`Grid`], [`Text`] or [`Modalities`].
pub trait InputKind: Clone + Debug + 'static {
    /// The number of axes.
    const AXES: usize;
    /// The number of channels at each position, before its encoding is appended.
    const CHANNELS: usize;
    /// The sizes of the input if it is text, otherwise `None`.
    const TEXT: Option<TextSpec> = None;
    /// The parameters of the input in a model with the spec `S`.
    type Part<S: Spec>: Part;

    /// Checks the values of an input, which types say nothing about.
    ///
    /// # Errors
    /// If the input is text, and an id is not in the vocabulary or there are more ids than the model has positions for.
    fn check<S: Spec, E: Dtype, D: Device<E>>(
        source: &Source<E, D>,
    ) -> Result<(), ForwardError<D::Err>> {
        _ = source;
        Ok(())
    }

    /// Returns the embedding of ids, `(vocab, dim)`, if the input is text.
    fn embedding<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
    ) -> Option<&Weight<E, D>> {
        _ = parameters;
        None
    }

    /// Turns an input into tokens, prepared for the latents to attend to.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn prepare<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        source: Source<E, D>,
        mask: Option<ops::AnyRank<bool, D>>,
        purpose: Purpose,
    ) -> Result<Prepared<E, D>, D::Err>;
}

/// What an input is prepared for, [`InputKind::prepare`].
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// The settings with which the latents attend to it.
    pub attend: Attend,
    /// Whether it is for inference or for training.
    pub mode: Mode,
    /// Whether the result must have the tokens themselves.
    pub keeps_tokens: bool,
}

/// The tokens of an input, as [`InputKind::prepare`] returns them.
#[derive(Clone, Debug)]
pub struct Prepared<E: Dtype, D: Device<E>> {
    /// What the latents attend to.
    pub context: Context<E, D>,
    /// The tokens themselves, if [`Purpose::keeps_tokens`] is true.
    pub tokens: Option<Positioned<E, D>>,
}

impl<E: Dtype, D: Device<E>> Prepared<E, D> {
    fn new(
        record: &mut Record<E, D>,
        tokens: Positioned<E, D>,
        purpose: Purpose,
    ) -> Result<Self, D::Err> {
        let kept = purpose.keeps_tokens.then(|| tokens.clone());
        Ok(Self { context: Context::of_tokens(record, tokens, purpose.attend)?, tokens: kept })
    }
}

/// The data of an input, with run-time dimensions.
#[derive(Clone, Debug)]
pub enum Source<E: Dtype, D: Storage<E> + Storage<bool> + Storage<usize>> {
    /// Numbers, `(batch, axis 1, .., channels)`, and the positions that are passed with them, `(batch, axis 1, .., width)`, if
    /// any are.
    Grid(ops::AnyRank<E, D>, Option<ops::AnyRank<E, D>>),
    /// Ids, `(batch, tokens)`.
    Ids(Tensor<(usize, usize), usize, D>),
    /// Several inputs, each with its mask.
    Modalities(Vec<(Self, Option<ops::AnyRank<bool, D>>)>),
}

impl<E: Dtype, D: Storage<E> + Storage<bool> + Storage<usize>> Source<E, D> {
    /// The sizes of the batch and the axes; of several inputs, just that of the batch.
    fn positions(&self) -> Vec<usize> {
        match self {
            Self::Grid(grid, _) => {
                let mut sizes = grid.sizes();
                sizes.pop();
                sizes
            }
            Self::Ids(ids) => vec![ids.shape().0, ids.shape().1],
            Self::Modalities(inputs) => {
                let batch =
                    inputs.first().and_then(|(first, _)| first.positions().first().copied());
                batch.into_iter().collect()
            }
        }
    }
}

/// Implemented by a kind of input for each input `I` that models with it accept.
pub trait Accepts<I, E: Dtype, D: Storage<E>>: InputKind {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The tape that the input carries.
    type Tape: Tape<E, D>;

    /// Converts the input to run-time dimensions.
    ///
    /// # Errors
    /// If the batch or an axis is empty, or the mask and the input differ in size.
    fn tokens(input: I) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
    where
        D: crate::Device<E>;
}

/// An input as a model processes it: its batch keeps its type, while the other dimensions are run-time sizes.
#[derive(Clone, Debug)]
pub struct Tokens<B: Dim, E: Dtype, D: Storage<E> + Storage<bool> + Storage<usize>, T = NoneTape> {
    pub(crate) source: Source<E, D>,
    pub(crate) mask: Option<ops::AnyRank<bool, D>>,
    pub(crate) batch: PhantomData<B>,
    pub(crate) tape: T,
}

impl<B: Dim, E: Dtype, D: crate::Device<E>, T> Tokens<B, E, D, T> {
    /// The size of the batch.
    pub(crate) fn batch_size(&self) -> usize {
        self.source.positions().first().copied().unwrap_or(0)
    }

    /// Adds positions, `(batch, axis 1, .., width)`, which are given as another input. The result has the tapes of both.
    ///
    /// # Errors
    /// If their batch or an axis differs in size from the input's.
    pub fn try_with_positions<B2: Dim, T2>(
        self,
        positions: Tokens<B2, E, D, T2>,
    ) -> Result<Tokens<B, E, D, T::Joined>, ForwardError<D::Err>>
    where
        T: JoinTapes<T2, E, D>,
    {
        let (given, input) = (positions.source.positions(), self.source.positions());
        if given != input {
            return Err(ForwardError::PositionShape { positions: given, input });
        }
        let source = match (self.source, positions.source) {
            (Source::Grid(grid, _), Source::Grid(positions, _)) => {
                Source::Grid(grid, Some(positions))
            }
            (source, _) => source,
        };
        let tape = self.tape.join(positions.tape);
        Ok(Tokens { source, mask: self.mask, batch: PhantomData, tape })
    }

    /// Makes this the first of several inputs of a model.
    #[must_use]
    pub fn first_modality(self) -> Self {
        let Self { source, mask, batch, tape } = self;
        Self { source: Source::Modalities(vec![(source, mask)]), mask: None, batch, tape }
    }

    /// Adds the next of several inputs, which is called `name`. The result has the tapes of both.
    ///
    /// # Errors
    /// If its batch differs in size from that of the first.
    pub fn try_with_modality<B2: Dim, T2>(
        self,
        name: &'static str,
        next: Tokens<B2, E, D, T2>,
    ) -> Result<Tokens<B, E, D, T::Joined>, ForwardError<D::Err>>
    where
        T: JoinTapes<T2, E, D>,
    {
        let (batch, expected) = (next.batch_size(), self.batch_size());
        if batch != expected {
            return Err(ForwardError::Batch { batch, expected }.of_modality(name));
        }
        let mut source = self.source;
        if let Source::Modalities(inputs) = &mut source {
            inputs.push((next.source, next.mask));
        }
        Ok(Tokens { source, mask: None, batch: PhantomData, tape: self.tape.join(next.tape) })
    }

    /// The same tokens with another tape.
    pub(crate) fn with_tape<T2>(self, tape: impl FnOnce(T) -> T2) -> Tokens<B, E, D, T2> {
        let Self { source, mask, batch, tape: old } = self;
        Tokens { source, mask, batch, tape: tape(old) }
    }

    /// Adds a mask over the positions of the input, `(batch, axis 1, ..)`, true where one may be attended to.
    ///
    /// # Errors
    /// If the mask and the input differ in size.
    pub fn try_masked<Positions, M: InputMask<Positions, E, D>>(
        self,
        mask: M,
    ) -> Result<Self, ForwardError<D::Err>> {
        let mask = mask.grid();
        if let Some(mask) = &mask {
            let (mask, input) = (mask.sizes(), self.source.positions());
            if mask != input {
                return Err(ForwardError::MaskShape { mask, input });
            }
        }
        Ok(Self { mask, ..self })
    }
}

/// Tapes that can be joined whichever of them tracks gradients. dfdx's `Merge` requires that the first does if the second does.
pub trait JoinTapes<T, E, D: Storage<E>> {
    /// The type of the joined tape.
    type Joined: Tape<E, D>;

    /// Returns a tape with the operations of both.
    fn join(self, other: T) -> Self::Joined;
}

impl<T: Tape<E, D>, E, D: Storage<E>> JoinTapes<T, E, D> for NoneTape {
    type Joined = T;

    fn join(self, other: T) -> T {
        other
    }
}

impl<E, D: Storage<E>> JoinTapes<NoneTape, E, D> for OwnedTape<E, D> {
    type Joined = Self;

    fn join(self, _: NoneTape) -> Self {
        self
    }
}

impl<E, D: Storage<E>> JoinTapes<Self, E, D> for OwnedTape<E, D> {
    type Joined = Self;

    fn join(self, other: Self) -> Self {
        self.merge(other)
    }
}

/// A tensor that a [`Grid`] with `AXES` axes accepts, from 0 to 4: `(batch, axis 1, .., channels)`, alone or in a pair with a
/// mask, a `bool` tensor `(batch, axis 1, ..)` that is true where a position may be attended to.
///
/// Batch, axes and channels may be `usize` or `Const`.
pub trait Input<const AXES: usize, E: Dtype, D: Storage<E>>: Sized {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The dimension of the channels.
    type Channels: Dim;
    /// The dimension of the first axis, which is that of the tokens if it is the only one.
    type Tokens: Dim;
    /// The dimensions of the axes and the channels, as a tuple.
    type Sizes: Sizes<Channels = Self::Channels>;
    /// The dimensions of the batch and the axes, as a tuple: those of a mask.
    type Positions;
    /// The type of the mask, [`Unmasked`] if there is none. It does not necessarily fit this input.
    type Mask;
    /// The tape that the tensor carries.
    type Tape: Tape<E, D>;

    /// Converts the input to run-time dimensions, and returns its mask separately.
    ///
    /// # Errors
    /// If the batch or an axis is empty.
    fn into_parts(
        self,
    ) -> Result<(Tokens<Self::Batch, E, D, Self::Tape>, Self::Mask), ForwardError<D::Err>>
    where
        D: crate::Device<E>;

    /// Converts the input and its mask to run-time dimensions.
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

/// A tuple of dimensions, `(axis 1, .., channels)`: the shape of an item of a [`Grid`].
pub trait Sizes {
    /// The last dimension, that of the channels.
    type Channels: Dim;
}
