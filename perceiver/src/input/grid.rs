//! Inputs with one to four axes and channels: sequences, images, videos, volumes.

use std::marker::PhantomData;

use dfdx::prelude::*;

use super::{
    Accepts, Input, InputKind, InputMask, Prepared, Sizes, Source, Stem, Tokens, Unmasked, stem,
};
use crate::model::Output;
use crate::nn::{Context, LinearView, ParameterSource, Parameters, Part, linear};
use crate::ops::{self, Attend, Matrix, Positioned, Record, Vector};
use crate::position::Position;
use crate::spec::Spec;
use crate::{ForwardError, WrongSize};

/// An input with `AXES` axes and `CHANNELS` channels at each position: `(batch, axis 1, .., CHANNELS)`.
#[derive(Clone, Copy, Debug)]
pub struct Grid<const AXES: usize, const CHANNELS: usize>;

/// [`Grid`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct GridPart<S>(PhantomData<S>);

/// The parameters of a [`Grid`].
#[derive(Clone, Debug)]
pub struct GridView<M, V> {
    /// The linear layers of the stem.
    pub stem: Vec<LinearView<M, V>>,
    /// A row for each position, `(positions, channels)`, if they are learned.
    pub positions: Option<M>,
    /// Projects these rows, if they are.
    pub project: Option<LinearView<M, V>>,
}

impl<S: Spec> Part for GridPart<S> {
    type View<M, V> = GridView<M, V>;
    const PARAMETERS: usize = {
        let (mut i, mut sum, mut width) = (0, 0_usize, S::Input::CHANNELS);
        while i < S::STEM.len() {
            let (before, after) = S::STEM.split_at(i + 1);
            _ = after;
            if let Stem::Linear(outputs) = S::STEM[i] {
                sum = sum.saturating_add(linear::parameters(width, outputs, true));
            }
            width = stem::channels(before, S::Input::CHANNELS);
            i += 1;
        }
        if let Position::Learned { channels, project } = S::POSITION {
            let rows = stem::positions(S::STEM, S::SHAPE);
            sum = sum.saturating_add(rows.saturating_mul(channels));
            if let Some(width) = project {
                sum = sum.saturating_add(linear::parameters(channels, width, true));
            }
        }
        sum
    };

    fn read<R: ParameterSource>(source: &mut R) -> GridView<R::Matrix, R::Vector> {
        source.start_as(S::FAMILY);
        let stem = S::STEM.iter().enumerate().filter_map(|(i, step)| {
            let Stem::Linear(outputs) = *step else {
                return None;
            };
            let inputs = stem::channels(&S::STEM[..i], S::Input::CHANNELS);
            Some(source.within(format_args!("stem.{i}"), |source| {
                LinearView::read(source, inputs, outputs, true)
            }))
        });
        let stem = stem.collect();
        let (positions, project) = match S::POSITION {
            Position::None | Position::Fourier(_) => (None, None),
            Position::Learned { channels, project } => {
                let rows = stem::positions(S::STEM, S::SHAPE);
                let positions = source.embedding("position_rows", rows, channels);
                let project = project.map(|width| {
                    source.within(format_args!("project"), |source| {
                        LinearView::read(source, channels, width, true)
                    })
                });
                (Some(positions), project)
            }
        };
        GridView { stem, positions, project }
    }
}

impl<const AXES: usize, const CHANNELS: usize> InputKind for Grid<AXES, CHANNELS> {
    const AXES: usize = AXES;
    const CHANNELS: usize = CHANNELS;
    type Part<S: Spec> = GridPart<S>;

    fn prepare<S: Spec, E: Dtype, D: crate::Device<E>>(
        parameters: &Parameters<GridPart<S>, E, D>,
        record: &mut Record<E, D>,
        source: Source<E, D>,
        mask: Option<ops::AnyRank<bool, D>>,
        attend: Attend,
    ) -> Result<Prepared<E, D>, D::Err> {
        let Source::Grid(grid) = source else {
            return Err(D::Err::wrong_size());
        };
        let options = Options {
            stem: S::STEM,
            position: S::POSITION,
            attend,
            has_queries: S::Output::TAKES_TOKENS,
        };
        prepare(&parameters.view(), record, grid, mask, &options)
    }
}

/// What a grid is prepared for.
struct Options {
    stem: &'static [Stem],
    position: Position,
    attend: Attend,
    /// Whether its tokens are the queries of an output.
    has_queries: bool,
}

fn prepare<E: Dtype, D: crate::Device<E>>(
    view: &GridView<&Matrix<E, D>, &Vector<E, D>>,
    record: &mut Record<E, D>,
    grid: ops::AnyRank<E, D>,
    mask: Option<ops::AnyRank<bool, D>>,
    options: &Options,
) -> Result<Prepared<E, D>, D::Err> {
    let mut axes = grid.axes();
    let mut rows = D::try_flatten(record, grid)?;
    let mut mask = Context::clear(record, &mut rows, mask)?;
    let mut layers = view.stem.iter();
    for step in options.stem {
        match *step {
            Stem::Patches(patch) => {
                let after = stem::patched(&axes, patch).ok_or_else(D::Err::wrong_size)?;
                rows = ops::patches(record, rows, &axes, patch)?;
                if let Some(fine) = mask {
                    mask = Some(ops::mask_of_patches::<E, D>(&fine, &axes, patch)?);
                }
                axes = after;
            }
            Stem::Linear(_) => {
                let layer = layers.next().ok_or_else(D::Err::wrong_size)?;
                rows = layer.try_forward(record, rows)?;
            }
        }
    }
    if let Some(positions) = view.positions {
        let mut positions = D::try_repeat(record, ops::matrix(positions), 1)?;
        if let Some(project) = &view.project {
            positions = project.try_forward(record, positions)?;
        }
        let batch = rows.shape().0;
        let positions = ops::for_each_item(record, positions, batch)?;
        rows = ops::concat_channels(record, rows, positions)?;
    }
    let tokens =
        Positioned { channels: rows, features: options.position.tables(&axes), axes, mask };
    let rows = match options.has_queries {
        true => Some(tokens.clone().try_encode(record)?),
        false => None,
    };
    Ok(Prepared { context: Context::of_tokens(record, tokens, options.attend)?, rows })
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
