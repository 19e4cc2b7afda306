//! The inputs that a declared model accepts, with errors in terms of its declaration.
//!
//! A mistake should cause a single error, in those terms: each trait covers one part of an input, and its message names
//! the model and its keys. The result of `forward` is an associated type of the input's trait: if the input does not
//! implement that trait, rustc knows nothing about the result, so using it causes no second error.

use dfdx::prelude::*;

use crate::input::{Ids, Input, InputMask, JoinTapes, Sizes, Tokens};
use crate::spec::Same;
use crate::{Device, ForwardError, WrongSize};

/// The channels of an input of any size.
#[diagnostic::on_unimplemented(
    message = "`{Model}` cannot take this input: it was declared with `input_channels: {CHANNELS}`",
    label = "expected `Const<{CHANNELS}>` as the last axis, found `{Self}`",
    note = "channels are the last axis, and their number is part of the type: `Tensor<(batch, axis 1, .., Const<{CHANNELS}>), ..>`"
)]
pub trait Channels<const CHANNELS: usize, Model>: Same<Const<CHANNELS>> {}

#[diagnostic::do_not_recommend]
impl<const CHANNELS: usize, Model, C: Same<Const<CHANNELS>>> Channels<CHANNELS, Model> for C {}

/// The axes and channels of an input of a fixed size.
#[diagnostic::on_unimplemented(
    message = "`{Model}` cannot take this input: it was declared with a different `input_shape`",
    label = "expected `{Declared}` after the batch axis, found `{Self}`"
)]
pub trait Shape<Declared, Model> {}

#[diagnostic::do_not_recommend]
impl<Declared, Model, S: Same<Declared>> Shape<Declared, Model> for S {}

/// The positions of an input, `(batch, axis 1, ..)`, to which a mask applies.
#[diagnostic::on_unimplemented(
    message = "`{Model}` cannot take this mask: expected a `bool` tensor with the input's batch and axes",
    label = "expected `Tensor<{Self}, bool, {D}>` as the mask, found `{M}`"
)]
pub trait MaskedBy<M, Model: ?Sized, E: Dtype, D: Storage<E>> {
    /// Adds the mask to the tokens.
    ///
    /// # Errors
    /// Same as [`Tokens::try_masked`].
    fn tokens<B: Dim, T>(
        parts: (Tokens<B, E, D, T>, M),
    ) -> Result<Tokens<B, E, D, T>, ForwardError<D::Err>>
    where
        D: Device<E>;
}

#[diagnostic::do_not_recommend]
impl<Positions, M: InputMask<Positions, E, D>, Model: ?Sized, E: Dtype, D: Storage<E>>
    MaskedBy<M, Model, E, D> for Positions
{
    fn tokens<B: Dim, T>(
        (tokens, mask): (Tokens<B, E, D, T>, M),
    ) -> Result<Tokens<B, E, D, T>, ForwardError<D::Err>>
    where
        D: Device<E>,
    {
        tokens.try_masked(mask)
    }
}

/// Latents, `(batch, N, DIM)`.
pub type Latents<B, const N: usize, const DIM: usize, E, D, T> =
    Tensor<(B, Const<N>, Const<DIM>), E, D, T>;

/// The axes of a grid of a fixed size, as a tuple.
pub trait GridAxes<B: Dim, const DIM: usize> {
    /// `(B, axis 1, .., Const<DIM>)`.
    type Shape: dfdx::shapes::Shape;

    /// Returns that shape.
    fn shape(batch: B) -> Self::Shape;
}

macro_rules! grid_axes {
    ($($N:ident)*) => {
        impl<B: Dim, $(const $N: usize,)* const DIM: usize> GridAxes<B, DIM> for ($(Const<$N>,)*) {
            type Shape = (B, $(Const<$N>,)* Const<DIM>);

            fn shape(batch: B) -> Self::Shape {
                (batch, $(Const::<$N>,)* Const)
            }
        }
    };
}
grid_axes!();
grid_axes!(A1);
grid_axes!(A1 A2);
grid_axes!(A1 A2 A3);
grid_axes!(A1 A2 A3 A4);

