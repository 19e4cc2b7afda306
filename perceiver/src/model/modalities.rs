//! Several outputs of one model, which share a decoder ([Perceiver IO](https://arxiv.org/abs/2107.14795), section 3.2 and
//! appendix F).

use std::marker::PhantomData;

use dfdx::prelude::*;

use super::output::{Encoded, Output, OutputKind, OutputNames};
use super::queries::{QueryGrid, decode_in_chunks};
use crate::nn::{
    BlockView, Decoder, Last, LinearView, ParameterSource, Parameters, Part, block, linear,
};
use crate::ops::{self, Attend, Record, Rows, Selection, Vector, Weight};
use crate::spec::{Dropout, Numbers, Spec};
use crate::{Device, WrongSize};

/// Several outputs that share a decoder, each with a row for each of its queries: those in the spec's
/// [`OUTPUTS`](Spec::OUTPUTS) ([Perceiver IO](https://arxiv.org/abs/2107.14795), section 3.2 and appendix F).
///
/// The queries are made equally wide with learned values and attend to the latents in one block, the spec's
/// [`DECODER`](Spec::DECODER). A shared layer projects the rows to [`OUTPUT_DIM`](Spec::OUTPUT_DIM), and from there a layer of
/// each output's own to its width.
///
/// The result is a tensor `(batch, queries, width)` for each output. To train, add up the losses of all outputs and call
/// `backward` once: every output carries the tape of the model's operations, but only the first that of the input.
#[derive(Clone, Copy, Debug)]
pub struct Modalities;

/// One of several outputs of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputModality {
    /// The name of the output, which is part of the names of its parameters.
    pub name: &'static str,
    /// The queries, each of which becomes a row.
    pub queries: OutputQueries,
    /// The width to which its rows are projected; `None` to leave them at [`OUTPUT_DIM`](Spec::OUTPUT_DIM).
    pub project: Option<usize>,
}

/// The queries of one of several outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OutputQueries {
    /// Learned queries.
    Learned {
        /// The number of queries.
        count: usize,
        /// The dimension of each query.
        dim: usize,
    },
    /// One query for each position of a grid.
    Grid(QueryGrid),
}

impl OutputModality {
    /// The number of queries.
    pub(crate) const fn count(&self) -> usize {
        match &self.queries {
            OutputQueries::Learned { count, .. } => *count,
            OutputQueries::Grid(grid) => grid.count(),
        }
    }

    /// The dimension of each query, before it is made as wide as the others.
    const fn dim(&self) -> usize {
        match &self.queries {
            OutputQueries::Learned { dim, .. } => *dim,
            OutputQueries::Grid(grid) => grid.dim(),
        }
    }
}

/// The dimension of each query of several outputs.
pub(crate) const fn query_dim(outputs: &[OutputModality], padding: usize) -> usize {
    let (mut i, mut widest) = (0, 0);
    while i < outputs.len() {
        if outputs[i].dim() > widest {
            widest = outputs[i].dim();
        }
        i += 1;
    }
    widest.saturating_add(padding)
}

/// # Panics
/// If the numbers of an output do not fit each other.
pub(crate) const fn check(outputs: &[OutputModality], padding: usize) {
    assert!(outputs.is_empty() || padding > 0, "`OUTPUT_PADDING` must be at least 1");
    let mut i = 0;
    while i < outputs.len() {
        if let OutputQueries::Grid(grid) = &outputs[i].queries {
            grid.check();
        }
        i += 1;
    }
}

/// [`Modalities`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct ModalitiesPart<S>(PhantomData<S>);

/// The parameters of [`Modalities`].
#[derive(Clone, Debug)]
pub struct ModalitiesView<M, V> {
    /// The parameters of each output.
    pub outputs: Vec<OutputModalityView<M, V>>,
    /// The block in which the queries attend to the latents.
    pub block: BlockView<M, V>,
    /// Projects each row to `OUTPUT_DIM`.
    pub linear: LinearView<M, V>,
}

/// The parameters of one of several outputs.
#[derive(Clone, Debug)]
pub struct OutputModalityView<M, V> {
    /// The queries, `(queries, dim)`, if they are learned.
    pub query: Option<M>,
    /// Appended to each query, `(1, width)`.
    pub padding: M,
    /// Projects the rows to the width of this output, if that is not `OUTPUT_DIM`.
    pub project: Option<LinearView<M, V>>,
}

impl<S: Spec> Part for ModalitiesPart<S> {
    type View<M, V> = ModalitiesView<M, V>;
    const PARAMETERS: usize = {
        let (decoder, width) = (Numbers::of::<S>().decoder, S::OUTPUT_DIM);
        let mut sum =
            block::parameters(decoder).saturating_add(linear::parameters(decoder.dim, width, true));
        let mut i = 0;
        while i < S::OUTPUTS.len() {
            let output = &S::OUTPUTS[i];
            sum = sum.saturating_add(decoder.dim.saturating_sub(output.dim()));
            if let OutputQueries::Learned { count, dim } = output.queries {
                sum = sum.saturating_add(count.saturating_mul(dim));
            }
            if let Some(project) = output.project {
                sum = sum.saturating_add(linear::parameters(width, project, true));
            }
            i += 1;
        }
        sum
    };

