//! Text, token by token.

use dfdx::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::input::Checked;
use super::{CausalInput, PerceiverAr};
use crate::generate::{Options, Sampler};
use crate::model::memory_is_an_error;
use crate::ops::{self, Angles, Record, Selection};
use crate::spec::{CausalNumbers, CausalSpec, Mode};
use crate::{Device, ForwardError, WrongSize};

impl<S: CausalSpec, E: Dtype, D: Device<E>> PerceiverAr<S, E, D> {
    /// Continues each of the `prompts`, and returns the ids that follow it. These do not include the prompt, but do include a
    /// stop token.
    ///
    /// The prompts are ids, `(batch, tokens)`, or a pair of them and a `bool` mask, false for the padding before shorter
    /// prompts. The [`Options`] say how many tokens to generate, how to sample them, and where to stop; the same seed
    /// gives the same text. [`PerceiverAr`] has an example.
    ///
    /// The first latents are the last `num_latents` tokens of the prompts: all tokens of a shorter prompt, and of a long one as
    /// many more as leave at most `MAX_LEN - MAX_LATENTS` before them. Each new token is one more latent, up to `MAX_LATENTS`;
    /// then the tokens before the latents become more, up to `MAX_LEN` in all; then the oldest token is dropped.
    ///
    /// Beyond `MAX_LEN`, learned positions no longer fit, since cached tokens keep theirs. A model that is to generate longer
    /// texts should have rotary positions only, `position: [Rotary(1.0)]`.
    ///
    /// The cache has `2 · DIM` numbers for each of up to `MAX_LEN` tokens, and for each latent in each self attention. On the
    /// `Cpu` in `f32`, the weights are laid out for the kernels once, until the model changes, in addition to their tensors,
    /// unless the model was [prepared for inference](Self::prepare_for_inference).
    ///
    /// # Errors
    /// Same as [`try_forward`](Self::try_forward), and if an option is out of range.
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

    /// Same as [`generate`](Self::generate), but returns an iterator that generates one token for each prompt at a time, to show
    /// a text while it is written. A prompt that has come to a stop token gets `None`.
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
        let sampler = Sampler::new(options, numbers.vocab)?;
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
            next: window.padding.iter().map(|padding| window.len - padding).collect(),
            window,
            cache: None,
            logits: Vec::new(),
            sampler,
            rng: StdRng::seed_from_u64(options.seed),
        })
    }
}

/// An iterator over generated tokens, returned by [`PerceiverAr::generation`]: at each step one for each prompt, or `None` after a
/// stop token.
#[derive(Clone, Debug)]
pub struct Generation<'a, S: CausalSpec, E: Dtype, D: Device<E>> {
    model: &'a PerceiverAr<S, E, D>,
    device: D,
    /// The prompts; then the padding that is still in the cache.
    window: Checked,
    /// The position of the next token of each prompt, as it is rotated. It goes on to grow when the oldest tokens are left
    /// out: only differences matter.
    next: Vec<usize>,
    cache: Option<Cache<E, D>>,
    left: usize,
    stopped: Vec<bool>,
    /// All tokens of each text.
    seen: Vec<Vec<usize>>,
    logits: Vec<Vec<E>>,
    sampler: Sampler,
    rng: StdRng,
}

/// The keys and values of the cross attention, and of each self attention.
#[derive(Clone, Debug)]
struct Cache<E: Dtype, D: Device<E>> {
    cross: D::Cache,
    latent: Vec<D::Cache>,
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
    /// The logits that the last tokens were chosen from, one row of `VOCAB` numbers for each prompt, before temperature and
    /// penalty; empty before the first tokens.
    #[must_use]
    pub fn logits(&self) -> &[Vec<E>] {
        &self.logits
    }

    fn try_next(&mut self) -> Result<Vec<Option<usize>>, D::Err> {
        let mut record = Record::for_tape::<NoneTape>();
        let last = match &mut self.cache {
            None => {
                let (latents, key_values) =
                    self.model.encode(&mut record, &self.device, &self.window, Mode::Inference)?;
                let CausalNumbers { max_len, max_latents, .. } = CausalNumbers::of::<S>();
                let latent =
                    key_values.latent.into_iter().map(|rows| D::try_cache(rows, max_latents));
                self.cache = Some(Cache {
                    cross: D::try_cache(key_values.cross, max_len)?,
                    latent: latent.collect::<Result<_, _>>()?,
                });
                let count = latents.shape().1;
                ops::select(&mut record, latents, &Selection::Range(count - 1..count))?
            }
            Some(_) => self.step()?,
        };
        let logits = self.model.logits(&mut record, last)?;
        let vocab = logits.shape().2;
        self.logits = logits.as_vec().chunks(vocab).map(<[E]>::to_vec).collect();
        let mut tokens = Vec::new();
        for (item, logits) in self.logits.iter().enumerate() {
            let logits: Vec<f64> = logits.iter().map(|x| x.to_f64().unwrap_or_default()).collect();
            let token = self.sampler.sample(&logits, &self.seen[item], &mut self.rng);
            let stopped = self.stopped[item];
            self.stopped[item] |= self.sampler.stops_at(token);
            self.seen[item].push(token);
            tokens.push((!stopped).then_some(token));
        }
        Ok(tokens)
    }

    /// Runs the tokens that were chosen last, and returns their latents.
    fn step(&mut self) -> Result<ops::Rows<E, D>, D::Err> {
        let numbers = CausalNumbers::of::<S>();
        let Some(cache) = &mut self.cache else {
            return Err(D::Err::wrong_size());
        };
        let batch = self.window.batch;
        if D::cached(&cache.cross) == numbers.max_len {
            for padding in &mut self.window.padding {
                *padding = padding.saturating_sub(1);
            }
        }
        let len = (D::cached(&cache.cross) + 1).min(numbers.max_len);
        let padding = &self.window.padding;
        // False for the padding among the last `count` tokens.
        let is_text = |count: usize| {
            let item =
                |padding: &usize| (len - count..len).map(|place| place >= *padding).collect();
            let items: Vec<Vec<bool>> = padding.iter().map(item).collect();
            self.window.is_padded().then(|| items.concat())
        };
        let ids = self.seen.iter().map(|seen| seen.last().copied().unwrap_or(0)).collect();
        let places = padding.iter().map(|padding| len - 1 - padding).collect();
        let record = &mut Record::for_tape::<NoneTape>();
        let mut x = self.model.embed(record, &self.device, ids, places, (batch, 1))?;

        let [in_cross, in_latent] = numbers.rotated;
        let angles = |channels| (channels > 0).then(|| Angles::new(&self.next, 1, channels));
        let layers = self.model.layers.view();
        let allowed = is_text(len);
        let of_cross = angles(in_cross);
        x = layers.cross.try_step(x, &mut cache.cross, of_cross.as_ref(), allowed.as_deref())?;
        let of_latents = angles(in_latent);
        for (i, (block, cache)) in layers.latent.iter().zip(&mut cache.latent).enumerate() {
            let angles = of_latents.as_ref().filter(|_| i < numbers.rotary_layers);
            let count = (D::cached(cache) + 1).min(numbers.max_latents);
            let allowed = is_text(count);
            x = block.try_step(x, cache, angles, allowed.as_deref())?;
        }
        for position in &mut self.next {
            *position += 1;
        }
        match self.model.norm.view() {
            Some(norm) => norm.try_forward(record, x),
            None => Ok(x),
        }
    }
}
