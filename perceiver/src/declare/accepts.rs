//! What a declared model can be given, in the words of its declaration.
//!
//! A mistake is to be one error, in these words: each trait is about one part of an input and names the model and its
//! keys where it does not hold. What `forward` gives is an associated type of what it is given: where that does not
//! hold, rustc knows nothing of the result, so that nothing done with it is a second error.
//!
//! The traits are here, and not in the expansion of `perceiver!`, because attributes like `diagnostic::on_unimplemented`
//! do not exist under `#![no_implicit_prelude]`.

use dfdx::prelude::*;

use crate::input::{Input, InputMask, Sizes, Tokens};
use crate::spec::Same;
use crate::{Device, ForwardError};

/// The number of channels of a model that is declared with `input_axis`.
#[diagnostic::on_unimplemented(
    message = "`{Model}` cannot take this input: it was declared with `input_channels: {CHANNELS}`",
    label = "expected `Const<{CHANNELS}>` as the last axis, found `{Self}`"
)]
pub trait Channels<const CHANNELS: usize, Model>: Same<Const<CHANNELS>> {}

#[diagnostic::do_not_recommend]
impl<const CHANNELS: usize, Model, C: Same<Const<CHANNELS>>> Channels<CHANNELS, Model> for C {}

/// The positions of an input, `(batch, axis 1, ..)`, over which a mask lies.
#[diagnostic::on_unimplemented(
    message = "`{Model}` cannot take this mask: it has to be a `bool` tensor of the batch and the axes of the input",
    label = "expected `Tensor<{Self}, bool, {D}>` as the mask, found `{M}`"
)]
pub trait MaskedBy<M, Model: ?Sized, E: Dtype, D: Storage<E>> {
    /// The tokens with their mask.
    ///
    /// # Errors
    /// As [`Tokens::try_masked`].
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
        parts: (Tokens<B, E, D, T>, M),
    ) -> Result<Tokens<B, E, D, T>, ForwardError<D::Err>>
    where
        D: Device<E>,
    {
        let (tokens, mask) = parts;
        tokens.try_masked(mask)
    }
}

/// Holds for nothing.
pub trait Never {}

/// `I`, in a type of this crate, so that rustc can tell that [`Never`] does not hold for it.
pub struct Any<I>(I);

/// Latents, `(batch, N, DIM)`.
pub type Latents<B, const N: usize, const DIM: usize, E, D, T> =
    Tensor<(B, Const<N>, Const<DIM>), E, D, T>;

macro_rules! input {
    ($(#[$doc:meta])* $name:ident<$($size:ident),*>: Input<$axes:tt>, $message:literal, $label:literal) => {
        $(#[$doc])*
        #[diagnostic::on_unimplemented(
            message = $message,
            label = $label,
            note = "a mask goes behind the input, in a pair: `(input, mask)`"
        )]
        pub trait $name<Model: ?Sized, $(const $size: usize,)* E: Dtype, D: Storage<E>>: Sized {
            /// As [`Input::Batch`].
            type Batch: Dim;
            /// As [`Input::Sizes`].
            type Sizes: Sizes;
            /// As [`Input::Positions`].
            type Positions;
            /// As [`Input::Mask`].
            type Mask;
            /// As [`Input::Tape`].
            type Tape: Tape<E, D>;
            /// What a classifier gives, `(batch, CLASSES)`.
            type Logits<const CLASSES: usize>;
            /// What `embed` gives, `(batch, N, DIM)`.
            type Latents<const N: usize, const DIM: usize>;

            /// As [`Input::into_tokens`].
            ///
            /// # Errors
            /// As [`Input::into_tokens`].
            fn try_tokens(
                self,
            ) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
            where
                D: Device<E>,
                Self::Positions: MaskedBy<Self::Mask, Model, E, D>;

            /// Says that these are the logits.
            fn logits<const CLASSES: usize>(
                logits: Tensor<(Self::Batch, Const<CLASSES>), E, D, Self::Tape>,
            ) -> Self::Logits<CLASSES>;

            /// Says that these are the latents.
            fn latents<const N: usize, const DIM: usize>(
                latents: Latents<Self::Batch, N, DIM, E, D, Self::Tape>,
            ) -> Self::Latents<N, DIM>;
        }

        input!(@ $name [Model] [$axes] [$($size)*] []);
        // Where one implementation fits a type, rustc takes the trait to hold when it looks up an associated type, and
        // what then does not hold of its bounds is an error of its own. Of two it looks at the bounds first. Inside of
        // this one, `Model` not being `Sized` leaves only one.
        input!(@ $name [Model: ?Sized] [$axes] [$($size)*] [Any<I>: Never]);
    };
    (@ $name:ident [$($Model:tt)+] [$axes:tt] [$($size:ident)*] [$($never:tt)*]) => {
        #[diagnostic::do_not_recommend]
        impl<I, $($Model)+, $(const $size: usize,)* E: Dtype, D: Storage<E>> $name<Model, $($size,)* E, D> for I
        where
            I: Input<$axes, E, D>,
            $($never)*
        {
            type Batch = <I as Input<$axes, E, D>>::Batch;
            type Sizes = <I as Input<$axes, E, D>>::Sizes;
            type Positions = <I as Input<$axes, E, D>>::Positions;
            type Mask = <I as Input<$axes, E, D>>::Mask;
            type Tape = <I as Input<$axes, E, D>>::Tape;
            type Logits<const CLASSES: usize> = Tensor<(Self::Batch, Const<CLASSES>), E, D, Self::Tape>;
            type Latents<const N: usize, const DIM: usize> =
                Latents<Self::Batch, N, DIM, E, D, Self::Tape>;

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
        }
    };
}

