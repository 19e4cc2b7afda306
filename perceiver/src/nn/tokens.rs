//! An input, flattened to tokens.

use dfdx::prelude::*;

use crate::ForwardError;

/// An input as a Perceiver attends to it: its axes flattened, row by row, to one axis of tokens.
///
/// `C` is the width of a token and `AXES` the number of axes the input had.
#[derive(Clone, Debug)]
pub struct Tokens<B: Dim, C: Dim, const AXES: usize, E: Dtype, D: Storage<E>, T = NoneTape> {
    /// `(batch, tokens, C)`.
    pub data: Tensor<(B, usize, C), E, D, T>,
    /// The sizes of the input's axes; their product is the number of tokens.
    pub axes: [usize; AXES],
    /// `(batch, tokens)`: 1 where a token may be attended to, 0 where not. `None`: everywhere.
    pub mask: Option<Tensor<(B, usize), E, D>>,
}

impl<B: Dim, C: Dim, const AXES: usize, E: Dtype, D: Device<E>, T> Tokens<B, C, AXES, E, D, T> {
    /// These tokens behind a mask over the positions of the input they come from.
    ///
    /// # Errors
    /// If the mask is of another size than the input, or the device runs out of memory.
    pub fn try_masked<Positions, M: Mask<Positions, E, D>>(
        self,
        mask: M,
    ) -> Result<Self, ForwardError<D::Err>> {
        let (batch, tokens, _) = *self.data.shape();
        let mut sizes = vec![batch.size()];
        sizes.extend(self.axes);
        let mask = match mask.over(&sizes)? {
            Some(mask) => Some(mask.try_reshape_like(&(batch, tokens))?),
            None => None,
        };
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

    /// Flattens the tensor's axes.
    ///
    /// # Errors
    /// If the batch or an axis is empty, or the device runs out of memory.
    #[allow(clippy::type_complexity)] // the two parts, which nothing else has
    fn into_parts(
        self,
    ) -> Result<
        (
            Tokens<Self::Batch, Self::Channels, AXES, E, D, Self::Tape>,
            Self::Mask,
        ),
        ForwardError<D::Err>,
    >
    where
        D: Device<E>;

    /// Flattens the axes, those of the mask too.
    ///
    /// # Errors
    /// If the batch or an axis is empty, the mask is of another size than the input, or the device runs out
    /// of memory.
    #[allow(clippy::type_complexity)]
    fn into_tokens(
        self,
    ) -> Result<Tokens<Self::Batch, Self::Channels, AXES, E, D, Self::Tape>, ForwardError<D::Err>>
    where
        D: Device<E>,
        Self::Mask: Mask<Self::Positions, E, D>,
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

/// A mask over `Positions`, `(batch, axis 1, ..)`: a `bool` tensor, true where a position may be attended to.
pub trait Mask<Positions, E: Dtype, D: Storage<E>> {
    /// Flattens the axes, with 1 for true and 0 for false; `None` masks nothing.
    ///
    /// # Errors
    /// If the mask is of other sizes than the positions, or the device runs out of memory.
    fn over(
        self,
        positions: &[usize],
    ) -> Result<Option<Tensor<(usize, usize), E, D>>, ForwardError<D::Err>>
    where
        D: Device<E>;
}

/// The mask of a tensor that is handed over alone.
#[derive(Clone, Copy, Debug)]
pub struct Unmasked;

impl<Positions, E: Dtype, D: Storage<E>> Mask<Positions, E, D> for Unmasked {
    fn over(self, _: &[usize]) -> Result<Option<Tensor<(usize, usize), E, D>>, ForwardError<D::Err>>
    where
        D: Device<E>,
    {
        Ok(None)
    }
}

impl<const AXES: usize, E, D, X, M> Input<AXES, E, D> for (X, M)
where
    E: Dtype,
    D: Storage<E>,
    X: Input<AXES, E, D, Mask = Unmasked>,
{
    type Batch = X::Batch;
    type Channels = X::Channels;
    type Sizes = X::Sizes;
    type Positions = X::Positions;
    type Mask = M;
    type Tape = X::Tape;

    fn into_parts(
        self,
    ) -> Result<(Tokens<X::Batch, X::Channels, AXES, E, D, X::Tape>, M), ForwardError<D::Err>>
    where
        D: Device<E>,
    {
        let (tokens, Unmasked) = self.0.into_parts()?;
        Ok((tokens, self.1))
    }
}

/// `Input` for a tensor of one rank, and `Mask` for what lies over it.
macro_rules! input {
    ($axes:literal: $($Axis:ident $axis:ident),+) => {
        impl<B, $($Axis,)+ C, E, D, T> Input<$axes, E, D> for Tensor<(B, $($Axis,)+ C), E, D, T>
        where
            B: Dim,
            $($Axis: Dim,)+
            C: Dim,
            E: Dtype,
            D: Storage<E>,
            T: Tape<E, D>,
        {
            type Batch = B;
            type Channels = C;
            type Sizes = ($($Axis,)+ C);
            type Positions = (B, $($Axis,)+);
            type Mask = Unmasked;
            type Tape = T;

            fn into_parts(
                self,
            ) -> Result<(Tokens<B, C, $axes, E, D, T>, Unmasked), ForwardError<D::Err>>
            where
                D: Device<E>,
            {
                let (batch, $($axis,)+ channels) = *self.shape();
                let axes = [$($axis.size()),+];
                let tokens = axes.iter().product::<usize>();
                if batch.size() * tokens == 0 {
                    let shape = (batch, $($axis,)+).concrete().into();
                    return Err(ForwardError::Empty { shape });
                }
                let data = self.try_reshape_like(&(batch, tokens, channels))?;
                Ok((Tokens { data, axes, mask: None }, Unmasked))
            }
        }

        impl<$($Axis,)+ C: Dim> Sizes for ($($Axis,)+ C) {
            type Channels = C;
        }

        impl<B, $($Axis,)+ E, D> Mask<(B, $($Axis,)+), E, D> for Tensor<(B, $($Axis,)+), bool, D>
        where
            B: Dim,
            $($Axis: Dim,)+
            E: Dtype,
            D: Storage<E> + Storage<bool>,
        {
            fn over(
                self,
                positions: &[usize],
            ) -> Result<Option<Tensor<(usize, usize), E, D>>, ForwardError<<D as HasErr>::Err>>
            where
                D: Device<E>,
            {
                let shape = *self.shape();
                let (batch, $($axis,)+) = shape;
                if shape.concrete() != *positions {
                    return Err(ForwardError::MaskShape {
                        mask: shape.concrete().into(),
                        input: positions.into(),
                    });
                }
                let tokens = [$($axis.size()),+].iter().product::<usize>();
                // As numbers, since dfdx cannot reshape `bool`s; made on the device, where dfdx's `ones_like` copies
                // them from the host.
                let device = self.device().clone();
                let zeros = || -> Result<Tensor<_, E, D>, D::Err> { device.try_zeros_like(&shape) };
                let numbers = self.try_choose(zeros()?.try_add(E::ONE)?, zeros()?)?;
                Ok(Some(numbers.try_reshape_like(&(batch.size(), tokens))?))
            }
        }
    };
}

input!(1: A1 a1);
input!(2: A1 a1, A2 a2);
input!(3: A1 a1, A2 a2, A3 a3);
input!(4: A1 a1, A2 a2, A3 a3, A4 a4);
