//! Outputs: what `forward` computes from the latents. A new output is a part with an [`Output`] implementation here.

use std::fmt::Debug;
use std::marker::PhantomData;

use dfdx::prelude::*;

use super::queries::{Learned, Project, ProjectionKind, Queries};
use crate::nn::{LinearView, NormView, ParameterSource, Parameters, Part, linear, norm};
use crate::ops::{self, Positioned, Record, Rows, Weight};
use crate::spec::{Dropout, Spec};
use crate::{Device, WrongSize};

/// The output of a model: what `forward` computes from the latents after the last layer.
///
/// Implemented by [`MeanPool`], [`ClassQuery`], [`Queries`], [`Modalities`](super::Modalities) and [`Latents`]; a
/// [spec](Spec::Output) names one of them.
pub trait Output: Clone + Debug + 'static {
    /// The parameters of the output in a model with the spec `S`.
    type Part<S: Spec>: Part;

    /// The result of `forward` for a model with the spec `S`. `L` is the number of queries, if they come with the input.
    type Tensor<S: Spec, B: Dim, L: Dim, E: Dtype, D: Storage<E>, T>;

    /// How its parameters are named in checkpoints.
    const NAMES: OutputNames = OutputNames::Classifier;

    /// What it computes, which determines its [cost](crate::Cost).
    const KIND: OutputKind;

    /// Whether its queries are the tokens of the input.
    const TAKES_TOKENS: bool = false;

    /// Computes the result from the latents: a tensor `(batch, rows, width)` for each of the outputs, which is one except for
    /// [`Modalities`](super::Modalities).
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_forward<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        encoded: Encoded<'_, E, D>,
        dropout: Dropout,
    ) -> Result<Vec<Rows<E, D>>, D::Err>;

    /// Converts what `try_forward` returned to its type, and puts the operations of the record on the tape.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn typed<S: Spec, B: Dim, L: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        results: Vec<Rows<E, D>>,
        record: Record<E, D>,
        tape: T,
    ) -> Result<Self::Tensor<S, B, L, E, D, T>, D::Err>;
}

/// What an output is computed from.
#[derive(Clone, Debug)]
pub struct Encoded<'a, E: Dtype, D: Device<E>> {
    /// The latents after the last layer, `(batch, latents, dim)`.
    pub latents: Rows<E, D>,
    /// The queries, if they come with the input or are its tokens.
    pub queries: Option<Positioned<E, D>>,
    /// The embedding of the input's ids, `(vocab, dim)`, if the input is text.
    pub embedding: Option<&'a Weight<E, D>>,
    /// For each of the outputs, the indices of the rows to compute; `None` for all rows.
    pub points: Option<&'a [Vec<usize>]>,
}

/// What an output computes, which determines its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Nothing: the latents are the result.
    Latents,
    /// The mean of the latents, projected to this many numbers.
    MeanPool(usize),
    /// A row for each query, computed by the spec's [`DECODER`](Spec::DECODER).
    Queries {
        /// The number of queries, if they are learned.
        learned: Option<usize>,
        /// Whether they are the tokens of the input.
        takes_tokens: bool,
        /// How the rows are projected.
        project: ProjectionKind,
        /// The width of the result.
        width: usize,
    },
    /// A row for each query of each of the spec's [`OUTPUTS`](Spec::OUTPUTS).
    Modalities,
}

/// How the parameters of an output are named in checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputNames {
    /// As in a classifier.
    Classifier,
    /// As in a decoder with queries.
    Queries,
    /// As in a decoder whose queries are the input's tokens.
    Tokens,
    /// As in a masked language model, which projects with its embedding.
    Language,
}

/// The single result of an output, and its tape.
pub(super) fn only<E: Dtype, D: Device<E>, T: Tape<E, D>>(
    mut results: Vec<Rows<E, D>>,
    record: Record<E, D>,
    mut tape: T,
) -> Result<(Rows<E, D>, T), D::Err> {
    record.put_on(&mut tape);
    match (results.pop(), results.is_empty()) {
        (Some(rows), true) => Ok((rows, tape)),
        _ => Err(D::Err::wrong_size()),
    }
}

/// An output that is the latents themselves, `(batch, NUM_LATENTS, LATENT_DIM)`, for an encoder without a head.
#[derive(Clone, Copy, Debug)]
pub struct Latents;

impl Part for Latents {
    type View<M, V> = ();
    const PARAMETERS: usize = 0;

    fn read<R: ParameterSource>(_: &mut R) {}
}

impl Output for Latents {
    type Part<S: Spec> = Self;
    type Tensor<S: Spec, B: Dim, L: Dim, E: Dtype, D: Storage<E>, T> =
        Tensor<(B, S::NumLatents, S::LatentDim), E, D, T>;
    const KIND: OutputKind = OutputKind::Latents;