input!(
    /// An input of a model whose number of axes only the compiler can see.
    InputAxes<AXES>: Input<AXES>,
    "`{Model}` cannot take this input: it was declared with `input_axis: {AXES}`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, {AXES} axes, channels), {E}, {D}>`, found `{Self}`"
);

input!(
    /// An input of a model with one axis.
    Input1<>: Input<1>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 1`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, axis 1, channels), {E}, {D}>`, found `{Self}`"
);

input!(
    /// An input of a model with two axes.
    Input2<>: Input<2>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 2`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, axis 1, axis 2, channels), {E}, {D}>`, found `{Self}`"
);

input!(
    /// An input of a model with three axes.
    Input3<>: Input<3>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 3`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, axis 1, axis 2, axis 3, channels), {E}, {D}>`, found `{Self}`"
);

input!(
    /// An input of a model with four axes.
    Input4<>: Input<4>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 4`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, axis 1, axis 2, axis 3, axis 4, channels), {E}, {D}>`, found `{Self}`"
);

input!(
    /// An input of a model whose `input_shape` has one axis.
    InputShape1<A1, CHANNELS>: Input<1>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {CHANNELS}]`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

input!(
    /// An input of a model whose `input_shape` has two axes.
    InputShape2<A1, A2, CHANNELS>: Input<2>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {CHANNELS}]`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

input!(
    /// An input of a model whose `input_shape` has three axes.
    InputShape3<A1, A2, A3, CHANNELS>: Input<3>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {A3}, {CHANNELS}]`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{A3}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

input!(
    /// An input of a model whose `input_shape` has four axes.
    InputShape4<A1, A2, A3, A4, CHANNELS>: Input<4>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {A3}, {A4}, {CHANNELS}]`, and runs in `{E}` on `{D}`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{A3}>, Const<{A4}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

/// The sizes of a model that is declared with `input_shape`, one trait for each number of axes.
macro_rules! shape {
    ($name:ident<$($size:ident),+>, $message:literal, $label:literal) => {
        #[doc = $message]
        #[diagnostic::on_unimplemented(message = $message, label = $label)]
        pub trait $name<$(const $size: usize,)+ const CHANNELS: usize, Model>:
            Sizes<Channels = Const<CHANNELS>>
        {
        }

        #[diagnostic::do_not_recommend]
        impl<$(const $size: usize,)+ const CHANNELS: usize, Model, S> $name<$($size,)+ CHANNELS, Model> for S
        where
            S: Same<($(Const<$size>,)+ Const<CHANNELS>)> + Sizes<Channels = Const<CHANNELS>>,
        {
        }
    };
}

shape!(
    Shape1<A1>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {CHANNELS}]`",
    "expected `(Const<{A1}>, Const<{CHANNELS}>)` behind the batch, found `{Self}`"
);

shape!(
    Shape2<A1, A2>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {CHANNELS}]`",
    "expected `(Const<{A1}>, Const<{A2}>, Const<{CHANNELS}>)` behind the batch, found `{Self}`"
);

shape!(
    Shape3<A1, A2, A3>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {A3}, {CHANNELS}]`",
    "expected `(Const<{A1}>, Const<{A2}>, Const<{A3}>, Const<{CHANNELS}>)` behind the batch, found `{Self}`"
);

shape!(
    Shape4<A1, A2, A3, A4>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {A3}, {A4}, {CHANNELS}]`",
    "expected `(Const<{A1}>, Const<{A2}>, Const<{A3}>, Const<{A4}>, Const<{CHANNELS}>)` behind the batch, found `{Self}`"
);
