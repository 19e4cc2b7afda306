//! Inputs with one to four axes and channels: sequences, images, videos, volumes.

use std::marker::PhantomData;

use dfdx::prelude::*;

use super::{
    Accepts, Input, InputKind, InputMask, Prepared, Purpose, Sizes, Source, Stem, Tokens, Unmasked,
    stem,
};
use crate::nn::{
    Context, ConvPoolView, LinearView, ParameterSource, Parameters, Part, conv_pool, linear,
};
use crate::ops::{self, Positioned, Record, Vector, Weight};
use crate::position::Position;
use crate::spec::{Mode, Spec};
use crate::{ForwardError, WrongSize};

/// Numbers with `AXES` axes, from 0 to 4, and `CHANNELS` channels at each position: a tensor `(batch, axis 1, .., CHANNELS)`.
///
/// A sequence has one axis, an image two, a video three; with none, the channels are a single token. How it becomes tokens is
/// in the spec's `SHAPE`, `STEM` and `POSITION`.
#[derive(Clone, Copy, Debug)]
pub struct Grid<const AXES: usize, const CHANNELS: usize>;

/// The sizes of a grid, and how it becomes tokens: first by its stem, then by its position encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GridSpec {
    /// The number of axes, from 0 (the channels alone are a single token) to 4.
    pub axes: usize,
    /// The number of channels at each position.
    pub channels: usize,
    /// The sizes of the axes, if they are fixed; otherwise empty.
    pub shape: &'static [usize],
    /// The steps that turn it into tokens before their positions are encoded, in order.
    pub stem: &'static [Stem],
    /// The position encoding.
    pub position: Position,
}

impl GridSpec {
    /// The grid that `S` declares, if its input is one.
    pub(crate) const fn of<S: Spec>() -> Self {
        let (axes, channels) = (S::Input::AXES, S::Input::CHANNELS);
        Self { axes, channels, shape: S::SHAPE, stem: S::STEM, position: S::POSITION }
    }

    /// The number of axes of the tokens.
    pub(crate) const fn token_axes(&self) -> usize {
        stem::axes(self.stem, self.shape, self.axes)
    }

    /// The sizes of the axes of the tokens, if they are fixed; otherwise empty.
    pub(crate) fn token_shape(&self) -> Vec<usize> {
        stem::shape(self.stem, self.shape)
    }

    /// The number of channels of the tokens, before their positions are encoded.
    pub(crate) const fn token_channels(&self) -> usize {
        stem::channels(self.stem, self.channels)
    }

    /// The dimension of each token.
    pub(crate) const fn token_dim(&self) -> usize {
        self.position.token_dim(self.token_axes(), self.token_channels())
    }

    /// The number of parameters.
    pub(crate) const fn parameters(&self) -> usize {
        let (mut i, mut sum, mut width) = (0, 0_usize, self.channels);
        while i < self.stem.len() {
            let (before, after) = self.stem.split_at(i + 1);
            _ = after;
            let step = match self.stem[i] {
                Stem::Linear(outputs) => linear::parameters(width, outputs, true),
                Stem::ConvPool(outputs) => conv_pool::parameters(width, outputs),
                Stem::Patches(_) => 0,
            };
            sum = sum.saturating_add(step);
            width = stem::channels(before, self.channels);
            i += 1;
        }
        if let Position::Learned { channels, project } = self.position {
            let rows = stem::positions(self.stem, self.shape);
            sum = sum.saturating_add(rows.saturating_mul(channels));
            if let Some(width) = project {
                sum = sum.saturating_add(linear::parameters(channels, width, true));
            }
        }
        sum
    }

