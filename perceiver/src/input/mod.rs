//! The inputs of `forward`, and their conversion to run-time dimensions.

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

/// The kind of input that a spec declares.
pub trait InputKind: Clone + Debug + 'static {
    /// The number of axes.
    const AXES: usize;
    /// The number of channels at each position, before its encoding is appended.
    const CHANNELS: usize;
    /// If the input is text, its sizes.
    const TEXT: Option<TextSpec> = None;
    /// Its parameters in a model with this spec.
    type Part<S: Spec>: Part;

    /// Checks what only the values of an input show.
    ///
    /// # Errors
    /// If an id is not in the vocabulary, or there are more than the model has positions for.
    fn check<S: Spec, E: Dtype, D: Device<E>>(
        source: &Source<E, D>,
    ) -> Result<(), ForwardError<D::Err>> {
        _ = source;
        Ok(())
    }

    /// Returns the embedding of ids, if there is one.
    fn embedding<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
    ) -> Option<&Weight<E, D>> {
        _ = parameters;
        None
    }

    /// Prepares the tokens of an input, which the latents attend to.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn prepare<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        source: Source<E, D>,
        mask: Option<ops::AnyRank<bool, D>>,
        purpose: Purpose,
    ) -> Result<Prepared<E, D>, D::Err>;
}

/// What an input is prepared for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    /// The settings with which the latents attend to it.
    pub attend: Attend,
    /// Whether it is for training.
    pub mode: Mode,
    /// Whether the tokens themselves are needed, too.
    pub keeps_tokens: bool,
}

/// The tokens of an input.
#[derive(Clone, Debug)]
pub struct Prepared<E: Dtype, D: Device<E>> {
    /// What the latents attend to.
    pub context: Context<E, D>,
    /// The tokens themselves, if they are needed.
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

/// The data of an input.
#[derive(Clone, Debug)]
pub enum Source<E: Dtype, D: Storage<E> + Storage<bool> + Storage<usize>> {
    /// Numbers, `(batch, axis 1, .., channels)`, and `(batch, axis 1, .., width)`, the positions that are given with them.
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

    /// Adds the positions of the input, `(batch, axis 1, .., width)`, given as another input. The result has the tapes of both.
    ///
    /// # Errors
    /// If they are not as many as those of the input.
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

    /// The first of several inputs of a model.
    #[must_use]
    pub fn first_modality(self) -> Self {
        let Self { source, mask, batch, tape } = self;
        Self { source: Source::Modalities(vec![(source, mask)]), mask: None, batch, tape }
    }

    /// Adds the next one of several inputs, which is called `name`. The result has the tapes of both.
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
            let (mask, input) = (mask.sizes(), self.source.positions());
            if mask != input {
                return Err(ForwardError::MaskShape { mask, input });
            }
        }
        Ok(Self { mask, ..self })
    }
}

/// Tapes that are joined if either of them tracks gradients, unlike with dfdx's `Merge`, which the first must for that.
pub trait JoinTapes<T, E, D: Storage<E>> {
    /// The tape of both.
    type Joined: Tape<E, D>;

    /// Joins both.
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

/// An input for a Perceiver with `AXES` axes: a tensor `(batch, axis 1, .., channels)` with one to four axes, or a pair
/// of such a tensor and a mask, a `bool` tensor `(batch, axis 1, ..)` that is true where a position may be attended to.
///
/// Batch, axes and channels may be `usize` or `Const`.
pub trait Input<const AXES: usize, E: Dtype, D: Storage<E>>: Sized {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The dimension of the channels.
    type Channels: Dim;
    /// The dimension of the first axis: of the tokens, if it is the only one.
    type Tokens: Dim;
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
