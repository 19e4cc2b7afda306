//! The way from tokens to the result.

use dfdx::prelude::*;

use super::encoder::{self, Contexts, Observe};
use super::output::Encoded;
use super::{Embeddings, Output, Outputs, Perceiver, memory_is_an_error};
use crate::error::ForwardError;
use crate::input::{InputKind, Purpose, Source, Tokens};
use crate::ops::{
    self, AnyRank, Attend, AttentionWeights, Mask, Positioned, Record, Rows, Updates,
};
use crate::spec::{Mode, Numbers, Softmax, Spec};
use crate::{Device, WrongSize};

/// What a forward pass takes beside its input.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Beside<E: Dtype, D: Storage<E>> {
    /// Queries, `(batch, queries, dim)`.
    pub queries: Option<AnyRank<E, D>>,
    /// For each of the outputs, the rows to compute; `None` for all.
    pub points: Option<Vec<Vec<usize>>>,
}

impl<E: Dtype, D: Storage<E>> Beside<E, D> {
    /// Nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { queries: None, points: None }
    }
}

/// Queries, as tokens without positions.
fn given<E: Dtype, D: Device<E>>(queries: Rows<E, D>) -> Positioned<E, D> {
    let axes = vec![queries.shape().1];
    Positioned { channels: queries, axes, features: Vec::new(), mask: None }
}

impl<S: Spec, E: Dtype, D: Device<E>> Perceiver<S, E, D> {
    /// Computes the result from tokens, and from what else comes with them. `L` is the number of queries that do, or that
    /// the tokens are.
    #[doc(hidden)]
    pub fn try_run<B: Dim, L: Dim, T: Tape<E, D>>(
        &self,
        tokens: Tokens<B, E, D, T>,
        beside: Beside<E, D>,
    ) -> Result<Outputs<S, B, E, D, T, L>, ForwardError<D::Err>> {
        let (result, _) = self.run::<B, L, T>(tokens, beside, Mode::Inference)?;
        Ok(result)
    }

    /// Same as `try_run`, but in training if the tokens have a tape.
    #[doc(hidden)]
    pub fn try_run_mut<B: Dim, L: Dim, T: Tape<E, D>>(
        &mut self,
        tokens: Tokens<B, E, D, T>,
        beside: Beside<E, D>,
    ) -> Result<Outputs<S, B, E, D, T, L>, ForwardError<D::Err>> {
        let (result, updates) = self.run::<B, L, T>(tokens, beside, Mode::Training)?;
        self.input.apply(updates);
        Ok(result)
    }

    /// Returns the result, and the next values of buffers.
    fn run<B: Dim, L: Dim, T: Tape<E, D>>(
        &self,
        tokens: Tokens<B, E, D, T>,
        beside: Beside<E, D>,
        mode: Mode,
    ) -> Result<(Outputs<S, B, E, D, T, L>, Updates<E, D>), ForwardError<D::Err>> {
        S::Input::check::<S, E, D>(&tokens.source)?;
        let tape = tokens.tape;
        let mut record = Record::for_tape::<T>();
        let mode = if record.is_on() { mode } else { Mode::Inference };
        let rows = memory_is_an_error(|| {
            let queries = match beside.queries {
                Some(queries) => Some(given(D::try_flatten(&mut record, queries)?)),
                None => None,
            };
            let keeps_tokens = S::Output::TAKES_TOKENS;
            let prepared =
                self.prepare(&mut record, tokens.source, tokens.mask, mode, keeps_tokens)?;
            let latents = self.encode(&mut record, &prepared, mode, &mut |_, _, _| Ok(()))?;
            let encoded = Encoded {
                latents,
                queries: queries.or(prepared.kept),
                embedding: S::Input::embedding::<S, E, D>(&self.input),
                points: beside.points.as_deref(),
            };
            let dropout = mode.dropout::<S>();
            S::Output::try_forward::<S, E, D>(&self.output, &mut record, encoded, dropout)
        })?;
        let updates = record.take_updates();
        Ok((S::Output::typed::<S, B, L, E, D, T>(rows, record, tape)?, updates))
    }

    /// Computes the latents after the last layer from tokens.
    #[doc(hidden)]
    pub fn try_run_embed<B: Dim, T: Tape<E, D>>(
        &self,
        tokens: Tokens<B, E, D, T>,
    ) -> Result<Embeddings<S, B, E, D, T>, ForwardError<D::Err>> {
        S::Input::check::<S, E, D>(&tokens.source)?;
        let mut tape = tokens.tape;
        let mut record = Record::for_tape::<T>();
        let latents = memory_is_an_error(|| {
            let mode = Mode::Inference;
            let prepared = self.prepare(&mut record, tokens.source, tokens.mask, mode, false)?;
            self.encode(&mut record, &prepared, mode, &mut |_, _, _| Ok(()))
        })?;
        record.put_on(&mut tape);
        Ok(ops::typed(latents, tape)?)
    }

