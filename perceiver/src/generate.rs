//! How a language model chooses tokens.

use rand::Rng;
use rand::distributions::{Distribution, WeightedIndex};

use crate::ForwardError;
pub use crate::model::causal::Generation;

/// How [`generate`](crate::model::PerceiverAr::generate) chooses tokens, and how many.
///
/// ```
/// use perceiver::generate::{Options, Sampling};
///
/// let options = Options {
///     max_new_tokens: 200,
///     num_latents: 16,
///     sampling: Sampling::Random { temperature: 0.8, top_k: Some(40), top_p: None },
///     ..Options::default()
/// };
/// # _ = options;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The largest number of tokens to add; 64 by default.
    pub max_new_tokens: usize,
    /// The number of latents to begin with, the last tokens of the prompt; 1 by default. With more, the first new tokens
    /// are predicted better, and fewer fit before the latents no longer become more.
    pub num_latents: usize,
    /// How the next token is chosen; greedily by default.
    pub sampling: Sampling,
    /// The logits of tokens that are in the text already are divided by this if they are positive, and multiplied if they
    /// are negative, as in CTRL (arXiv 1909.05858); 1, the default, changes nothing.
    pub repetition_penalty: f64,
    /// The tokens that end a text; none by default.
    pub stop: Vec<usize>,
    /// The seed of the random choices; 0 by default.
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

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Sampling {
    /// The most probable one.
    #[default]
    Greedy,
    /// At random, by their probabilities.
    Random {
        /// What the logits are divided by, above 0: with less than 1, probable tokens become more so.
        temperature: f64,
        /// Only so many of the most probable tokens can be chosen.
        top_k: Option<usize>,
        /// Only as many of the most probable tokens can be chosen as are needed for this sum of probabilities, above 0 and
        /// at most 1 (arXiv 1904.09751).
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
