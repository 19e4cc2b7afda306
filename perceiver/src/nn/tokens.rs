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

/// What can be handed to a Perceiver of `AXES` axes and `CHANNELS` channels: a tensor
/// `(batch, axis 1, .., CHANNELS)` with one to four axes, or a pair of it and a mask, a `bool` tensor
/// `(batch, axis 1, ..)` that is true where a position may be attended to.
///
/// Batch and axes may be `usize` or `Const`.
pub trait Input<const AXES: usize, const CHANNELS: usize, E: Dtype, D: Device<E>> {
    /// The batch dimension.
    type Batch: Dim;
    /// The dimensions of the axes, as a tuple.
    type Axes;
    /// The tape that the input carries.
    type Tape: Tape<E, D>;

    /// Flattens the input's axes.
    ///
    /// # Errors
    /// If the batch or an axis is empty, the mask is of another size than the input, or the device runs out of memory.
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
            type Batch = B;
            type Axes = ($($Axis,)+);
            type Tape = T;

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
            type Batch = B;
            type Axes = ($($Axis,)+);
            type Tape = T;

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
                // As numbers, since dfdx cannot reshape `bool`s; made on the device.
                let device = tokens.data.device();
                let mask = mask
                    .try_choose(device.try_ones_like(&shape)?, device.try_zeros_like(&shape)?)?
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
