//! What a declared model can be given, in the words of its declaration.
//!
//! A mistake is to be one error, in these words: each trait names the model and its keys where it does not hold, and
//! what `forward` gives is an associated type of what it is given. Where that does not hold, rustc knows nothing of the
//! result, so that nothing done with it is a second error.
//!
//! The traits are here, and not in the expansion of `perceiver!`, because attributes like `diagnostic::on_unimplemented`
//! do not exist under `#![no_implicit_prelude]`.

use dfdx::prelude::*;

use super::{Input, Mask, Tokens};
use crate::ForwardError;

/// The positions of an input, `(batch, axis 1, ..)`, over which a mask lies.
#[diagnostic::on_unimplemented(
    message = "`{Model}` cannot take this mask: it has to be a `bool` tensor of the batch and the axes of the input",
    label = "expected `Tensor<{Self}, bool, {D}>` as the mask, found `{M}`"
)]
pub trait MaskedBy<M, Model: ?Sized, E: Dtype, D: Device<E>> {
    /// The tokens, behind their mask.
    ///
    /// # Errors
    /// As [`Tokens::try_masked`].
    fn tokens<B: Dim, const CHANNELS: usize, const AXES: usize, T>(
        parts: (Tokens<B, CHANNELS, AXES, E, D, T>, M),
    ) -> Result<Tokens<B, CHANNELS, AXES, E, D, T>, ForwardError<D::Err>>;
}

#[diagnostic::do_not_recommend]
impl<Positions, M: Mask<Positions, E, D>, Model: ?Sized, E: Dtype, D: Device<E>>
    MaskedBy<M, Model, E, D> for Positions
{
    fn tokens<B: Dim, const CHANNELS: usize, const AXES: usize, T>(
        parts: (Tokens<B, CHANNELS, AXES, E, D, T>, M),
    ) -> Result<Tokens<B, CHANNELS, AXES, E, D, T>, ForwardError<D::Err>> {
        let (tokens, mask) = parts;
        tokens.try_masked(mask)
    }
}

/// Holds for nothing.
pub trait Never {}

/// `I`, in a type of this crate, so that rustc can tell that [`Never`] does not hold for it.
pub struct Any<I>(I);

macro_rules! declared {
    (
        $(#[$doc:meta])*
        $name:ident<$($size:ident),+>: Input<$axes:tt $(, $shape:ty)?>,
        $message:literal, $label:literal
    ) => {
        $(#[$doc])*
        #[diagnostic::on_unimplemented(
            message = $message,
            label = $label,
            note = "a mask goes behind the input, in a pair: `(input, mask)`"
        )]
        pub trait $name<Model: ?Sized, $(const $size: usize,)+ E: Dtype, D: Device<E>>: Sized {
            /// As [`Input::Batch`].
            type Batch: Dim;
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
            ) -> Result<Tokens<Self::Batch, CHANNELS, $axes, E, D, Self::Tape>, ForwardError<D::Err>>
            where
                Self::Positions: MaskedBy<Self::Mask, Model, E, D>;

            /// Says that these are the logits.
            fn logits<const CLASSES: usize>(
                logits: Tensor<(Self::Batch, Const<CLASSES>), E, D, Self::Tape>,
            ) -> Self::Logits<CLASSES>;

            /// Says that these are the latents.
            fn latents<const N: usize, const DIM: usize>(
                latents: Tensor<(Self::Batch, Const<N>, Const<DIM>), E, D, Self::Tape>,
            ) -> Self::Latents<N, DIM>;
        }

        declared!(@ $name [Model] [$($size)+] [$axes $(, $shape)?] []);
        // Where one implementation fits a type, rustc takes the trait to hold when it looks up an associated type, and
        // what then does not hold of its bounds is an error of its own. Of two it looks at the bounds first. Inside of
        // this one, `Model` not being `Sized` leaves only one.
        declared!(@ $name [Model: ?Sized] [$($size)+] [$axes $(, $shape)?] [Any<I>: Never]);
    };
    (@
        $name:ident [$($Model:tt)+] [$($size:ident)+] [$axes:tt $(, $shape:ty)?] [$($never:tt)*]
    ) => {
        #[diagnostic::do_not_recommend]
        impl<I, $($Model)+, $(const $size: usize,)+ E: Dtype, D: Device<E>> $name<Model, $($size,)+ E, D> for I
        where
            I: Input<$axes, CHANNELS, E, D $(, Axes = $shape)?>,
            $($never)*
        {
            type Batch = <I as Input<$axes, CHANNELS, E, D>>::Batch;
            type Positions = <I as Input<$axes, CHANNELS, E, D>>::Positions;
            type Mask = <I as Input<$axes, CHANNELS, E, D>>::Mask;
            type Tape = <I as Input<$axes, CHANNELS, E, D>>::Tape;
            type Logits<const CLASSES: usize> = Tensor<(Self::Batch, Const<CLASSES>), E, D, Self::Tape>;
            type Latents<const N: usize, const DIM: usize> =
                Tensor<(Self::Batch, Const<N>, Const<DIM>), E, D, Self::Tape>;

            fn try_tokens(
                self,
            ) -> Result<Tokens<Self::Batch, CHANNELS, $axes, E, D, Self::Tape>, ForwardError<D::Err>>
            where
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
                latents: Tensor<(Self::Batch, Const<N>, Const<DIM>), E, D, Self::Tape>,
            ) -> Self::Latents<N, DIM> {
                latents
            }
        }
    };
}

declared!(
    /// An input of a model whose number of axes only the compiler can see.
    InputAxes<AXES, CHANNELS>: Input<AXES>,
    "`{Model}` cannot take this input: it was declared with `input_axis: {AXES}` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, {AXES} axes, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model with `input_axis: 1`.
    Input1<CHANNELS>: Input<1>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 1` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, axis 1, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model with `input_axis: 2`.
    Input2<CHANNELS>: Input<2>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 2` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, axis 1, axis 2, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model with `input_axis: 3`.
    Input3<CHANNELS>: Input<3>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 3` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, axis 1, axis 2, axis 3, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model with `input_axis: 4`.
    Input4<CHANNELS>: Input<4>,
    "`{Model}` cannot take this input: it was declared with `input_axis: 4` and `input_channels: {CHANNELS}`",
    "expected `Tensor<(batch, axis 1, axis 2, axis 3, axis 4, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model whose `input_shape` has 1 axis.
    InputShape1<A1, CHANNELS>: Input<1, (Const<A1>,)>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {CHANNELS}]`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model whose `input_shape` has 2 axes.
    InputShape2<A1, A2, CHANNELS>: Input<2, (Const<A1>, Const<A2>)>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {CHANNELS}]`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model whose `input_shape` has 3 axes.
    InputShape3<A1, A2, A3, CHANNELS>: Input<3, (Const<A1>, Const<A2>, Const<A3>)>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {A3}, {CHANNELS}]`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{A3}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);

declared!(
    /// An input of a model whose `input_shape` has 4 axes.
    InputShape4<A1, A2, A3, A4, CHANNELS>: Input<4, (Const<A1>, Const<A2>, Const<A3>, Const<A4>)>,
    "`{Model}` cannot take this input: it was declared with `input_shape: [{A1}, {A2}, {A3}, {A4}, {CHANNELS}]`",
    "expected `Tensor<(batch, Const<{A1}>, Const<{A2}>, Const<{A3}>, Const<{A4}>, Const<{CHANNELS}>), {E}, {D}>`, found `{Self}`"
);
