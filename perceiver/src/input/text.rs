//! Text: ids that become rows of an embedding, each with a learned position added.

use std::marker::PhantomData;

use dfdx::prelude::*;

use super::{Accepts, InputKind, InputMask, Prepared, Purpose, Source, Tokens, Unmasked};
use crate::nn::{ParameterSource, Parameters, Part};
use crate::ops::{self, Positioned, Record, Rows, Weight};
use crate::spec::Spec;
use crate::{ForwardError, WrongSize};

/// Text: ids below `VOCAB`, at most `MAX_LEN` of them, a tensor `(batch, tokens)` of `usize`, alone or in a pair with a `bool`
/// mask `(batch, tokens)`.
///
/// Each id becomes a token, the sum of a row of an embedding and a learned row for its position, both `DIM` wide.
#[derive(Clone, Copy, Debug)]
pub struct Text<const VOCAB: usize, const MAX_LEN: usize, const DIM: usize>;

/// [`Text`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct TextPart<S, const VOCAB: usize, const MAX_LEN: usize, const DIM: usize>(PhantomData<S>);

/// The parameters of [`Text`].
#[derive(Clone, Debug)]
pub struct TextView<M> {
    /// A row for each id, `(vocab, dim)`.
    pub embeddings: M,
    /// A row for each position, `(max_len, dim)`.
    pub positions: M,
}

/// The sizes of a [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSpec {
    /// The size of the vocabulary; ids must be below it.
    pub vocab: usize,
    /// The largest number of tokens.
    pub max_len: usize,
    /// The dimension of the embedding.
    pub dim: usize,
}

impl TextSpec {
    /// The number of parameters.
    pub(super) const fn parameters(&self) -> usize {
        self.vocab.saturating_add(self.max_len).saturating_mul(self.dim)
    }
}

impl<const VOCAB: usize, const MAX_LEN: usize, const DIM: usize> Text<VOCAB, MAX_LEN, DIM> {
    const SPEC: TextSpec = TextSpec { vocab: VOCAB, max_len: MAX_LEN, dim: DIM };
}

impl<S: Spec, const VOCAB: usize, const MAX_LEN: usize, const DIM: usize> Part
    for TextPart<S, VOCAB, MAX_LEN, DIM>
{
    type View<M, V> = TextView<M>;
    const PARAMETERS: usize = Text::<VOCAB, MAX_LEN, DIM>::SPEC.parameters();

    fn read<R: ParameterSource>(source: &mut R) -> TextView<R::Matrix> {
        source.start_as(S::FAMILY);
        TextView::read(source, &Text::<VOCAB, MAX_LEN, DIM>::SPEC)
    }
}

impl<M> TextView<M> {
    /// Reads the parameters of text.
    pub(super) fn read<R: ParameterSource<Matrix = M>>(source: &mut R, text: &TextSpec) -> Self {
        Self {
            embeddings: source.embedding("embeddings.weight", text.vocab, text.dim),
            positions: source.embedding("positions.weight", text.max_len, text.dim),
        }
    }
}

impl<E: Dtype, D: crate::Device<E>> TextView<&Weight<E, D>> {
    /// Makes tokens of ids, `(batch, tokens, dim)`.
    pub(super) fn try_embed(
        &self,
        record: &mut Record<E, D>,
        ids: Tensor<(usize, usize), usize, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        let (batch, tokens) = *ids.shape();
        let places = (0..batch).flat_map(|_| 0..tokens).collect();
        let places = ids.device().try_tensor_from_vec(places, (batch, tokens))?;
        D::try_embed(record, &[(self.embeddings, &ids), (self.positions, &places)])
    }
}

/// Returns an error if there are too many ids, or one is not in the vocabulary.
pub(super) fn check<E: Dtype, D: crate::Device<E>>(
    ids: &Tensor<(usize, usize), usize, D>,
    TextSpec { vocab, max_len, .. }: &TextSpec,
) -> Result<(), ForwardError<D::Err>> {
    let len = ids.shape().1;
    if len > *max_len {
        return Err(ForwardError::TooLong { len, max_len: *max_len });
    }
    match ids.as_vec().into_iter().find(|id| id >= vocab) {
        Some(id) => Err(ForwardError::Id { id, vocab: *vocab }),
        None => Ok(()),
    }
}

