//! The cost of a Perceiver AR.

use super::flops::{Flops, Schedule, times};
use super::{Cost, memory};
use crate::nn::{block, linear};
use crate::spec::{CausalNumbers, CausalSpec};

impl Cost {
    /// Returns the cost of a forward pass of a Perceiver AR written by hand, for a batch of texts with this number of `tokens`
    /// each, the first `prefix_len` of which are not latents.
    #[must_use]
    pub const fn of_causal<S: CausalSpec>(batch: usize, tokens: usize, prefix_len: usize) -> Self {
        let n = CausalNumbers::of::<S>();
        let latents = tokens.saturating_sub(prefix_len);
        let (rows, items) = (latents as u64, batch as u64);
        let flops = Flops {
            // The embedding also projects to logits.
            input: linear::flops(rows.saturating_mul(items), n.dim, n.vocab),
            cross: times(block::flops(n.cross, rows, tokens as u64), items),
            latent: times(block::flops(n.latent, rows, rows), items),
            state: 0,
            output: [0, 0],
            schedule: Schedule {
                depth: 1,
                stored_layers: 1,
                cross_attends: 1,
                self_per_cross_attn: n.self_attentions,
            },
        };
        Self { flops, memory: memory::of_causal(&n, batch, tokens, latents) }
    }
}
