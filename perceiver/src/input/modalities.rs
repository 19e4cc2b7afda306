//! Several inputs of one model. Their tokens are made equally wide with learned numbers, and attended to together
//! ([Perceiver IO](https://arxiv.org/abs/2107.14795), appendix F).

use std::marker::PhantomData;

use dfdx::prelude::*;

use super::{
    Accepts, GridSpec, GridView, InputKind, Prepared, Purpose, Source, TextSpec, TextView, Tokens,
    stem, text,
};
use crate::nn::{Context, ParameterSource, Parameters, Part, TokenMask};
use crate::ops::{self, Positioned, Record, Rows, Vector, Weight};
use crate::position::Position;
use crate::spec::{Mode, Spec};
use crate::{ForwardError, WrongSize};

/// Several inputs that the latents attend to together: those in the spec's [`MODALITIES`](Spec::MODALITIES), in that order
/// ([Perceiver IO](https://arxiv.org/abs/2107.14795), appendix F).
///
/// Their tokens are made equally wide with learned values, as [`INPUT_PADDING`](Spec::INPUT_PADDING) says. A model written by hand
/// takes [`Tokens`], which [`Tokens::first_modality`] and [`Tokens::try_with_modality`] make of the inputs.
#[derive(Clone, Copy, Debug)]
pub struct Modalities;

/// One of several inputs of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modality {
    /// The name of the input, which is part of the names of its parameters.
    pub name: &'static str,
    /// What the input is.
    pub input: ModalityInput,
    /// The rate at which its tokens are replaced by a learned one, from 0 to 1: always at 1, otherwise only in training. If any
    /// of the inputs has a rate, all have such a token.
    pub mask: Option<f64>,
}

/// What one of several inputs is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ModalityInput {
    /// A [`Grid`](super::Grid). Unlike those of a single input, its Fourier features are in the order of Hugging Face's
    /// Transformers: the positions along all axes, the sines of each axis, the cosines of each axis.
    Grid(GridSpec),
    /// A [`Text`](super::Text).
    Text(TextSpec),
}

impl Modality {
    const fn dim(&self) -> usize {
        match &self.input {
            ModalityInput::Grid(grid) => grid.token_dim(),
            ModalityInput::Text(text) => text.dim,
        }
    }

    const fn parameters(&self) -> usize {
        match &self.input {
            ModalityInput::Grid(grid) => grid.parameters(),
            ModalityInput::Text(text) => text.parameters(),
        }
    }
}

impl Modality {
    /// The number of tokens of each item, for an input with these axes.
    pub(crate) const fn tokens(&self, axes: &[usize]) -> usize {
        match &self.input {
            ModalityInput::Grid(grid) => grid.tokens(axes),
            ModalityInput::Text(_) => stem::positions(&[], axes),
        }
    }

    const fn flops(&self, batch: usize, axes: &[usize]) -> u64 {
        match &self.input {
            ModalityInput::Grid(grid) => grid.flops(batch, axes),
            ModalityInput::Text(_) => 0,
        }
    }
}

/// Whether the sizes of the axes of all inputs are fixed.
pub(crate) const fn are_fixed(modalities: &[Modality]) -> bool {
    let mut i = 0;
    while i < modalities.len() {
        match &modalities[i].input {
            ModalityInput::Grid(grid) if grid.is_fixed() => {}
            _ => return false,
        }
        i += 1;
    }
    true
}

/// The number of tokens of each item, and the floating-point operations for a batch of inputs with these axes.
pub(crate) const fn cost(modalities: &[Modality], batch: usize, axes: &[&[usize]]) -> (usize, u64) {
    let (mut i, mut tokens, mut flops) = (0, 0_usize, 0_u64);
    while i < modalities.len() && i < axes.len() {
        tokens = tokens.saturating_add(modalities[i].tokens(axes[i]));
        flops = flops.saturating_add(modalities[i].flops(batch, axes[i]));
        i += 1;
    }
    (tokens, flops)
}