    fn try_forward<S: Spec, E: Dtype, D: Device<E>>(
        _: &Parameters<Self, E, D>,
        _: &mut Record<E, D>,
        encoded: Encoded<'_, E, D>,
        _: Dropout,
    ) -> Result<Vec<Rows<E, D>>, D::Err> {
        Ok(vec![encoded.latents])
    }

    fn typed<S: Spec, B: Dim, L: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        results: Vec<Rows<E, D>>,
        record: Record<E, D>,
        tape: T,
    ) -> Result<Self::Tensor<S, B, L, E, D, T>, D::Err> {
        let (rows, tape) = only(results, record, tape)?;
        ops::typed(rows, tape)
    }
}

/// A head for classification or regression: the mean of the latents, normalised and projected to `Classes` numbers,
/// `(batch, Classes)` (section 3.1 of the paper).
///
/// The numbers are logits, or whatever they are trained to be: `MeanPool<Const<1>>` for the regression of one number.
#[derive(Clone, Copy, Debug)]
pub struct MeanPool<Classes>(PhantomData<Classes>);

/// [`MeanPool`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct MeanPoolPart<S, Classes>(PhantomData<(S, Classes)>);

/// The parameters of a [`MeanPool`].
#[derive(Clone, Debug)]
pub struct MeanPoolView<M, V> {
    /// Normalises the mean of the latents.
    pub norm: NormView<V>,
    /// Projects to logits.
    pub linear: LinearView<M, V>,
}

impl<S: Spec, C: ConstDim> Part for MeanPoolPart<S, C> {
    type View<M, V> = MeanPoolView<M, V>;
    const PARAMETERS: usize = norm::parameters(S::LatentDim::SIZE)
        .saturating_add(linear::parameters(S::LatentDim::SIZE, C::SIZE, true));

    fn read<R: ParameterSource>(source: &mut R) -> MeanPoolView<R::Matrix, R::Vector> {
        source.start_as(S::FAMILY);
        let dim = S::LatentDim::SIZE;
        MeanPoolView {
            norm: source.within(format_args!("norm"), |source| NormView::read(source, dim)),
            linear: source.within(format_args!("linear"), |source| {
                LinearView::read(source, dim, C::SIZE, true)
            }),
        }
    }
}

impl<C: ConstDim> Output for MeanPool<C> {
    type Part<S: Spec> = MeanPoolPart<S, C>;
    type Tensor<S: Spec, B: Dim, L: Dim, E: Dtype, D: Storage<E>, T> = Tensor<(B, C), E, D, T>;
    const KIND: OutputKind = OutputKind::MeanPool(C::SIZE);

    fn try_forward<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        encoded: Encoded<'_, E, D>,
        _: Dropout,
    ) -> Result<Vec<Rows<E, D>>, D::Err> {
        let view = parameters.view();
        let mean = D::try_mean(record, encoded.latents)?;
        let mean = view.norm.try_forward(record, mean)?;
        Ok(vec![view.linear.try_forward(record, mean)?])
    }

    fn typed<S: Spec, B: Dim, L: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        results: Vec<Rows<E, D>>,
        record: Record<E, D>,
        tape: T,
    ) -> Result<Self::Tensor<S, B, L, E, D, T>, D::Err> {
        let (rows, tape) = only(results, record, tape)?;
        ops::typed(D::try_squeeze(rows)?, tape)
    }
}

/// A head for classification or regression: a learned query attends to the latents, and the result is projected to `Classes`
/// numbers, `(batch, Classes)` ([Perceiver IO](https://arxiv.org/abs/2107.14795), section 3.2).
#[derive(Clone, Copy, Debug)]
pub struct ClassQuery<Classes>(PhantomData<Classes>);

/// A [`ClassQuery`] with the axis of its query.
type OneQuery<C> = Queries<Learned<Const<1>>, Project<C>>;

impl<C: ConstDim> Output for ClassQuery<C> {
    type Part<S: Spec> = <OneQuery<C> as Output>::Part<S>;
    type Tensor<S: Spec, B: Dim, L: Dim, E: Dtype, D: Storage<E>, T> = Tensor<(B, C), E, D, T>;
    const KIND: OutputKind = OneQuery::<C>::KIND;

    fn try_forward<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        encoded: Encoded<'_, E, D>,
        dropout: Dropout,
    ) -> Result<Vec<Rows<E, D>>, D::Err> {
        OneQuery::<C>::try_forward::<S, E, D>(parameters, record, encoded, dropout)
    }

    fn typed<S: Spec, B: Dim, L: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        results: Vec<Rows<E, D>>,
        record: Record<E, D>,
        tape: T,
    ) -> Result<Self::Tensor<S, B, L, E, D, T>, D::Err> {
        let (rows, tape) = only(results, record, tape)?;
        ops::typed(D::try_squeeze(rows)?, tape)
    }
}
