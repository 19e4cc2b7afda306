//! What a declared model can be given, in the words of its declaration.
//!
//! A mistake is to be one error, in these words: each trait is about one part of an input and names the model and its
//! keys where it does not hold. What `forward` returns is an associated type of what it is given: where that does not
//! hold, rustc knows nothing of the result, so that nothing done with it is a second error.

use dfdx::prelude::*;

use crate::input::{Input, InputMask, Sizes, Tokens};
use crate::spec::Same;
use crate::{Device, ForwardError};

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
    message = "`{Model}` cannot take this input: it was declared with another `input_shape`",
    label = "expected `{Declared}` after the batch axis, found `{Self}`"
)]
pub trait Shape<Declared, Model> {}

#[diagnostic::do_not_recommend]
impl<Declared, Model, S: Same<Declared>> Shape<Declared, Model> for S {}

/// The positions of an input, `(batch, axis 1, ..)`, over which a mask lies.
#[diagnostic::on_unimplemented(
    message = "`{Model}` cannot take this mask: expected a `bool` tensor with the input's batch and axes",
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

/// A tensor with `AXES` axes between batch and channels, alone or with a mask.
#[diagnostic::on_unimplemented(
    message = "`{Model}` cannot take this input: it was declared with `input_axis: {AXES}`, and runs in `{E}` on `{D}`",
    label = "expected `Tensor<(batch, axes.., channels), {E}, {D}>` with {AXES} + 2 dimensions, found `{Self}`",
    note = "to mask an input, pass `(input, mask)`"
)]
pub trait GridInput<Model: ?Sized, const AXES: usize, E: Dtype, D: Storage<E>>: Sized {
    /// As [`Input::Batch`].
    type Batch: Dim;
    /// As [`Input::Channels`].
    type Channels: Dim;
    /// As [`Input::Sizes`].
    type Sizes: Sizes;
    /// As [`Input::Positions`].
    type Positions;
    /// As [`Input::Mask`].
    type Mask;
    /// As [`Input::Tape`].
    type Tape: Tape<E, D>;
    /// What a classifier returns, `(batch, CLASSES)`.
    type Logits<const CLASSES: usize>;
    /// What `embed` returns, `(batch, N, DIM)`.
    type Latents<const N: usize, const DIM: usize>;

    /// As [`Input::into_tokens`].
    ///
    /// # Errors
    /// As [`Input::into_tokens`].
    fn try_tokens(self) -> Result<Tokens<Self::Batch, E, D, Self::Tape>, ForwardError<D::Err>>
    where
        D: Device<E>,
        Self::Positions: MaskedBy<Self::Mask, Model, E, D>;

    /// The logits, as their type here.
    fn logits<const CLASSES: usize>(
        logits: Tensor<(Self::Batch, Const<CLASSES>), E, D, Self::Tape>,
    ) -> Self::Logits<CLASSES>;

    /// The latents, as their type here.
    fn latents<const N: usize, const DIM: usize>(
        latents: Latents<Self::Batch, N, DIM, E, D, Self::Tape>,
    ) -> Self::Latents<N, DIM>;
}

/// Never implemented.
pub trait Never {}

/// `I`, in a type of this crate, so that rustc can tell that [`Never`] does not hold for it.
pub struct Any<I>(I);

/// Where a single implementation fits a type, rustc takes the trait to hold when it looks up an associated type: the
/// caret is then under `forward` and not under the argument, and what does not hold of the implementation's bounds is an
/// error of its own. Of two implementations it looks at the bounds first; the second one never holds. (`Model: ?Sized`
/// leaves only one inside of the first.) `tests/ui/tensor` shows if another rustc sees this differently.
macro_rules! accept {
    ([$($Model:tt)+] [$($never:tt)*]) => {
        #[diagnostic::do_not_recommend]
        impl<I, $($Model)+, const AXES: usize, E: Dtype, D: Storage<E>> GridInput<Model, AXES, E, D> for I
        where
            I: Input<AXES, E, D>,
            $($never)*
        {
            type Batch = <I as Input<AXES, E, D>>::Batch;
            type Channels = <I as Input<AXES, E, D>>::Channels;
            type Sizes = <I as Input<AXES, E, D>>::Sizes;
            type Positions = <I as Input<AXES, E, D>>::Positions;
            type Mask = <I as Input<AXES, E, D>>::Mask;
            type Tape = <I as Input<AXES, E, D>>::Tape;
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

accept!([Model] []);
accept!([Model: ?Sized] [Any<I>: Never]);
