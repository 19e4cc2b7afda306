//! An input, flattened to tokens.

use dfdx::prelude::*;

use crate::ForwardError;

/// An input as a Perceiver attends to it: its axes flattened, row by row, to one axis of tokens.
///
/// `CHANNELS` is the width of a token and `AXES` the number of axes the input had.
#[derive(Clone, Debug)]
pub struct Tokens<
    B: Dim,
    const CHANNELS: usize,
    const AXES: usize,
    E: Dtype,
    D: Device<E>,
    T = NoneTape,
> {
    /// `(batch, tokens, CHANNELS)`.
    pub data: Tensor<(B, usize, Const<CHANNELS>), E, D, T>,
    /// The sizes of the input's axes; their product is the number of tokens.
    pub axes: [usize; AXES],
    /// `(batch, tokens)`: 1 where a token may be attended to, 0 where not. `None`: everywhere.
    pub mask: Option<Tensor<(B, usize), E, D>>,
}

/// Any tensor, alone or in a pair with a mask, whether it fits a model or not.
///
/// What a model gives has the batch and the tape of what it is given. That they can be named before the
/// input is known to fit is what lets the compiler point at the input when it does not.
pub trait AnyInput {
    /// The first dimension.
    type Batch: Dim;
    /// The tape that the tensor carries.
    type Tape;
}

/// The latents a model gives for an input `I`, `(batch, N, DIM)`.
pub type Latents<I, const N: usize, const DIM: usize, E, D> =
    Tensor<(<I as AnyInput>::Batch, Const<N>, Const<DIM>), E, D, <I as AnyInput>::Tape>;

/// The logits a model gives for an input `I`, `(batch, CLASSES)`.
pub type Logits<I, const CLASSES: usize, E, D> =
    Tensor<(<I as AnyInput>::Batch, Const<CLASSES>), E, D, <I as AnyInput>::Tape>;

/// What is not a tensor, but close to one, and what a tensor may be wrapped in: these fit no model, and are
/// only here so that there is one error about that, not two.
macro_rules! any_input_like {
    ([$($generics:tt)*] $ty:ty, $Batch:ty, $Tape:ty) => {
        #[diagnostic::do_not_recommend]
        impl<$($generics)*> AnyInput for $ty {
            type Batch = $Batch;
            type Tape = $Tape;
        }
    };
}

any_input_like!([X: AnyInput, Mask] (X, Mask), X::Batch, X::Tape);
any_input_like!([X: AnyInput] &X, X::Batch, X::Tape);
any_input_like!([X: AnyInput] &mut X, X::Batch, X::Tape);
any_input_like!([X: AnyInput] Option<X>, X::Batch, X::Tape);
any_input_like!([X: AnyInput, Error] Result<X, Error>, X::Batch, X::Tape);
any_input_like!([X] Vec<X>, usize, NoneTape);
any_input_like!([X, const N: usize] [X; N], Const<N>, NoneTape);
any_input_like!([] f32, usize, NoneTape);
any_input_like!([] f64, usize, NoneTape);

macro_rules! any_input {
    ($($Axis:ident)*) => {
        impl<B: Dim, $($Axis: Dim,)* E, D: Storage<E>, T> AnyInput
            for Tensor<(B, $($Axis,)*), E, D, T>
        {
            type Batch = B;
            type Tape = T;
        }
    };
}

any_input!();
any_input!(A1);
any_input!(A1 A2);
any_input!(A1 A2 A3);
any_input!(A1 A2 A3 A4);
any_input!(A1 A2 A3 A4 A5);

/// What can be handed to a Perceiver of `AXES` axes and `CHANNELS` channels: a tensor
/// `(batch, axis 1, .., CHANNELS)` with one to four axes, or a pair of it and a mask, a `bool` tensor
/// `(batch, axis 1, ..)` that is true where a position may be attended to.
///
/// Batch and axes may be `usize` or `Const`.
pub trait Input<const AXES: usize, const CHANNELS: usize, E: Dtype, D: Device<E>>:
    AnyInput<Tape: Tape<E, D>>
{
    /// The dimensions of the axes, as a tuple.
    type Axes;

    /// Flattens the input's axes.
    ///
    /// # Errors
    /// If the batch or an axis is empty, the mask is of another size than the input, or the device runs out
    /// of memory.
    fn into_tokens(
        self,
    ) -> Result<Tokens<Self::Batch, CHANNELS, AXES, E, D, Self::Tape>, ForwardError<D::Err>>;
}

/// `Input` for a tensor of one rank, alone and with its mask.
macro_rules! input {
    ($axes:literal: $($Axis:ident $axis:ident),+) => {
        impl<B, $($Axis,)+ const CHANNELS: usize, E, D, T> Input<$axes, CHANNELS, E, D>
            for Tensor<(B, $($Axis,)+ Const<CHANNELS>), E, D, T>
        where
            B: Dim,
            $($Axis: Dim,)+
            E: Dtype,
            D: Device<E>,
            T: Tape<E, D>,
        {
            type Axes = ($($Axis,)+);

            fn into_tokens(
                self,
            ) -> Result<Tokens<B, CHANNELS, $axes, E, D, T>, ForwardError<D::Err>> {
                let (batch, $($axis,)+ channels) = *self.shape();
                let axes = [$($axis.size()),+];
                let tokens = axes.iter().product::<usize>();
                if batch.size() * tokens == 0 {
                    let shape = (batch, $($axis,)+).concrete().into();
                    return Err(ForwardError::Empty { shape });
                }
                let data = self.try_reshape_like(&(batch, tokens, channels))?;
                Ok(Tokens { data, axes, mask: None })
            }
        }

        impl<B, $($Axis,)+ const CHANNELS: usize, E, D, T> Input<$axes, CHANNELS, E, D>
            for (
                Tensor<(B, $($Axis,)+ Const<CHANNELS>), E, D, T>,
                Tensor<(B, $($Axis,)+), bool, D>,
            )
        where
            B: Dim,
            $($Axis: Dim,)+
            E: Dtype,
            D: Device<E>,
            T: Tape<E, D>,
        {
            type Axes = ($($Axis,)+);

            fn into_tokens(
                self,
            ) -> Result<Tokens<B, CHANNELS, $axes, E, D, T>, ForwardError<D::Err>> {
                let (input, mask) = self;
                let (batch, $($axis,)+ _) = *input.shape();
                let shape = (batch, $($axis,)+);
                if *mask.shape() != shape {
                    return Err(ForwardError::MaskShape {
                        mask: mask.shape().concrete().into(),
                        input: shape.concrete().into(),
                    });
                }
                let tokens = input.into_tokens()?;
                // As numbers, since dfdx cannot reshape `bool`s; made on the device, where dfdx's `ones_like` copies
                // them from the host.
                let device = tokens.data.device();
                let ones = device.try_zeros_like(&shape)?.try_add(E::ONE)?;
                let mask = mask
                    .try_choose(ones, device.try_zeros_like(&shape)?)?
                    .try_reshape_like(&(batch, tokens.data.shape().1))?;
                Ok(Tokens { mask: Some(mask), ..tokens })
            }
        }
    };
}

input!(1: A1 a1);
input!(2: A1 a1, A2 a2);
input!(3: A1 a1, A2 a2, A3 a3);
input!(4: A1 a1, A2 a2, A3 a3, A4 a4);