    fn read<R: ParameterSource>(source: &mut R) -> ModalitiesView<R::Matrix, R::Vector> {
        source.start_as(S::FAMILY);
        let decoder = Numbers::of::<S>().decoder;
        let read = |output: &OutputModality| {
            source.within(format_args!("{}", output.name), |source| OutputModalityView {
                query: match output.queries {
                    OutputQueries::Learned { count: 1, dim } => {
                        Some(source.embedding("class_query", 1, dim))
                    }
                    OutputQueries::Learned { count, dim } => {
                        Some(source.embedding("query", count, dim))
                    }
                    OutputQueries::Grid(_) => None,
                },
                padding: source.embedding("padding", 1, decoder.dim.saturating_sub(output.dim())),
                project: output.project.map(|project| {
                    source.within(format_args!("project"), |source| {
                        LinearView::read(source, S::OUTPUT_DIM, project, true)
                    })
                }),
            })
        };
        ModalitiesView {
            outputs: S::OUTPUTS.iter().map(read).collect(),
            block: source.within(format_args!("block"), |source| BlockView::read(source, decoder)),
            linear: source.within(format_args!("linear"), |source| {
                LinearView::read(source, decoder.dim, S::OUTPUT_DIM, true)
            }),
        }
    }
}

impl Output for Modalities {
    type Part<S: Spec> = ModalitiesPart<S>;
    type Tensor<S: Spec, B: Dim, L: Dim, E: Dtype, D: Storage<E>, T> =
        Vec<Tensor<(B, usize, usize), E, D, T>>;
    const NAMES: OutputNames = OutputNames::Queries;
    const KIND: OutputKind = OutputKind::Modalities;

    fn try_forward<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        encoded: Encoded<'_, E, D>,
        dropout: Dropout,
    ) -> Result<Vec<Rows<E, D>>, D::Err> {
        let view = parameters.view();
        let attend = Attend { dropout: dropout.attention, ..Attend::default() };
        let points = |i: usize, output: &OutputModality| {
            let points = encoded.points.and_then(|points| points.get(i)).map(Vec::as_slice);
            // Learned queries are few.
            points.filter(|_| matches!(output.queries, OutputQueries::Grid(_)))
        };
        let outputs = || S::OUTPUTS.iter().zip(&view.outputs).enumerate();
        let count =
            |i, output: &OutputModality| points(i, output).map_or(output.count(), <[_]>::len);
        let queries = outputs().map(|(i, (output, _))| count(i, output)).sum();
        let latents = encoded.latents.clone();
        let decoder =
            Decoder::new(record, &view.block, latents, queries, attend, dropout.feed_forward)?;
        let mut results = Vec::new();
        for (i, (output, own)) in outputs() {
            let layers = [Some(&view.linear), own.project.as_ref()];
            let layers = layers.into_iter().flatten().cloned().collect();
            let last = Last::new(record, &view.block, layers, count(i, output))?;
            let queries = |record: &mut Record<E, D>, selection: &Selection| {
                own.try_queries(record, output, decoder.batch(), selection)
            };
            let decode =
                |record: &mut Record<E, D>, queries| decoder.try_forward(record, queries, &last);
            let points = points(i, output);
            results.push(decode_in_chunks(record, output.count(), points, queries, decode)?);
        }
        Ok(results)
    }

    fn typed<S: Spec, B: Dim, L: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        results: Vec<Rows<E, D>>,
        record: Record<E, D>,
        tape: T,
    ) -> Result<Self::Tensor<S, B, L, E, D, T>, D::Err> {
        let Some(first) = results.first() else {
            return Err(D::Err::wrong_size());
        };
        let device = first.device().clone();
        let mut tapes = vec![tape];
        tapes.resize_with(results.len(), T::default);
        record.put_on_all(&device, &mut tapes)?;
        results.into_iter().zip(tapes).map(|(rows, tape)| ops::typed(rows, tape)).collect()
    }
}

impl<E: Dtype, D: Device<E>> OutputModalityView<&Weight<E, D>, &Vector<E, D>> {
    /// Some of the queries, `(batch, queries, dim)`, as wide as those of all outputs.
    fn try_queries(
        &self,
        record: &mut Record<E, D>,
        output: &OutputModality,
        batch: usize,
        selection: &Selection,
    ) -> Result<Rows<E, D>, D::Err> {
        let rows = match (&output.queries, self.query) {
            (OutputQueries::Grid(grid), _) => {
                grid.try_rows(self.padding.device(), batch, selection)?
            }
            (OutputQueries::Learned { .. }, Some(query)) => {
                let rows = D::try_repeat(record, ops::matrix(query), batch)?;
                ops::select(record, rows, selection)?
            }
            (OutputQueries::Learned { .. }, None) => return Err(D::Err::wrong_size()),
        };
        let padding = ops::repeat_row(record, self.padding, (batch, rows.shape().1))?;
        ops::concat_channels(record, rows, padding)
    }
}