/// An output with a row for each position of a grid, `(batch, Axes.., DIM)`.
pub type GridOutput<B, Axes, const DIM: usize, E, D, T> =
    Tensor<<Axes as GridAxes<B, DIM>>::Shape, E, D, T>;

/// Gives rows the axes of a grid.
///
/// # Errors
/// If the sizes do not match.
pub fn try_grid<B: Dim, Axes: GridAxes<B, DIM>, const DIM: usize, E, D, T>(
    rows: Tensor<(B, usize, Const<DIM>), E, D, T>,
) -> Result<GridOutput<B, Axes, DIM, E, D, T>, ForwardError<D::Err>>
where
    E: Dtype,
    D: Device<E>,
    T: Tape<E, D>,
{
    let shape = Axes::shape(rows.shape().0);
    rows.try_reshape_like(&shape).map_err(ForwardError::Device)
}

/// Gives the rows of the next one of several outputs the axes of a grid.
///
/// # Errors
/// If the sizes do not match.
pub fn next_output<B: Dim, Axes: GridAxes<B, DIM>, const DIM: usize, E, D, T>(
    outputs: &mut std::vec::IntoIter<Tensor<(B, usize, usize), E, D, T>>,
) -> Result<GridOutput<B, Axes, DIM, E, D, T>, ForwardError<D::Err>>
where
    E: Dtype,
    D: Device<E>,
    T: Tape<E, D>,
{
    let Some(rows) = outputs.next() else {
        return Err(D::Err::wrong_size().into());
    };
    let shape = Axes::shape(rows.shape().0);
    rows.try_reshape_like(&shape).map_err(ForwardError::Device)
}

/// The next one of several outputs, at some points.
///
/// # Errors
/// If its width is another.
pub fn next_rows<B: Dim, const DIM: usize, E, D, T>(
    outputs: &mut std::vec::IntoIter<Tensor<(B, usize, usize), E, D, T>>,
) -> Result<Tensor<(B, usize, Const<DIM>), E, D, T>, ForwardError<D::Err>>
where
    E: Dtype,
    D: Device<E>,
    T: Tape<E, D>,
{
    let rows = outputs.next().and_then(|rows| rows.try_realize().ok());
    rows.ok_or_else(|| D::Err::wrong_size().into())
}

/// The batch of one of several inputs, which is that of the first.
#[diagnostic::on_unimplemented(
    message = "the input `{Modality}` must have the batch of the first input, `{Batch}`",
    label = "expected `{Batch}` as the batch axis of `{Modality}`, found `{Self}`"
)]
pub trait BatchOf<Modality, Batch>: Same<Batch> {}

#[diagnostic::do_not_recommend]
impl<Modality, Batch, B: Same<Batch>> BatchOf<Modality, Batch> for B {}

/// The tape of two inputs.
pub type Joined<T1, T2, E, D> = <T1 as JoinTapes<T2, E, D>>::Joined;

/// Says in which of several inputs an error is.
///
/// # Errors
/// If there is one.
pub fn of_modality<T, Err: core::fmt::Debug + core::fmt::Display>(
    name: &'static str,
    result: Result<T, ForwardError<Err>>,
) -> Result<T, ForwardError<Err>> {
    result.map_err(|error| error.of_modality(name))
}

/// What messages call the positions that come with an input.
#[allow(non_camel_case_types)]
pub enum positions {}

/// The width of positions that come with an input.
#[diagnostic::on_unimplemented(
    message = "these positions do not fit the declaration, `position: Given({WIDTH})`",
    label = "expected `Const<{WIDTH}>` as the last axis of the positions, found `{Self}`"
)]
pub trait GivenWidth<const WIDTH: usize>: Same<Const<WIDTH>> {}

#[diagnostic::do_not_recommend]
impl<const WIDTH: usize, W: Same<Const<WIDTH>>> GivenWidth<WIDTH> for W {}

