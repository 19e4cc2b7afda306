//! Outputs: what `forward` computes from the latents. A new output is a part with an [`Output`] implementation here.

use std::fmt::Debug;
use std::marker::PhantomData;

use dfdx::prelude::*;

use super::queries::{Learned, Project, ProjectionKind, Queries};
use crate::nn::{LinearView, NormView, ParameterSource, Parameters, Part, linear, norm};
use crate::ops::{self, Positioned, Record, Rows, Weight};
use crate::spec::{Dropout, Spec};
use crate::{Device, WrongSize};

/// The output of a model, computed from its latents.
pub trait Output: Clone + Debug + 'static {
    /// Its parameters in a model with this spec.
    type Part<S: Spec>: Part;

    /// The result of `forward` for a model with this spec. `L` is the number of queries, if they come with the input.
    type Tensor<S: Spec, B: Dim, L: Dim, E: Dtype, D: Storage<E>, T>;

    /// What its tensors are called in files.
    const NAMES: OutputNames = OutputNames::Classifier;

    /// What it computes.
    const KIND: OutputKind;

    /// Whether its queries are the tokens of the input.
    const TAKES_TOKENS: bool = false;

    /// Computes the result from the latents: a tensor for each of the outputs, of which most kinds have one.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_forward<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        encoded: Encoded<'_, E, D>,
        dropout: Dropout,
    ) -> Result<Vec<Rows<E, D>>, D::Err>;

    /// Converts what `try_forward` returned to its type, with the operations of the record on the tape.
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
    /// The queries that come with the input or are its tokens.
    pub queries: Option<Positioned<E, D>>,
    /// The embedding of the input's ids, `(vocab, dim)`.
    pub embedding: Option<&'a Weight<E, D>>,
    /// For each of the outputs, the rows to compute; `None` for all.
    pub points: Option<&'a [Vec<usize>]>,
}

/// What an output computes, which determines its cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Nothing: the latents are its result.
    Latents,
    /// The mean of the latents, projected to so many numbers.
    MeanPool(usize),
    /// A row for each query, from the spec's `DECODER`.
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
    /// The spec's `OUTPUTS`.
    Modalities,
}

/// What the tensors of an output are called in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputNames {
    /// As those of classifiers.
    Classifier,
    /// As those of a decoder with queries.
    Queries,
    /// The same, with queries that are the input's tokens.
    Tokens,
    /// As those of a language model, which projects with its embedding.
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

/// The latents themselves: `(batch, NUM_LATENTS, LATENT_DIM)`.
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

/// A classifier: the mean of the latents is normalised and projected to one logit for each of the `Classes`,
/// `(batch, Classes)` (section 3.1 of the paper).
#[derive(Clone, Copy, Debug)]
pub struct MeanPool<Classes>(PhantomData<Classes>);

/// [`MeanPool`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct MeanPoolPart<S, Classes>(PhantomData<(S, Classes)>);

/// The parameters of a [`MeanPool`].
#[derive(Clone, Debug)]
pub struct MeanPoolView<M, V> {
    /// Normalises the mean.
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

/// A classifier: a learned query attends to the latents, and what it becomes is projected to one logit for each of the
/// `Classes`, `(batch, Classes)` (Perceiver IO, arXiv 2107.14795, section 3.2).
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
