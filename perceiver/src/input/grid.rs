//! Inputs with one to four axes and channels: sequences, images, videos, volumes.

use std::marker::PhantomData;

use dfdx::prelude::*;

use super::{Accepts, Input, InputKind, InputMask, Prepared, Sizes, Source, Tokens, Unmasked};
use crate::nn::{Context, Parameters};
use crate::ops::{self, Attend, Record};
use crate::position::Position;
use crate::spec::Spec;
use crate::{ForwardError, WrongSize};

/// An input with `AXES` axes and `CHANNELS` channels at each position: `(batch, axis 1, .., CHANNELS)`.
#[derive(Clone, Copy, Debug)]
pub struct Grid<const AXES: usize, const CHANNELS: usize>;

impl<const AXES: usize, const CHANNELS: usize> InputKind for Grid<AXES, CHANNELS> {
    const AXES: usize = AXES;
    const CHANNELS: usize = CHANNELS;
    type Part<S: Spec> = ();

    fn prepare<S: Spec, E: Dtype, D: crate::Device<E>>(
        _: &Parameters<(), E, D>,
        record: &mut Record<E, D>,
        source: Source<E, D>,
        mask: Option<ops::AnyRank<bool, D>>,
        attend: Attend,
    ) -> Result<Prepared<E, D>, D::Err> {
        let Source::Grid(grid) = source else {
            return Err(D::Err::wrong_size());
        };
        if AXES == 1 && matches!(S::POSITION, Position::None) {
            let rows = D::try_flatten(record, grid)?;
            let context = Context::of_rows(record, rows.clone(), mask, attend)?;
            return Ok(Prepared { context, rows: Some(rows) });
        }
        let context = Context::try_new(record, grid, mask, S::POSITION, attend)?;
        Ok(Prepared { context, rows: None })
    }
}

impl<const AXES: usize, const CHANNELS: usize, I, E: Dtype, D: Storage<E>> Accepts<I, E, D>
    for Grid<AXES, CHANNELS>
where
    I: Input<AXES, E, D, Channels = Const<CHANNELS>>,
    I::Mask: InputMask<I::Positions, E, D>,
{
    type Batch = I::Batch;
    type Tape = I::Tape;

    fn tokens(input: I) -> Result<Tokens<I::Batch, E, D, I::Tape>, ForwardError<D::Err>>
    where
        D: crate::Device<E>,
    {
        input.into_tokens()
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
    type Tokens = X::Tokens;
    type Sizes = X::Sizes;
    type Positions = X::Positions;
    type Mask = M;
    type Tape = X::Tape;

    fn into_parts(self) -> Result<(Tokens<X::Batch, E, D, X::Tape>, M), ForwardError<D::Err>>
    where
        D: crate::Device<E>,
    {
        let (tokens, Unmasked) = self.0.into_parts()?;
        Ok((tokens, self.1))
    }
}

/// Implements `Input` for tensors of one rank, and `InputMask` for their masks.
macro_rules! input {
    ($axes:literal: $Variant:ident, $MaskVariant:ident, $First:ident $(, $Axis:ident)*) => {
        impl<B, $First, $($Axis,)* C, E, D, T> Input<$axes, E, D> for Tensor<(B, $First, $($Axis,)* C), E, D, T>
        where
            B: Dim,
            $First: Dim,
            $($Axis: Dim,)*
            C: Dim,
            E: Dtype,
            D: Storage<E>,
            T: Tape<E, D>,
        {
            type Batch = B;
            type Channels = C;
            type Tokens = $First;
            type Sizes = ($First, $($Axis,)* C);
            type Positions = (B, $First, $($Axis,)*);
            type Mask = Unmasked;
            type Tape = T;

            fn into_parts(self) -> Result<(Tokens<B, E, D, T>, Unmasked), ForwardError<D::Err>>
            where
                D: crate::Device<E>,
            {
                let (data, tape) = self.split_tape();
                let grid = ops::AnyRank::$Variant(ops::untyped(data));
                grid.check_not_empty()?;
                let source = Source::Grid(grid);
                Ok((Tokens { source, mask: None, batch: PhantomData, tape }, Unmasked))
            }
        }

        impl<$First, $($Axis,)* C: Dim> Sizes for ($First, $($Axis,)* C) {
            type Channels = C;
        }

        impl<B, $First, $($Axis,)* E, D> InputMask<(B, $First, $($Axis,)*), E, D> for Tensor<(B, $First, $($Axis,)*), bool, D>
        where
            B: Dim,
            $First: Dim,
            $($Axis: Dim,)*
            E: Dtype,
            D: Storage<E> + Storage<bool>,
        {
            fn grid(self) -> Option<ops::AnyRank<bool, D>>
            where
                D: crate::Device<E>,
            {
                Some(ops::AnyRank::$MaskVariant(ops::untyped(self)))
            }
        }
    };
}

input!(1: Three, Two, A1);
input!(2: Four, Three, A1, A2);
input!(3: Five, Four, A1, A2, A3);
input!(4: Six, Five, A1, A2, A3, A4);