/// The dimension of each token of several inputs.
pub(crate) const fn token_dim(modalities: &[Modality], padding: usize) -> usize {
    let (mut i, mut widest) = (0, 0);
    while i < modalities.len() {
        if modalities[i].dim() > widest {
            widest = modalities[i].dim();
        }
        i += 1;
    }
    widest.saturating_add(padding)
}

/// # Panics
/// If the numbers of an input do not fit each other.
pub(crate) const fn check(modalities: &[Modality], padding: usize) {
    assert!(padding > 0, "`INPUT_PADDING` must be at least 1");
    let mut i = 0;
    while i < modalities.len() {
        if let ModalityInput::Grid(grid) = &modalities[i].input {
            grid.check();
        }
        if let Some(rate) = modalities[i].mask {
            assert!(0.0 <= rate && rate <= 1.0, "a `mask` must be in 0.0..=1.0");
        }
        i += 1;
    }
}

const fn has_mask(modalities: &[Modality]) -> bool {
    let mut i = 0;
    while i < modalities.len() {
        if modalities[i].mask.is_some() {
            return true;
        }
        i += 1;
    }
    false
}

const fn parameters(modalities: &[Modality], padding: usize) -> usize {
    let width = token_dim(modalities, padding);
    let (mut i, mut sum) = (0, 0_usize);
    while i < modalities.len() {
        let padding = width.saturating_sub(modalities[i].dim());
        let mask = if has_mask(modalities) { width } else { 0 };
        sum = sum.saturating_add(modalities[i].parameters());
        sum = sum.saturating_add(padding).saturating_add(mask);
        i += 1;
    }
    sum
}

/// [`Modalities`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct ModalitiesPart<S>(PhantomData<S>);

/// The parameters of one of several inputs.
#[derive(Clone, Debug)]
pub struct ModalityView<M, V> {
    /// The parameters that make tokens of it.
    pub input: ModalityInputView<M, V>,
    /// Appended to each of its tokens, `(1, width)`.
    pub padding: M,
    /// What its tokens are replaced with at the rate of the mask, `(1, dim of a token)`.
    pub mask: Option<M>,
}

/// The parameters that make tokens of one of several inputs.
#[derive(Clone, Debug)]
pub enum ModalityInputView<M, V> {
    /// The parameters of a [`Grid`](super::Grid).
    Grid(GridView<M, V>),
    /// The parameters of a [`Text`](super::Text).
    Text(TextView<M>),
}

impl<S: Spec> Part for ModalitiesPart<S> {
    type View<M, V> = Vec<ModalityView<M, V>>;
    const PARAMETERS: usize = parameters(S::MODALITIES, S::INPUT_PADDING);

    fn read<R: ParameterSource>(source: &mut R) -> Vec<ModalityView<R::Matrix, R::Vector>> {
        source.start_as(S::FAMILY);
        let width = token_dim(S::MODALITIES, S::INPUT_PADDING);
        let modalities = S::MODALITIES.iter();
        let read = |modality: &Modality| {
            source.within(format_args!("{}", modality.name), |source| ModalityView {
                input: match &modality.input {
                    ModalityInput::Grid(grid) => {
                        ModalityInputView::Grid(GridView::read(source, grid))
                    }
                    ModalityInput::Text(text) => {
                        ModalityInputView::Text(TextView::read(source, text))
                    }
                },
                padding: source.embedding("padding", 1, width.saturating_sub(modality.dim())),
                mask: has_mask(S::MODALITIES).then(|| source.embedding("mask", 1, width)),
            })
        };
        modalities.map(read).collect()
    }
}

impl InputKind for Modalities {
    const AXES: usize = 1;
    const CHANNELS: usize = 0;
    type Part<S: Spec> = ModalitiesPart<S>;

    fn check<S: Spec, E: Dtype, D: crate::Device<E>>(
        source: &Source<E, D>,
    ) -> Result<(), ForwardError<D::Err>> {
        let Source::Modalities(inputs) = source else {
            return Ok(());
        };
        for (modality, (source, _)) in S::MODALITIES.iter().zip(inputs) {
            if let (ModalityInput::Text(spec), Source::Ids(ids)) = (&modality.input, source) {
                text::check::<E, D>(ids, spec).map_err(|error| error.of_modality(modality.name))?;
            }
        }
        Ok(())
    }

