//! Outputs with a row for each of several queries.

use std::fmt::Debug;
use std::marker::PhantomData;

use dfdx::prelude::*;

use super::output::{Encoded, Output, OutputKind, OutputNames, only};
use crate::nn::{
    BlockView, Decoder, Last, LinearView, ParameterSource, Parameters, Part, block, linear,
};
use crate::ops::{self, Attend, Record, Rows, Selection};
use crate::position::Fourier;
use crate::spec::{Dropout, Numbers, Spec};
use crate::{Device, WrongSize};

/// An output with a row for each query, `(batch, queries, width)`: the queries attend to the latents, and the results are
/// projected ([Perceiver IO](https://arxiv.org/abs/2107.14795), section 3.2).
///
/// `Q` says where the queries come from ([`Learned`], [`OfGrid`], [`Given`], [`OfInput`]), and `P` how the rows are projected
/// ([`Project`], [`ProjectEmbedding`], [`NoProjection`]). The block in which they attend is the spec's
/// [`DECODER`](Spec::DECODER).
///
/// ```
/// use perceiver::dfdx::nn::BuildModule;
/// use perceiver::input::Grid;
/// use perceiver::model::{Learned, Perceiver, Project, Queries};
/// use perceiver::position::Position;
/// use perceiver::prelude::*;
/// use perceiver::spec::Spec;
///
/// /// Finds three boxes around points of the plane: four numbers each.
/// #[derive(Clone, Debug)]
/// struct Boxes;
///
/// impl Spec for Boxes {
///     const NAME: &str = "Boxes";
///     type Input = Grid<1, 2>;
///     type NumLatents = Const<8>;
///     type LatentDim = Const<16>;
///     type Output = Queries<Learned<Const<3>>, Project<Const<4>>>;
///     const POSITION: Position = Position::None;
///     const DEPTH: usize = 1;
/// }
///
/// let dev = Cpu::default();
/// let model = Perceiver::<Boxes, f32, Cpu>::build(&dev);
/// let points: Tensor<Rank3<5, 20, 2>, f32, _> = dev.sample_normal();
/// let boxes: Tensor<Rank3<5, 3, 4>, f32, _> = model.try_forward(points)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Queries<Q, P>(PhantomData<(Q, P)>);

/// Where the queries of [`Queries`] come from.
pub trait QuerySource: Clone + Debug + 'static {
    /// The number of learned queries; `None` if they are not learned.
    const LEARNED: Option<usize>;
    /// Whether they are the tokens of the input.
    const TAKES_TOKENS: bool = false;
    /// The number of queries in the type of the output, if `L` come with the input.
    type Rows<L: Dim>: Dim;
}

/// `N` learned queries.
#[derive(Clone, Copy, Debug)]
pub struct Learned<N>(PhantomData<N>);

impl<N: ConstDim> QuerySource for Learned<N> {
    const LEARNED: Option<usize> = Some(N::SIZE);
    type Rows<L: Dim> = N;
}

/// Queries that are passed with the input, of the width [`Spec::DECODER`] says.
#[derive(Clone, Copy, Debug)]
pub struct Given;

impl QuerySource for Given {
    const LEARNED: Option<usize> = None;
    type Rows<L: Dim> = L;
}

/// Queries that are the tokens of the input.
#[derive(Clone, Copy, Debug)]
pub struct OfInput;

impl QuerySource for OfInput {
    const LEARNED: Option<usize> = None;
    const TAKES_TOKENS: bool = true;
    type Rows<L: Dim> = L;
}

/// Queries that are the positions of a grid, the spec's [`QUERY_GRID`](Spec::QUERY_GRID): one for each position.
#[derive(Clone, Copy, Debug)]
pub struct OfGrid;

impl QuerySource for OfGrid {
    const LEARNED: Option<usize> = None;
    type Rows<L: Dim> = usize;
}

/// A grid whose positions are queries: their Fourier features, `axes · (2 · bands + 1)` numbers each.
///
/// The features are in the order of Hugging Face's Transformers: the positions along all axes, the sines of each axis, the
/// cosines of each axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryGrid {
    /// The sizes of the axes.
    pub axes: &'static [usize],
    /// The Fourier features of the positions.
    pub position: Fourier,
}

impl QueryGrid {
    /// The number of queries.
    pub(crate) const fn count(&self) -> usize {
        let (mut i, mut count) = (0, 1_usize);
        while i < self.axes.len() {
            count = count.saturating_mul(self.axes[i]);
            i += 1;
        }
        count
    }

    /// The dimension of each query.
    pub(crate) const fn dim(&self) -> usize {
        self.axes.len().saturating_mul(self.position.width())
    }