    /// The sizes of the axes: those that are fixed, or else these.
    pub(crate) const fn sizes<'a>(&self, axes: &'a [usize]) -> &'a [usize] {
        if self.shape.is_empty() { axes } else { self.shape }
    }

    /// Whether the sizes of its axes are fixed.
    pub(crate) const fn is_fixed(&self) -> bool {
        self.axes == 0 || !self.shape.is_empty()
    }

    /// The number of tokens of each item, for an input with these axes.
    pub(crate) const fn tokens(&self, axes: &[usize]) -> usize {
        stem::positions(self.stem, self.sizes(axes))
    }

    /// The floating-point operations for a batch of inputs with these axes.
    pub(crate) const fn flops(&self, batch: usize, axes: &[usize]) -> u64 {
        let axes = self.sizes(axes);
        let (mut i, mut sum) = (0, 0_u64);
        while i < self.stem.len() {
            let (before, _) = self.stem.split_at(i);
            let inputs = stem::channels(before, self.channels);
            let step = match self.stem[i] {
                Stem::Linear(outputs) => {
                    linear::flops(stem::positions(before, axes) as u64, inputs, outputs)
                }
                Stem::ConvPool(outputs) => {
                    let (sizes, count) = stem::sizes(before, axes);
                    conv_pool::flops(sizes.split_at(count).0, inputs, outputs)
                }
                Stem::Patches(_) => 0,
            };
            sum = sum.saturating_add(step.saturating_mul(batch as u64));
            i += 1;
        }
        // The same for all items.
        if let Position::Learned { channels, project: Some(width) } = self.position {
            sum = sum.saturating_add(linear::flops(self.tokens(axes) as u64, channels, width));
        }
        sum
    }

    /// # Panics
    /// If its numbers do not fit each other.
    pub(crate) const fn check(&self) {
        self.position.check(self.token_axes());
        assert!(
            self.shape.is_empty() || self.shape.len() == self.axes,
            "`SHAPE` must have one size per axis"
        );
        assert!(
            !(self.shape.is_empty() && matches!(self.position, Position::Learned { .. })),
            "learned positions need a `SHAPE`"
        );
    }
}

/// [`Grid`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct GridPart<S>(PhantomData<S>);

/// The parameters of a [`Grid`].
#[derive(Clone, Debug)]
pub struct GridView<M, V> {
    /// The steps of the stem that have parameters.
    pub stem: Vec<StemView<M, V>>,
    /// A row for each position, `(positions, channels)`, if positions are learned.
    pub positions: Option<M>,
    /// Projects these rows, if they are projected.
    pub project: Option<LinearView<M, V>>,
}

/// The parameters of a step of a stem.
#[derive(Clone, Debug)]
pub enum StemView<M, V> {
    /// The parameters of [`Stem::Linear`].
    Linear(LinearView<M, V>),
    /// The parameters of [`Stem::ConvPool`].
    ConvPool(ConvPoolView<M, V>),
}

impl<S: Spec> Part for GridPart<S> {
    type View<M, V> = GridView<M, V>;
    const PARAMETERS: usize = GridSpec::of::<S>().parameters();

    fn read<R: ParameterSource>(source: &mut R) -> GridView<R::Matrix, R::Vector> {
        source.start_as(S::FAMILY);
        GridView::read(source, &GridSpec::of::<S>())
    }
}

impl<M, V> GridView<M, V> {
    /// Reads the parameters of a grid.
    pub(super) fn read<R: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut R,
        grid: &GridSpec,
    ) -> Self {
        let stem = grid.stem.iter().enumerate().filter_map(|(i, step)| {
            let inputs = stem::channels(&grid.stem[..i], grid.channels);
            source.within(format_args!("stem.{i}"), |source| match *step {
                Stem::Patches(_) => None,
                Stem::Linear(outputs) => {
                    Some(StemView::Linear(LinearView::read(source, inputs, outputs, true)))
                }
                Stem::ConvPool(outputs) => {
                    Some(StemView::ConvPool(ConvPoolView::read(source, inputs, outputs)))
                }
            })
        });
        let stem = stem.collect();
        let (positions, project) = match grid.position {
            Position::None | Position::Fourier(_) | Position::Given(_) => (None, None),
            Position::Learned { channels, project } => {
                let rows = stem::positions(grid.stem, grid.shape);
                let positions = source.embedding("position_rows", rows, channels);
                let project = project.map(|width| {
                    source.within(format_args!("project"), |source| {
                        LinearView::read(source, channels, width, true)
                    })
                });
                (Some(positions), project)
            }
        };
        Self { stem, positions, project }
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
        purpose: Purpose,
    ) -> Result<Prepared<E, D>, D::Err> {
        let Source::Grid(grid, positions) = source else {
            return Err(D::Err::wrong_size());
        };
        let spec = GridSpec::of::<S>();
        let mut tokens =
            parameters.view().try_tokens(record, (grid, positions), mask, &spec, purpose.mode)?;
        tokens.features = spec.position.tables(&tokens.axes);
        Prepared::new(record, tokens, purpose)
    }
}

