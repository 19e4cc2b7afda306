//! Text, token by token.

use dfdx::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::input::Checked;
use super::{Cache, CausalInput, PerceiverAr};
use crate::generate::{Options, Sampler};
use crate::model::memory_is_an_error;
use crate::ops::{self, Record, Selection};
use crate::spec::{CausalNumbers, CausalSpec, Dropout, Mode};
use crate::{Device, ForwardError};

impl<S: CausalSpec, E: Dtype, D: Device<E>> PerceiverAr<S, E, D> {
    /// Returns what follows each of the `prompts`: ids, `(batch, tokens)`, or a pair of them and a `bool` mask, false for
    /// the padding before shorter prompts. The prompts themselves are not part of the result; a stop token is.
    ///
    /// The last `num_latents` tokens of the prompts are the first latents: all of a prompt that is shorter, and as many more
    /// of a long one that at most `MAX_LEN - MAX_LATENTS` come before them. With each token there is one more, up to
    /// `MAX_LATENTS`; then the tokens before them become more, up to `MAX_LEN` together; then the oldest token is left out.
    ///
    /// From then on, learned positions no longer fit: those of cached tokens stay what they were. A model that is to go on
    /// beyond `MAX_LEN` should have rotary positions alone, `position: [Rotary(1.0)]`.
    ///
    /// On the `Cpu` in `f32`, the weights are laid out for the kernels once, until the model changes, which takes as much
    /// memory as they do, unless the model was [prepared](Self::prepare_for_inference) for inference.
    ///
    /// The cache has `2 · DIM` numbers for each token, of which there are up to `MAX_LEN`, and for each latent in each self
    /// attention.
    ///
    /// # Errors
    /// Same as [`try_forward`](Self::try_forward), or if an option is out of range.
    pub fn generate<I: CausalInput<E, D> + Clone>(
        &self,
        prompts: &I,
        options: &Options,
    ) -> Result<Vec<Vec<usize>>, ForwardError<D::Err>> {
        let mut generation = self.generation(prompts, options)?;
        let mut texts = vec![Vec::new(); generation.window.batch];
        for tokens in &mut generation {
            for (text, token) in texts.iter_mut().zip(tokens?) {
                text.extend(token);
            }
        }
        Ok(texts)
    }

    /// Same as [`generate`](Self::generate), but returns an iterator that computes one token for each prompt at a time:
    /// `None` for those that have come to a stop token.
    ///
    /// # Errors
    /// Same as [`generate`](Self::generate).
    pub fn generation<I: CausalInput<E, D> + Clone>(
        &self,
        prompts: &I,
        options: &Options,
    ) -> Result<Generation<'_, S, E, D>, ForwardError<D::Err>> {
        let numbers = const { CausalNumbers::checked::<S>() };
        let (mut window, device, _) = prompts.clone().into_parts();
        let CausalNumbers { max_len, max_latents: max, .. } = numbers;
        let num_latents = options.num_latents;
        if !(1..=max).contains(&num_latents) {
            return Err(ForwardError::NumLatents { num_latents, max });
        }
        let prefix = window.shape.1.saturating_sub(num_latents);
        window.prefix = Some(prefix.min(max_len.saturating_sub(max)));
        let window = window.check(&numbers)?;
        let sampler = Sampler::new(options)?;
        self.input.keep_prepared();
        self.layers.keep_prepared();
        let seen = window.ids.chunks(window.len).zip(&window.padding);
        let seen = seen.map(|(ids, padding)| ids[*padding..].to_vec()).collect();
        Ok(Generation {
            model: self,
            device,
            left: options.max_new_tokens,
            stopped: vec![false; window.batch],
            seen,
            window,
            cache: None,
            sampler,
            rng: StdRng::seed_from_u64(options.seed),
        })
    }
}