    /// Computes the weights with which the latents attend to tokens in some `layers`, `(batch, heads, latents, tokens)` for
    /// each, and the sizes of the axes of the tokens.
    #[doc(hidden)]
    pub fn try_run_attention<B: Dim>(
        &self,
        tokens: Tokens<B, E, D>,
        layers: &[usize],
    ) -> Result<(Vec<AttentionWeights<E, D>>, Vec<usize>), ForwardError<D::Err>> {
        S::Input::check::<S, E, D>(&tokens.source)?;
        let attends = S::CROSS_ATTENDS;
        if let Some(&layer) = layers.iter().find(|layer| **layer >= attends) {
            return Err(ForwardError::Layer { layer, attends });
        }
        let mut record = Record::for_tape::<NoneTape>();
        Ok(memory_is_an_error(|| {
            let mode = Mode::Inference;
            let prepared = self.prepare(&mut record, tokens.source, tokens.mask, mode, true)?;
            let Some(kept) = &prepared.kept else {
                return Err(D::Err::wrong_size());
            };
            let mask = kept.mask.clone().map_or(Mask::None, Mask::Keys);
            let mut off = Record::for_tape::<NoneTape>();
            let rows = kept.clone().try_encode(&mut off)?;
            let mut found = Vec::new();
            let numbers = Numbers::of::<S>();
            self.encode(&mut record, &prepared, mode, &mut |layer, cross, latents| {
                if layers.contains(&layer) {
                    let latents = latents.clone();
                    let softmax = numbers.softmax_of(layer);
                    let keys_too = numbers.queries_contribute_kv;
                    let weights =
                        cross.try_weights(latents, rows.clone(), &mask, softmax, keys_too)?;
                    found.push((layer, weights));
                }
                Ok(())
            })?;
            let weights_of = |layer: &usize| {
                let weights = found.iter().find(|(found, _)| found == layer);
                weights.map(|(_, weights)| weights.clone()).ok_or_else(D::Err::wrong_size)
            };
            let weights = layers.iter().map(weights_of).collect::<Result<_, _>>()?;
            Ok((weights, kept.axes.clone()))
        })?)
    }

    /// Prepares tokens for each axis over which weights sum to 1 in some layer.
    fn prepare(
        &self,
        record: &mut Record<E, D>,
        source: Source<E, D>,
        mask: Option<AnyRank<bool, D>>,
        mode: Mode,
        keeps_tokens: bool,
    ) -> Result<Contexts<E, D>, D::Err> {
        let numbers = const { Numbers::checked::<S>() };
        let mut contexts = Contexts { batch: 0, tokens: None, queries: None, kept: None };
        for softmax in [Softmax::Tokens, Softmax::Queries] {
            if !(0..numbers.cross_attends).any(|layer| numbers.softmax_of(layer) == softmax) {
                continue;
            }
            let attend = Attend {
                softmax,
                dropout: mode.dropout::<S>().attention,
                queries_as_keys: if numbers.queries_contribute_kv {
                    numbers.num_latents
                } else {
                    0
                },
            };
            let purpose = Purpose { attend, mode, keeps_tokens };
            let (source, mask) = (source.clone(), mask.clone());
            let prepared =
                S::Input::prepare::<S, E, D>(&self.input, record, source, mask, purpose)?;
            contexts.batch = prepared.context.batch();
            contexts.kept = contexts.kept.or(prepared.tokens);
            match softmax {
                Softmax::Tokens => contexts.tokens = Some(prepared.context),
                Softmax::Queries => contexts.queries = Some(prepared.context),
            }
        }
        Ok(contexts)
    }

    /// Computes the latents after the last layer.
    fn encode(
        &self,
        record: &mut Record<E, D>,
        contexts: &Contexts<E, D>,
        mode: Mode,
        observe: &mut Observe<'_, E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        let numbers = Numbers::of::<S>();
        let latents = ops::untyped(self.latents.clone());
        let (layers, dropout) = (self.layers.view(), mode.dropout::<S>());
        let latents = encoder::run(record, &numbers, latents, &layers, contexts, dropout, observe)?;
        match self.norm.view() {
            Some(norm) => norm.try_forward(record, latents),
            None => Ok(latents),
        }
    }
}