    /// # Panics
    /// If its numbers do not fit each other.
    pub(crate) const fn check(&self) {
        self.position.check(self.axes.len());
    }

    /// Some of the queries for each item of a batch.
    pub(super) fn try_rows<E: Dtype, D: Device<E>>(
        &self,
        device: &D,
        batch: usize,
        selection: &Selection,
    ) -> Result<Rows<E, D>, D::Err> {
        let places = selection.places(self.count());
        let rows = self.position.rows(self.axes, &places);
        let rows = ops::constant(device, &rows, (places.len(), self.dim()))?;
        D::try_repeat(&mut Record::for_tape::<NoneTape>(), rows, batch)
    }
}

/// How the rows of [`Queries`] are projected, as a type.
pub trait Projection: Clone + Debug + 'static {
    /// The width of each row of the result.
    type Dim: ConstDim;
    /// The same as a value.
    const KIND: ProjectionKind;
}

/// How the rows of [`Queries`] are projected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionKind {
    /// By a linear layer.
    Linear,
    /// By the embedding of the input's ids, transposed, with a bias of its own.
    Embedding,
    /// Not at all.
    None,
}

/// Projects each row to `N` numbers with a linear layer.
#[derive(Clone, Copy, Debug)]
pub struct Project<N>(PhantomData<N>);

impl<N: ConstDim> Projection for Project<N> {
    type Dim = N;
    const KIND: ProjectionKind = ProjectionKind::Linear;
}

/// Projects each row to a logit for each of the input's `Vocab` ids, with the transposed embedding and a bias.
#[derive(Clone, Copy, Debug)]
pub struct ProjectEmbedding<Vocab>(PhantomData<Vocab>);

impl<N: ConstDim> Projection for ProjectEmbedding<N> {
    type Dim = N;
    const KIND: ProjectionKind = ProjectionKind::Embedding;
}

/// Returns the rows as they are, as wide as the queries: `N` numbers each.
#[derive(Clone, Copy, Debug)]
pub struct NoProjection<N>(PhantomData<N>);

impl<N: ConstDim> Projection for NoProjection<N> {
    type Dim = N;
    const KIND: ProjectionKind = ProjectionKind::None;
}

/// [`Queries`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct QueriesPart<S, Q, P>(PhantomData<(S, Q, P)>);

/// The parameters of [`Queries`].
#[derive(Clone, Debug)]
pub struct QueriesView<M, V> {
    /// The queries, `(queries, dim)`, if they are learned.
    pub query: Option<M>,
    /// The block in which the queries attend to the latents.
    pub block: BlockView<M, V>,
    /// The projection, if it is a linear layer.
    pub linear: Option<LinearView<M, V>>,
    /// The bias of a projection with the embedding, `(vocab,)`.
    pub bias: Option<V>,
}

impl<S: Spec, Q: QuerySource, P: Projection> Part for QueriesPart<S, Q, P> {
    type View<M, V> = QueriesView<M, V>;
    const PARAMETERS: usize = {
        let decoder = Numbers::of::<S>().decoder;
        let queries = match Q::LEARNED {
            Some(count) => count.saturating_mul(decoder.dim),
            None => 0,
        };
        let projection = match P::KIND {
            ProjectionKind::Linear => linear::parameters(decoder.dim, P::Dim::SIZE, true),
            ProjectionKind::Embedding => P::Dim::SIZE,
            ProjectionKind::None => 0,
        };
        block::parameters(decoder).saturating_add(queries).saturating_add(projection)
    };

    fn read<R: ParameterSource>(source: &mut R) -> QueriesView<R::Matrix, R::Vector> {
        source.start_as(S::FAMILY);
        let (decoder, width) = (Numbers::of::<S>().decoder, P::Dim::SIZE);
        QueriesView {
            query: Q::LEARNED.map(|count| source.embedding("query", count, decoder.dim)),
            block: source.within(format_args!("block"), |source| BlockView::read(source, decoder)),
            linear: (P::KIND == ProjectionKind::Linear).then(|| {
                source.within(format_args!("linear"), |source| {
                    LinearView::read(source, decoder.dim, width, true)
                })
            }),
            bias: (P::KIND == ProjectionKind::Embedding)
                .then(|| source.vector("embedding_bias", width, crate::nn::Init::Zeros)),
        }
    }
}

/// The number of queries that are decoded at once when gradients are not tracked: enough for all threads, and few enough that
/// what becomes of them stays small.
pub(crate) const CHUNK: usize = 4096;

