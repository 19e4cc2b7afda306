//! An input, flattened to tokens.

use std::rc::Rc;
use std::sync::Arc;

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

/// Any tensor, alone or in a pair with a mask, whether it fits a model with `AXES` axes or not.
///
/// What a model gives has the batch and the tape of what it is given. That they can be named before the
/// input is known to fit is what lets the compiler point at the input when it does not.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a tensor")]
pub trait AnyInput<const AXES: usize> {
    /// The first dimension; 1 where that is not the batch, since there are too few.
    type Batch: Dim;
    /// The tape that the tensor carries.
    type Tape;
}

/// The latents a model gives for an input `I` over `AXES` axes, `(batch, N, DIM)`.
pub type Latents<I, const AXES: usize, const N: usize, const DIM: usize, E, D> =
    Tensor<(<I as AnyInput<AXES>>::Batch, Const<N>, Const<DIM>), E, D, <I as AnyInput<AXES>>::Tape>;

/// The logits a model gives for an input `I` over `AXES` axes, `(batch, CLASSES)`.
pub type Logits<I, const AXES: usize, const CLASSES: usize, E, D> =
    Tensor<(<I as AnyInput<AXES>>::Batch, Const<CLASSES>), E, D, <I as AnyInput<AXES>>::Tape>;

/// What is not a tensor, but close to one, and what a tensor may be wrapped in: these fit no model, and are
/// only here so that there is one error about that, not two.
macro_rules! any_input_like {
    ([$($generics:tt)*] $ty:ty, like $X:ty) => {
        #[diagnostic::do_not_recommend]
        impl<const AXES: usize, $($generics)*> AnyInput<AXES> for $ty {
            type Batch = <$X as AnyInput<AXES>>::Batch;
            type Tape = <$X as AnyInput<AXES>>::Tape;
        }
    };
    ([$($generics:tt)*] $ty:ty, $Batch:ty) => {
        #[diagnostic::do_not_recommend]
        impl<const AXES: usize, $($generics)*> AnyInput<AXES> for $ty {
            type Batch = $Batch;
            type Tape = NoneTape;
        }
    };
}

any_input_like!([X: AnyInput<AXES>, Mask] (X, Mask), like X);
any_input_like!([X: AnyInput<AXES>, Mask, Other] (X, Mask, Other), like X);
any_input_like!([X: AnyInput<AXES> + ?Sized] &X, like X);
any_input_like!([X: AnyInput<AXES>] &mut X, like X);
any_input_like!([X: AnyInput<AXES>] Box<X>, like X);
any_input_like!([X: AnyInput<AXES>] Rc<X>, like X);
any_input_like!([X: AnyInput<AXES>] Arc<X>, like X);
any_input_like!([X: AnyInput<AXES>] Option<X>, like X);
any_input_like!([X: AnyInput<AXES>, Error] Result<X, Error>, like X);
any_input_like!([X] Vec<X>, One);
any_input_like!([X][X], One);
any_input_like!([X, const N: usize] [X; N], Const<N>);
any_input_like!([] f32, One);
any_input_like!([] f64, One);
any_input_like!([](), One);
any_input_like!([] str, One);

type One = Const<1>;

macro_rules! any_input {
    ($($Axis:ident)*: $($axes:literal $Batch:ty),+) => {
        any_input!(@ [$($Axis)*] $([$axes $Batch])+);
    };
    (@ $Axes:tt $([$axes:literal $Batch:ty])+) => {
        $(any_input!(@@ $Axes $axes $Batch);)+
    };
    (@@ [$($Axis:ident)*] $axes:literal $Batch:ty) => {
        impl<B: Dim, $($Axis: Dim,)* E: Unit, D: Storage<E>, T> AnyInput<$axes>
            for Tensor<(B, $($Axis,)*), E, D, T>
        {
            type Batch = $Batch;
            type Tape = T;
        }
    };
}

any_input!(: 1 One, 2 One, 3 One, 4 One);
any_input!(A1: 1 One, 2 One, 3 One, 4 One);
any_input!(A1 A2: 1 B, 2 One, 3 One, 4 One);
any_input!(A1 A2 A3: 1 B, 2 B, 3 One, 4 One);
any_input!(A1 A2 A3 A4: 1 B, 2 B, 3 B, 4 One);
any_input!(A1 A2 A3 A4 A5: 1 B, 2 B, 3 B, 4 B);

/// What can be handed to a Perceiver of `AXES` axes and `CHANNELS` channels: a tensor
/// `(batch, axis 1, .., CHANNELS)` with one to four axes, or a pair of it and a mask, a `bool` tensor
/// `(batch, axis 1, ..)` that is true where a position may be attended to.
///
/// Batch and axes may be `usize` or `Const`.
pub trait Input<const AXES: usize, const CHANNELS: usize, E: Dtype, D: Device<E>>:
    AnyInput<AXES, Tape: Tape<E, D>>
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

/// A mask over an input with the batch `B` and the axes `Axes`: a `bool` tensor, true where a position may be attended
/// to.
pub trait Mask<Axes, B: Dim, E: Dtype, D: Device<E>> {
    /// The sizes of the batch and the axes.
    fn sizes(&self) -> Vec<usize>;

    /// Flattens the axes, with 1 for true and 0 for false.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn into_numbers(self) -> Result<Tensor<(B, usize), E, D>, D::Err>;
}

impl<const AXES: usize, const CHANNELS: usize, E, D, X, M> Input<AXES, CHANNELS, E, D> for (X, M)
where
    E: Dtype,
    D: Device<E>,
    X: Input<AXES, CHANNELS, E, D>,
    M: Mask<X::Axes, X::Batch, E, D>,
{
    type Axes = X::Axes;

    fn into_tokens(
        self,
    ) -> Result<Tokens<X::Batch, CHANNELS, AXES, E, D, X::Tape>, ForwardError<D::Err>> {
        let (input, mask) = self;
        let tokens = input.into_tokens()?;
        let mut sizes = vec![tokens.data.shape().0.size()];
        sizes.extend(tokens.axes);
        if mask.sizes() != sizes {
            return Err(ForwardError::MaskShape {
                mask: mask.sizes(),
                input: sizes,
            });
        }
        let mask = Some(mask.into_numbers()?);
        Ok(Tokens { mask, ..tokens })
    }
}

/// `Input` for a tensor of one rank, and `Mask` for what lies over it.
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

        impl<B, $($Axis,)+ E, D> Mask<($($Axis,)+), B, E, D> for Tensor<(B, $($Axis,)+), bool, D>
        where
            B: Dim,
            $($Axis: Dim,)+
            E: Dtype,
            D: Device<E>,
        {
            fn sizes(&self) -> Vec<usize> {
                self.shape().concrete().into()
            }

            fn into_numbers(self) -> Result<Tensor<(B, usize), E, D>, D::Err> {
                let shape = *self.shape();
                let (batch, $($axis,)+) = shape;
                let tokens = [$($axis.size()),+].iter().product::<usize>();
                // As numbers, since dfdx cannot reshape `bool`s; made on the device, where dfdx's `ones_like` copies
                // them from the host.
                let device = self.device().clone();
                let zeros = || -> Result<Tensor<_, E, D>, D::Err> { device.try_zeros_like(&shape) };
                self.try_choose(zeros()?.try_add(E::ONE)?, zeros()?)?
                    .try_reshape_like(&(batch, tokens))
            }
        }
    };
}

input!(1: A1 a1);
input!(2: A1 a1, A2 a2);
input!(3: A1 a1, A2 a2, A3 a3);
input!(4: A1 a1, A2 a2, A3 a3, A4 a4);