    fn prepare<S: Spec, E: Dtype, D: crate::Device<E>>(
        parameters: &Parameters<ModalitiesPart<S>, E, D>,
        record: &mut Record<E, D>,
        source: Source<E, D>,
        _: Option<ops::AnyRank<bool, D>>,
        purpose: Purpose,
    ) -> Result<Prepared<E, D>, D::Err> {
        let Source::Modalities(inputs) = source else {
            return Err(D::Err::wrong_size());
        };
        let views = parameters.view();
        ops::check::<D::Err>(!inputs.is_empty() && views.len() == inputs.len())?;
        let (mut rows, mut masks) = (Vec::new(), Vec::new());
        for ((modality, view), input) in S::MODALITIES.iter().zip(&views).zip(inputs) {
            let (of_one, mask) = view.try_tokens(record, modality, input, purpose.mode)?;
            masks.push((of_one.shape().1, mask));
            rows.push(of_one);
        }
        let rows = ops::concat_all(record, rows)?;
        let (batch, count, _) = *rows.shape();
        let mask = match masks.iter().any(|(_, mask)| mask.is_some()) {
            true => Some(ops::concat_masks::<E, D>(rows.device(), batch, masks)?),
            false => None,
        };
        let tokens = Positioned { channels: rows, axes: vec![count], features: Vec::new(), mask };
        Prepared::new(record, tokens, purpose)
    }
}

impl<E: Dtype, D: crate::Device<E>> ModalityView<&Weight<E, D>, &Vector<E, D>> {
    /// Makes tokens of one input, `(batch, tokens, dim)`, as wide as those of all others.
    fn try_tokens(
        &self,
        record: &mut Record<E, D>,
        modality: &Modality,
        (source, mask): (Source<E, D>, Option<ops::AnyRank<bool, D>>),
        mode: Mode,
    ) -> Result<(Rows<E, D>, TokenMask<D>), D::Err> {
        let (rows, mask) = match (&self.input, &modality.input, source) {
            (
                ModalityInputView::Grid(view),
                ModalityInput::Grid(spec),
                Source::Grid(grid, positions),
            ) => {
                let tokens = view.try_tokens(record, (grid, positions), mask, spec, mode)?;
                let mut rows = tokens.channels;
                if let Position::Fourier(fourier) = spec.position {
                    let count = rows.shape().1;
                    let places: Vec<_> = (0..count).collect();
                    let features = fourier.rows(&tokens.axes, &places);
                    rows = ops::append_features(record, rows, &features)?;
                }
                (rows, tokens.mask)
            }
            (ModalityInputView::Text(view), ModalityInput::Text(_), Source::Ids(ids)) => {
                let mut rows = view.try_embed(record, ids)?;
                let mask = Context::clear(record, &mut rows, mask)?;
                (rows, mask)
            }
            _ => return Err(D::Err::wrong_size()),
        };
        let (batch, count, _) = *rows.shape();
        let rate = modality.mask.unwrap_or(0.0);
        let rows = match self.mask {
            Some(token) if rate == 1.0 => {
                record.add_unused(&rows);
                record.add_unused(self.padding);
                ops::repeat_row(record, token, (batch, count))?
            }
            token => {
                let padding = ops::repeat_row(record, self.padding, (batch, count))?;
                let rows = ops::concat_channels(record, rows, padding)?;
                match token {
                    Some(token) if rate > 0.0 && mode == Mode::Training => {
                        ops::replace_at_random(record, rows, token, rate)?
                    }
                    Some(token) => {
                        record.add_unused(token);
                        rows
                    }
                    None => rows,
                }
            }
        };
        Ok((rows, mask))
    }
}

/// Inputs that have been converted already.
impl<B: Dim, E: Dtype, D: crate::Device<E>, T: Tape<E, D>> Accepts<Tokens<B, E, D, T>, E, D>
    for Modalities
{
    type Batch = B;
    type Tape = T;

    fn tokens(input: Tokens<B, E, D, T>) -> Result<Tokens<B, E, D, T>, ForwardError<D::Err>> {
        Ok(input)
    }
}