impl<E: Dtype, D: crate::Device<E>> GridView<&Weight<E, D>, &Vector<E, D>> {
    /// Passes a grid through its stem and appends learned positions, but not Fourier features.
    pub(super) fn try_tokens(
        &self,
        record: &mut Record<E, D>,
        (grid, given): (ops::AnyRank<E, D>, Option<ops::AnyRank<E, D>>),
        mask: Option<ops::AnyRank<bool, D>>,
        spec: &GridSpec,
        mode: Mode,
    ) -> Result<Positioned<E, D>, D::Err> {
        let mut axes = grid.axes();
        let mut rows = D::try_flatten(record, grid)?;
        let given = match given {
            Some(given) => {
                let mut positions = D::try_flatten(record, given)?;
                Context::clear(record, &mut positions, mask.clone())?;
                Some(positions)
            }
            None => None,
        };
        let mut mask = Context::clear(record, &mut rows, mask)?;
        let mut steps = self.stem.iter();
        for step in spec.stem {
            match *step {
                Stem::Patches(patch) => {
                    let after = stem::patched(&axes, patch).ok_or_else(D::Err::wrong_size)?;
                    rows = ops::patches(record, rows, &axes, patch)?;
                    if let Some(fine) = mask {
                        let (places, size) = (ops::places(&axes, patch), patch.iter().product());
                        mask = Some(ops::mask_of_joined::<E, D>(&fine, &places, size)?);
                    }
                    axes = after;
                }
                Stem::Linear(_) | Stem::ConvPool(_) => match steps.next() {
                    Some(StemView::Linear(layer)) => rows = layer.try_forward(record, rows)?,
                    Some(StemView::ConvPool(layer)) => {
                        (rows, mask) = layer.try_forward(record, rows, mask, &axes, mode)?;
                        axes = axes.into_iter().map(conv_pool::size_after).collect();
                    }
                    None => return Err(D::Err::wrong_size()),
                },
            }
        }
        if let Some(positions) = self.positions {
            let mut positions = D::try_repeat(record, ops::matrix(positions), 1)?;
            if let Some(project) = &self.project {
                positions = project.try_forward(record, positions)?;
            }
            let batch = rows.shape().0;
            let positions = ops::for_each_item(record, positions, batch)?;
            rows = ops::concat_channels(record, rows, positions)?;
        }
        if let Position::Given(width) = spec.position {
            let positions = given.ok_or_else(D::Err::wrong_size)?;
            ops::check::<D::Err>(positions.shape().2 == width)?;
            rows = ops::concat_channels(record, rows, positions)?;
        }
        Ok(Positioned { channels: rows, features: Vec::new(), axes, mask })
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
    ($axes:literal: $Variant:ident, $Tokens:ty $(, $Axis:ident)*) => {
        impl<B, $($Axis,)* C, E, D, T> Input<$axes, E, D> for Tensor<(B, $($Axis,)* C), E, D, T>
        where
            B: Dim,
            $($Axis: Dim,)*
            C: Dim,
            E: Dtype,
            D: Storage<E>,
            T: Tape<E, D>,
        {
            type Batch = B;
            type Channels = C;
            type Tokens = $Tokens;
            type Sizes = ($($Axis,)* C,);
            type Positions = (B, $($Axis,)*);
            type Mask = Unmasked;
            type Tape = T;

            fn into_parts(self) -> Result<(Tokens<B, E, D, T>, Unmasked), ForwardError<D::Err>>
            where
                D: crate::Device<E>,
            {
                let (data, tape) = self.split_tape();
                let grid = ops::AnyRank::$Variant(ops::untyped(data));
                grid.check_not_empty()?;
                let source = Source::Grid(grid, None);
                Ok((Tokens { source, mask: None, batch: PhantomData, tape }, Unmasked))
            }
        }

        impl<$($Axis,)* C: Dim> Sizes for ($($Axis,)* C,) {
            type Channels = C;
        }
    };
}

/// Implements `InputMask` for the masks of inputs of one rank.
macro_rules! mask {
    ($Variant:ident $(, $Axis:ident)*) => {
        impl<B, $($Axis,)* E, D> InputMask<(B, $($Axis,)*), E, D> for Tensor<(B, $($Axis,)*), bool, D>
        where
            B: Dim,
            $($Axis: Dim,)*
            E: Dtype,
            D: Storage<E> + Storage<bool>,
        {
            fn grid(self) -> Option<ops::AnyRank<bool, D>>
            where
                D: crate::Device<E>,
            {
                Some(ops::AnyRank::$Variant(ops::untyped(self)))
            }
        }
    };
}

input!(0: Two, Const<1>);
input!(1: Three, A1, A1);
input!(2: Four, A1, A1, A2);
input!(3: Five, A1, A1, A2, A3);
input!(4: Six, A1, A1, A2, A3, A4);
mask!(Two, A1);
mask!(Three, A1, A2);
mask!(Four, A1, A2, A3);
mask!(Five, A1, A2, A3, A4);
