//! Settings for generating text with a language model (`family: PerceiverAr`).
//!
//! A declared model continues texts with [`generate`](crate::model::PerceiverAr::generate), or token by token with
//! [`generation`](crate::model::PerceiverAr::generation). Both take [`Options`]. The [guide](crate::guide#text) has an
//! example in context.

use rand::Rng;
use rand::distributions::{Distribution, WeightedIndex};

use crate::ForwardError;
pub use crate::model::causal::Generation;

/// Options of [`generate`](crate::model::PerceiverAr::generate): how many tokens to add, and how to choose them.
///
/// ```
/// use perceiver::generate::{Options, Sampling};
/// use perceiver::prelude::*;
///
/// perceiver! {
///     struct Writer {
///         family: PerceiverAr, input: Text { vocab: 256, max_len: 64, dim: 32, position: [Rotary(1.0)] }, latents: Last(16),
///         depth: 1, self_per_cross_attn: 1, cross_heads: 2, latent_heads: 2, prefix_dropout: 0.0, output: Embedding,
///     }
/// }
///
/// let dev = Cpu::default();
/// let model = dev.build_module::<Writer, f32>();
/// let options = Options {
///     max_new_tokens: 20,
///     num_latents: 4,
///     sampling: Sampling::Random { temperature: 0.8, top_k: Some(40), top_p: None },
///     stop: vec![usize::from(b'\n')],
///     ..Options::default()
/// };
///
/// let text = "Once upon a time";
/// // Of a longer text, only the last `MAX_LEN` ids can be the prompt.
/// let ids: Vec<usize> = text.bytes().map(usize::from).collect();
/// let ids = &ids[ids.len().saturating_sub(Writer::MAX_LEN)..];
/// let prompt = dev.tensor_from_vec(ids.to_vec(), (1, ids.len()));
/// assert!(model.generate(&prompt, &options)?[0].len() <= 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A prompt longer than the model's `MAX_LEN` is an error, [`ForwardError::TooLong`]: pass its last `MAX_LEN` ids. The text
/// as a whole can become longer than that: beyond `MAX_LEN`, generation leaves out the oldest tokens, as
/// [`generate`](crate::model::PerceiverAr::generate) describes.
///
/// Options that are out of range are errors when they are used: [`ForwardError::NumLatents`], [`ForwardError::Id`] for
/// `stop`, and [`ForwardError::Sampling`] for all others.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The largest number of tokens to add to each prompt; 64 by default. Fewer are added only if a token of
    /// [`stop`](Self::stop) is chosen.
    pub max_new_tokens: usize,
    /// The number of latents at the start, which are the last tokens of the prompt: from 1 to the model's `MAX_LATENTS`; 1
    /// by default. Each new token adds one, up to `MAX_LATENTS`. More latents use more of the model for the first new
    /// tokens, which are then predicted better, but take more time.
    pub num_latents: usize,
    /// How the next token is chosen from its logits; [`Sampling::Greedy`] by default.
    pub sampling: Sampling,
    /// Makes tokens that are already in the prompt or the new text less likely, as in
    /// [CTRL](https://arxiv.org/abs/1909.05858): their logits are divided by this number if positive, and multiplied by it
    /// if negative. It must be above 0; 1, the default, changes nothing.
    pub repetition_penalty: f64,
    /// The ids after which a text ends, which must be in the vocabulary; none by default. The id itself is part of the
    /// result.
    pub stop: Vec<usize>,
    /// The seed of the random choices; 0 by default. The same seed gives the same text.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_new_tokens: 64,
            num_latents: 1,
            sampling: Sampling::Greedy,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            seed: 0,
        }
    }
}

/// How the next token is chosen from its logits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Sampling {
    /// The most probable token is chosen.
    #[default]
    Greedy,
    /// A token is chosen at random, according to its probability.
    Random {
        /// The number that the logits are divided by, above 0. Below 1, probable tokens become more probable; 1 changes
        /// nothing.
        temperature: f64,
        /// If `Some(k)`, only the `k` most probable tokens can be chosen; `k` must be at least 1.
        top_k: Option<usize>,
        /// If `Some(p)`, only the most probable tokens whose probabilities together just reach `p` can be chosen, as in
        /// [nucleus sampling](https://arxiv.org/abs/1904.09751); `p` must be above 0 and at most 1. The probabilities are
        /// those after `temperature` and `top_k`.
        top_p: Option<f64>,
    },
}

/// Chooses tokens by checked options.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    penalty: f64,
    stop: Vec<usize>,
}

impl Sampler {
    pub fn new<Err: std::fmt::Debug + std::fmt::Display>(
        options: &Options,
        vocab: usize,
    ) -> Result<Self, ForwardError<Err>> {
        if let Some(&id) = options.stop.iter().find(|id| **id >= vocab) {
            return Err(ForwardError::Id { id, vocab });
        }
        let out_of_range =
            |name, value, expected| Err(ForwardError::Sampling { name, value, expected });
        if let Sampling::Random { temperature, top_k, top_p } = options.sampling {
            if !(temperature > 0.0 && temperature.is_finite()) {
                return out_of_range("temperature", temperature, "above 0");
            }
            if top_k == Some(0) {
                return out_of_range("top_k", 0.0, "at least 1");
            }
            if let Some(top_p) = top_p.filter(|top_p| !(*top_p > 0.0 && *top_p <= 1.0)) {
                return out_of_range("top_p", top_p, "above 0 and at most 1");
            }
        }
        let penalty = options.repetition_penalty;
        if !(penalty > 0.0 && penalty.is_finite()) {
            return out_of_range("repetition_penalty", penalty, "above 0");
        }
        Ok(Self { sampling: options.sampling, penalty, stop: options.stop.clone() })
    }

    pub fn stops_at(&self, token: usize) -> bool {
        self.stop.contains(&token)
    }

    /// Chooses the token after those in `seen`.
    pub fn sample(&self, logits: &[f64], seen: &[usize], rng: &mut impl Rng) -> usize {
        let mut logits = logits.to_vec();
        if self.penalty != 1.0 {
            let mut seen = seen.to_vec();
            seen.sort_unstable();
            seen.dedup();
            for token in seen {
                if let Some(logit) = logits.get_mut(token) {
                    *logit =
                        if *logit > 0.0 { *logit / self.penalty } else { *logit * self.penalty };
                }
            }
        }
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
        let first = order.first().copied().unwrap_or(0);
        let Sampling::Random { temperature, top_k, top_p } = self.sampling else {
            return first;
        };
        order.truncate(top_k.unwrap_or(usize::MAX));
        let highest = logits[first];
        let mut weights: Vec<f64> =
            order.iter().map(|token| ((logits[*token] - highest) / temperature).exp()).collect();
        if let Some(top_p) = top_p {
            let total: f64 = weights.iter().sum();
            let mut sum = 0.0;
            let needed = weights.iter().take_while(|weight| {
                let is_needed = sum < top_p * total;
                sum += **weight;
                is_needed
            });
            let needed = needed.count();
            weights.truncate(needed);
        }
        match WeightedIndex::new(&weights) {
            Ok(index) => order[index.sample(rng)],
            Err(_) => first,
        }
    }
}