/// Decodes `count` queries, or those at some `points`, if gradients are not tracked one chunk after another: `queries` makes
/// those of a selection.
pub(super) fn decode_in_chunks<E: Dtype, D: Device<E>>(
    record: &mut Record<E, D>,
    count: usize,
    points: Option<&[usize]>,
    mut queries: impl FnMut(&mut Record<E, D>, &Selection) -> Result<Rows<E, D>, D::Err>,
    mut decode: impl FnMut(&mut Record<E, D>, Rows<E, D>) -> Result<Rows<E, D>, D::Err>,
) -> Result<Rows<E, D>, D::Err> {
    let total = points.map_or(count, <[usize]>::len);
    let chunk = if record.is_on() { total.max(1) } else { CHUNK };
    let mut all = Vec::new();
    for first in (0..total).step_by(chunk) {
        let range = first..total.min(first + chunk);
        let selection = match points {
            None if range.len() == count => Selection::All,
            None => Selection::Range(range),
            Some(points) => Selection::Places(points[range].to_vec()),
        };
        let queries = queries(record, &selection)?;
        all.push(decode(record, queries)?);
    }
    ops::concat_all(record, all)
}

impl<Q: QuerySource, P: Projection> Output for Queries<Q, P> {
    type Part<S: Spec> = QueriesPart<S, Q, P>;
    type Tensor<S: Spec, B: Dim, L: Dim, E: Dtype, D: Storage<E>, T> =
        Tensor<(B, Q::Rows<L>, P::Dim), E, D, T>;
    const NAMES: OutputNames = match P::KIND {
        ProjectionKind::Embedding => OutputNames::Language,
        ProjectionKind::Linear | ProjectionKind::None if Q::TAKES_TOKENS => OutputNames::Tokens,
        ProjectionKind::Linear | ProjectionKind::None => OutputNames::Queries,
    };

    const KIND: OutputKind = OutputKind::Queries {
        learned: Q::LEARNED,
        takes_tokens: Q::TAKES_TOKENS,
        project: P::KIND,
        width: P::Dim::SIZE,
    };

    const TAKES_TOKENS: bool = Q::TAKES_TOKENS;

    fn try_forward<S: Spec, E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        encoded: Encoded<'_, E, D>,
        dropout: Dropout,
    ) -> Result<Vec<Rows<E, D>>, D::Err> {
        let view = parameters.view();
        let Encoded { latents, queries, embedding, points } = encoded;
        let device = latents.device().clone();
        let attend = Attend { dropout: dropout.attention, ..Attend::default() };
        let points = points.and_then(|points| points.first()).map(Vec::as_slice);
        let count = match (Q::LEARNED, &queries, S::QUERY_GRID) {
            (Some(count), ..) => count,
            (None, Some(tokens), _) => tokens.channels.shape().1,
            (None, None, Some(grid)) => grid.count(),
            (None, None, None) => 0,
        };
        let layers = match (P::KIND, view.linear, embedding) {
            (ProjectionKind::None, ..) => Vec::new(),
            (ProjectionKind::Linear, Some(linear), _) => vec![linear],
            (ProjectionKind::Embedding, _, Some(weight)) => {
                vec![LinearView { weight, bias: view.bias }]
            }
            _ => return Err(D::Err::wrong_size()),
        };
        let decoded = points.map_or(count, <[usize]>::len);
        let decoder =
            Decoder::new(record, &view.block, latents, decoded, attend, dropout.feed_forward)?;
        let last = Last::new(record, &view.block, layers, decoded)?;
        let decode = |record: &mut Record<E, D>, queries| {
            let rows = decoder.try_forward(record, queries, &last)?;
            match S::OUTPUT_SCALE {
                1.0 => Ok(rows),
                factor => ops::scale(record, rows, factor),
            }
        };
        let batch = decoder.batch();
        let rows = match (view.query, queries, S::QUERY_GRID) {
            (Some(query), ..) => {
                let rows = D::try_repeat(record, ops::matrix(query), batch)?;
                let queries = |record: &mut Record<E, D>, selection: &Selection| {
                    ops::select(record, rows.clone(), selection)
                };
                decode_in_chunks(record, count, points, queries, decode)?
            }
            (None, Some(tokens), _) => {
                let queries = |record: &mut Record<E, D>, selection: &Selection| {
                    tokens.try_encode_some(record, selection)
                };
                decode_in_chunks(record, count, points, queries, decode)?
            }
            (None, None, Some(grid)) => {
                let queries = |_: &mut Record<E, D>, selection: &Selection| {
                    grid.try_rows(&device, batch, selection)
                };
                decode_in_chunks(record, count, points, queries, decode)?
            }
            (None, None, None) => return Err(D::Err::wrong_size()),
        };
        Ok(vec![rows])
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