/// An iterator over tokens, [`PerceiverAr::generation`].
#[derive(Clone, Debug)]
pub struct Generation<'a, S: CausalSpec, E: Dtype, D: Device<E>> {
    model: &'a PerceiverAr<S, E, D>,
    device: D,
    /// The prompts; then the length of what the cache holds, and its padding.
    window: Checked,
    cache: Option<Cache<E, D>>,
    left: usize,
    stopped: Vec<bool>,
    /// All tokens of each text.
    seen: Vec<Vec<usize>>,
    sampler: Sampler,
    rng: StdRng,
}

impl<S: CausalSpec, E: Dtype, D: Device<E>> Iterator for Generation<'_, S, E, D> {
    type Item = Result<Vec<Option<usize>>, ForwardError<D::Err>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 || self.stopped.iter().all(|stopped| *stopped) {
            return None;
        }
        self.left -= 1;
        let tokens = memory_is_an_error(|| self.try_next());
        if tokens.is_err() {
            self.left = 0;
        }
        Some(tokens.map_err(ForwardError::Device))
    }
}

impl<S: CausalSpec, E: Dtype, D: Device<E>> Generation<'_, S, E, D> {
    fn try_next(&mut self) -> Result<Vec<Option<usize>>, D::Err> {
        let mut record = Record::for_tape::<NoneTape>();
        let (latents, cache) = match self.cache.take() {
            None => self.model.encode(&mut record, &self.device, &self.window, Mode::Inference)?,
            Some(cache) => self.advance(&mut record, cache)?,
        };
        self.cache = Some(cache);
        let count = latents.shape().1;
        let last = ops::select(&mut record, latents, &Selection::Range(count - 1..count))?;
        let logits = self.model.logits(&mut record, last)?;
        let vocab = logits.shape().2;
        let logits: Vec<f64> =
            logits.as_vec().iter().map(|x| x.to_f64().unwrap_or_default()).collect();
        let mut tokens = Vec::new();
        for (item, logits) in logits.chunks(vocab).enumerate() {
            let token = self.sampler.sample(logits, &self.seen[item], &mut self.rng);
            let stopped = self.stopped[item];
            self.stopped[item] |= self.sampler.stops_at(token);
            self.seen[item].push(token);
            tokens.push((!stopped).then_some(token));
        }
        Ok(tokens)
    }

    /// Runs the tokens that were chosen last.
    fn advance(
        &mut self,
        record: &mut Record<E, D>,
        mut cache: Cache<E, D>,
    ) -> Result<(ops::Rows<E, D>, Cache<E, D>), D::Err> {
        let numbers = CausalNumbers::of::<S>();
        let without_first = |record: &mut _, rows: ops::Rows<E, D>| {
            let count = rows.shape().1;
            ops::select(record, rows, &Selection::Range(1..count))
        };
        if cache.cross.shape().1 == numbers.max_len {
            cache.cross = without_first(record, cache.cross)?;
            for padding in &mut self.window.padding {
                *padding = padding.saturating_sub(1);
            }
        }
        for rows in &mut cache.latent {
            if rows.shape().1 == numbers.max_latents {
                *rows = without_first(record, rows.clone())?;
            }
        }
        let (batch, len) = (self.window.batch, cache.cross.shape().1 + 1);
        let padding = &self.window.padding;
        let is_padded = self.window.is_padded();
        let items = if is_padded { batch } else { 1 };
        let positions: Vec<usize> = (0..items)
            .flat_map(|item| (0..len).map(move |place| place.saturating_sub(padding[item])))
            .collect();
        let is_text = is_padded.then(|| {
            padding.iter().flat_map(|padding| (0..len).map(move |i| i >= *padding)).collect()
        });
        let ids = self.seen.iter().map(|seen| seen.last().copied().unwrap_or(0)).collect();
        let last = padding.iter().map(|padding| len - 1 - padding).collect();
        let x = self.model.embed(record, &self.device, ids, last, (batch, 1))?;
        self.model.layers(record, x, None, Some(cache), &positions, is_text, Dropout::NONE)
    }
}