impl<const VOCAB: usize, const MAX_LEN: usize, const DIM: usize> InputKind
    for Text<VOCAB, MAX_LEN, DIM>
{
    const AXES: usize = 1;
    const CHANNELS: usize = DIM;
    const TEXT: Option<TextSpec> = Some(Self::SPEC);
    type Part<S: Spec> = TextPart<S, VOCAB, MAX_LEN, DIM>;

    fn check<S: Spec, E: Dtype, D: crate::Device<E>>(
        source: &Source<E, D>,
    ) -> Result<(), ForwardError<D::Err>> {
        match source {
            Source::Ids(ids) => check::<E, D>(ids, &Self::SPEC),
            _ => Ok(()),
        }
    }

    fn embedding<S: Spec, E: Dtype, D: crate::Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
    ) -> Option<&Weight<E, D>> {
        Some(parameters.view().embeddings)
    }

    fn prepare<S: Spec, E: Dtype, D: crate::Device<E>>(
        parameters: &Parameters<Self::Part<S>, E, D>,
        record: &mut Record<E, D>,
        source: Source<E, D>,
        mask: Option<ops::AnyRank<bool, D>>,
        purpose: Purpose,
    ) -> Result<Prepared<E, D>, D::Err> {
        let Source::Ids(ids) = source else {
            return Err(D::Err::wrong_size());
        };
        let channels = parameters.view().try_embed(record, ids)?;
        let (batch, count, _) = *channels.shape();
        // Embeddings are finite, so what is masked need not be cleared.
        let mask = mask.map(D::try_flatten_mask).transpose()?;
        ops::check::<D::Err>(mask.as_ref().is_none_or(|mask| *mask.shape() == (batch, count)))?;
        let tokens = Positioned { channels, axes: vec![count], features: Vec::new(), mask };
        Prepared::new(record, tokens, purpose)
    }
}

/// What a [`Text`] accepts: ids, a tensor `(batch, tokens)` of `usize`, or a pair of them and a `bool` mask `(batch, tokens)`.
pub trait Ids<E: Dtype, D: Storage<E> + Storage<usize>>: Sized {
    /// The dimension of the batch.
    type Batch: Dim;
    /// The dimension of the tokens.
    type Tokens: Dim;
    /// The dimensions of the batch and the tokens.
    type Positions;
    /// The type of the mask, [`Unmasked`] if there is none. It does not necessarily fit these ids.
    type Mask;
    /// The tape that the ids carry.
    type Tape: Tape<E, D>;

    /// Converts the ids to run-time dimensions, and returns their mask separately.
    ///
    /// # Errors
    /// If there are no ids.
    fn into_parts(
        self,
    ) -> Result<(Tokens<Self::Batch, E, D, Self::Tape>, Self::Mask), ForwardError<D::Err>>
    where
        D: crate::Device<E>;
}

impl<B: Dim, S: Dim, E: Dtype, D: Storage<E> + Storage<usize>, T: Tape<E, D>> Ids<E, D>
    for Tensor<(B, S), usize, D, T>
{
    type Batch = B;
    type Tokens = S;
    type Positions = (B, S);
    type Mask = Unmasked;
    type Tape = T;

    fn into_parts(self) -> Result<(Tokens<B, E, D, T>, Unmasked), ForwardError<D::Err>>
    where
        D: crate::Device<E>,
    {
        let (ids, tape) = self.split_tape();
        let shape = vec![ids.shape().0.size(), ids.shape().1.size()];
        if shape.contains(&0) {
            return Err(ForwardError::Empty { shape });
        }
        let source = Source::Ids(ops::untyped(ids));
        Ok((Tokens { source, mask: None, batch: PhantomData, tape }, Unmasked))
    }
}

impl<E: Dtype, D: Storage<E> + Storage<usize>, X: Ids<E, D, Mask = Unmasked>, M> Ids<E, D>
    for (X, M)
{
    type Batch = X::Batch;
    type Tokens = X::Tokens;
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

impl<const VOCAB: usize, const MAX_LEN: usize, const DIM: usize, I, E, D> Accepts<I, E, D>
    for Text<VOCAB, MAX_LEN, DIM>
where
    E: Dtype,
    D: Storage<E> + Storage<usize> + Storage<bool>,
    I: Ids<E, D>,
    I::Mask: InputMask<I::Positions, E, D>,
{
    type Batch = I::Batch;
    type Tape = I::Tape;

    fn tokens(input: I) -> Result<Tokens<I::Batch, E, D, I::Tape>, ForwardError<D::Err>>
    where
        D: crate::Device<E>,
    {
        let (tokens, mask) = input.into_parts()?;
        tokens.try_masked(mask)
    }
}