/// Adds positions to an input.
///
/// # Errors
/// If one of them has an error, or they do not fit.
pub fn with_positions<B: Dim, B2: Dim, E: Dtype, D: Device<E>, T, T2>(
    input: Result<Tokens<B, E, D, T>, ForwardError<D::Err>>,
    positions: Result<Tokens<B2, E, D, T2>, ForwardError<D::Err>>,
) -> Result<Tokens<B, E, D, Joined<T, T2, E, D>>, ForwardError<D::Err>>
where
    T: JoinTapes<T2, E, D>,
{
    input?.try_with_positions(positions?)
}

/// Never implemented.
pub trait Never {}

/// Wraps `I` in a type of this crate, so that rustc knows that it does not implement [`Never`].
pub struct Any<I>(I);

/// A trait of what a model takes, implemented for what the library's `$Input` is.
///
/// If only one implementation matches a type, rustc assumes that it applies when it looks up an associated type: the
/// caret is then under `forward` instead of the argument, and each unsatisfied bound of the implementation is an error
/// of its own. With two implementations, it checks the bounds first; the second one never applies. (`Model: ?Sized`
/// leaves only one candidate inside the first.) `tests/ui/tensor` shows whether another version of rustc behaves
/// differently.
macro_rules! model_input {
    (
        $(#[$meta:meta])*
        $Trait:ident<$(const $SIZE:ident)?>: $Input:ident, $($(#[$own:meta])* $Own:ident: $Bound:ident,)*
    ) => {
        $(#[$meta])*
        pub trait $Trait<Model: ?Sized, $(const $SIZE: usize,)? E: Dtype, D: Storage<E>>: Sized {
            /// The dimension of the batch.
            type Batch: Dim;
            $($(#[$own])* type $Own: $Bound;)*
            /// The dimensions of the batch and the axes.
            type Positions;
            /// The mask, which need not be one for this input.
            type Mask;
            /// The tape that the input carries.
            type Tape: Tape<E, D>;
            /// The type of a classifier's output, `(batch, CLASSES)`.
            type Logits<const CLASSES: usize>;
            /// The type of the output of `embed`, `(batch, N, DIM)`.
            type Latents<const N: usize, const DIM: usize>;
            /// The dimension of the first axis: of the tokens, if it is the only one.
            type Tokens: Dim;
            /// The type of an output with a row for each token, `(batch, tokens, DIM)`.
            type Rows<const DIM: usize>;

            /// The type of an output with a row for each position of a grid, `(batch, Axes.., DIM)`.
            type Grid<Axes: GridAxes<Self::Batch, DIM>, const DIM: usize>;

            /// Converts the input to tokens with their mask.
            ///
            /// # Errors
            /// If the batch or an axis is empty, or the mask and the input differ in size.
            fn try_tokens(
                self,
            ) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
            where
                D: Device<E>,
                Self::Positions: MaskedBy<Self::Mask, Model, E, D>;

            /// Converts logits to their type here.
            fn logits<const CLASSES: usize>(
                logits: Tensor<(Self::Batch, Const<CLASSES>), E, D, Self::Tape>,
            ) -> Self::Logits<CLASSES>;

            /// Converts latents to their type here.
            fn latents<const N: usize, const DIM: usize>(
                latents: Latents<Self::Batch, N, DIM, E, D, Self::Tape>,
            ) -> Self::Latents<N, DIM>;

            /// Converts an output with a row for each token to its type here.
            fn rows<const DIM: usize>(
                rows: Tensor<(Self::Batch, Self::Tokens, Const<DIM>), E, D, Self::Tape>,
            ) -> Self::Rows<DIM>;

            /// Converts an output with a row for each position of a grid to its type here.
            ///
            /// # Errors
            /// If the sizes do not match.
            fn try_grid<Axes: GridAxes<Self::Batch, DIM>, const DIM: usize>(
                rows: Tensor<(Self::Batch, usize, Const<DIM>), E, D, Self::Tape>,
            ) -> Result<Self::Grid<Axes, DIM>, ForwardError<D::Err>>
            where
                D: Device<E>;
        }

        model_input!(@ [Model] [] $Trait [$($SIZE)?] $Input [$($Own)*]);
        model_input!(@ [Model: ?Sized] [Any<I>: Never] $Trait [$($SIZE)?] $Input [$($Own)*]);
    };
    (
        @ [$($Model:tt)+] [$($never:tt)*] $Trait:ident [$($SIZE:ident)?] $Input:ident [$($Own:ident)*]
    ) => {
        #[diagnostic::do_not_recommend]
        impl<I, $($Model)+, $(const $SIZE: usize,)? E: Dtype, D: Storage<E> + Storage<usize>>
            $Trait<Model, $($SIZE,)? E, D> for I
        where
            I: $Input<$($SIZE,)? E, D>,
            $($never)*
        {
            type Batch = <I as $Input<$($SIZE,)? E, D>>::Batch;
            $(type $Own = I::$Own;)*
            type Positions = <I as $Input<$($SIZE,)? E, D>>::Positions;
            type Mask = <I as $Input<$($SIZE,)? E, D>>::Mask;
            type Tape = <I as $Input<$($SIZE,)? E, D>>::Tape;
            type Logits<const CLASSES: usize> =
                Tensor<(Self::Batch, Const<CLASSES>), E, D, Self::Tape>;
            type Latents<const N: usize, const DIM: usize> =
                Latents<Self::Batch, N, DIM, E, D, Self::Tape>;
            type Tokens = <I as $Input<$($SIZE,)? E, D>>::Tokens;
            type Rows<const DIM: usize> =
                Tensor<(Self::Batch, Self::Tokens, Const<DIM>), E, D, Self::Tape>;
            type Grid<Axes: GridAxes<Self::Batch, DIM>, const DIM: usize> =
                Tensor<Axes::Shape, E, D, Self::Tape>;

            fn try_tokens(
                self,
            ) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
            where
                D: Device<E>,
                Self::Positions: MaskedBy<Self::Mask, Model, E, D>,
            {
                <Self::Positions as MaskedBy<Self::Mask, Model, E, D>>::tokens(self.into_parts()?)
            }

            fn logits<const CLASSES: usize>(
                logits: Tensor<(Self::Batch, Const<CLASSES>), E, D, Self::Tape>,
            ) -> Self::Logits<CLASSES> {
                logits
            }

            fn latents<const N: usize, const DIM: usize>(
                latents: Latents<Self::Batch, N, DIM, E, D, Self::Tape>,
            ) -> Self::Latents<N, DIM> {
                latents
            }

            fn rows<const DIM: usize>(
                rows: Tensor<(Self::Batch, Self::Tokens, Const<DIM>), E, D, Self::Tape>,
            ) -> Self::Rows<DIM> {
                rows
            }

            fn try_grid<Axes: GridAxes<Self::Batch, DIM>, const DIM: usize>(
                rows: Tensor<(Self::Batch, usize, Const<DIM>), E, D, Self::Tape>,
            ) -> Result<Self::Grid<Axes, DIM>, ForwardError<D::Err>>
            where
                D: Device<E>,
            {
                try_grid::<_, Axes, DIM, _, _, _>(rows)
            }
        }
    };
}

model_input!(
    /// A tensor with `AXES` axes between batch and channels, with or without a mask.
    #[diagnostic::on_unimplemented(
        message = "`{Model}` cannot take this input: it was declared with `input_axis: {AXES}`, and runs in `{E}` on `{D}`",
        label = "expected `Tensor<(batch, axes.., channels), {E}, {D}>` with {AXES} + 2 dimensions, found `{Self}`",
        note = "to mask an input, pass `(input, mask)`"
    )]
    GridInput<const AXES>: Input,
    /// The dimension of the channels.
    Channels: Dim,
    /// The dimensions of the axes and the channels, as a tuple.
    Sizes: Sizes,
);

model_input!(
    /// Ids, with or without a mask.
    #[diagnostic::on_unimplemented(
        message = "`{Model}` cannot take this input: it was declared with `input: Text`, and runs on `{D}`",
        label = "expected ids, `Tensor<(batch, tokens), usize, {D}>`, found `{Self}`",
        note = "to mask an input, pass `(input, mask)`"
    )]
    TextInput<>: Ids,
);
