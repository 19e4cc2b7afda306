//! Floating-point operations.

use super::plan::{Plan, Tokens};
use crate::model::{OutputKind, ProjectionKind};
use crate::nn::{block, linear, residual};
use crate::spec::Numbers;

/// The floating-point operations of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flops {
    pub input: u64,
    /// Those of each cross attention, and of each feed-forward layer after one.
    pub cross: [u64; 2],
    /// Those of each self attention, and of each feed-forward layer after one.
    pub latent: [u64; 2],
    /// Those of the mean over the depth, for each state that it is of.
    pub state: u64,
    /// Those of the output, and of its linear layer.
    pub output: [u64; 2],
    pub schedule: Schedule,
}

/// How often layers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    pub depth: usize,
    pub stored_layers: usize,
    pub cross_attends: usize,
    pub self_per_cross_attn: usize,
}

impl Flops {
    pub(super) const fn of_plan(
        plan: &Plan,
        batch: usize,
        tokens: &Tokens,
        queries: usize,
    ) -> Self {
        let (n, items) = (&plan.numbers, batch as u64);
        let latents = n.num_latents as u64;
        let contributed = if n.queries_contribute_kv { latents } else { 0 };
        let keys = contributed.saturating_add(tokens.count as u64);
        Self {
            input: tokens.flops,
            cross: times(block::flops(n.cross, latents, keys), items),
            latent: times(block::flops(n.latent, latents, latents), items),
            state: match n.attn_residual_rank {
                Some(rank) => residual::flops(latents.saturating_mul(items), n.latent_dim, rank),
                None => 0,
            },
            output: of_output(plan, batch, queries),
            schedule: Schedule::of(n),
        }
    }

    pub(super) const fn total(&self) -> u64 {
        let s = &self.schedule;
        let [cross, latent] = [self.cross, self.latent];
        let cross = cross[0].saturating_add(cross[1]).saturating_mul(s.cross_attends as u64);
        let blocks = s.depth.saturating_mul(s.self_per_cross_attn) as u64;
        let latent = latent[0].saturating_add(latent[1]).saturating_mul(blocks);
        // 2 states after the first layer, one more after each.
        let depth = s.depth as u64;
        let states = depth.saturating_mul(depth.saturating_add(3)) / 2;
        cross
            .saturating_add(latent)
            .saturating_add(self.state.saturating_mul(states))
            .saturating_add(self.input)
            .saturating_add(self.output[0])
            .saturating_add(self.output[1])
    }

    /// Those of a part of a summary.
    pub(super) fn of(&self, part: &str) -> u64 {
        let s = &self.schedule;
        match part.split('.').collect::<Vec<_>>()[..] {
            ["input"] => self.input,
            ["output"] => self.output[0],
            ["to_logits"] => self.output[1],
            ["attn_residuals", layer] => {
                s.runs(layer, s.depth).map(|layer| (layer as u64 + 2) * self.state).sum()
            }
            ["layers", layer, kind] => {
                let index = usize::from(kind == "cross_ff");
                s.runs(layer, s.cross_attends).count() as u64 * self.cross[index]
            }
            ["layers", layer, "self_attns", _, index] => {
                s.runs(layer, s.depth).count() as u64 * self.latent[usize::from(index == "1")]
            }
            _ => 0,
        }
    }
}

impl Schedule {
    const fn of(numbers: &Numbers) -> Self {
        Self {
            depth: numbers.depth,
            stored_layers: numbers.stored_layers,
            cross_attends: numbers.cross_attends,
            self_per_cross_attn: numbers.self_per_cross_attn,
        }
    }

    /// The layers among the first ones that have the weights of this layer.
    fn runs(&self, layer: &str, first: usize) -> std::ops::Range<usize> {
        let layer = layer.parse().unwrap_or(0);
        let last = if layer + 1 < self.stored_layers { layer + 1 } else { self.depth };
        layer..last.min(first).max(layer)
    }
}

pub(super) const fn times([attention, feed_forward]: [u64; 2], count: u64) -> [u64; 2] {
    [attention.saturating_mul(count), feed_forward.saturating_mul(count)]
}

const fn of_output(plan: &Plan, batch: usize, queries: usize) -> [u64; 2] {
    let (n, items) = (&plan.numbers, batch as u64);
    let rows = items.saturating_mul(queries as u64);
    let decoder = times(block::flops(n.decoder, queries as u64, n.num_latents as u64), items);
    let decoder = decoder[0].saturating_add(decoder[1]);
    match plan.output {
        OutputKind::Latents => [0, 0],
        OutputKind::MeanPool(classes) => [0, linear::flops(items, n.latent_dim, classes)],
        OutputKind::Queries { project, width, .. } => {
            let projected = linear::flops(rows, n.decoder.dim, width);
            match project {
                ProjectionKind::None => [decoder, 0],
                ProjectionKind::Linear => [decoder, projected],
                ProjectionKind::Embedding => [decoder.saturating_add(projected), 0],
            }
        }
        OutputKind::Modalities => {
            let (mut i, mut sum) = (0, decoder);
            while i < plan.outputs.len() {
                let output = &plan.outputs[i];
                if let Some(width) = output.project {
                    let rows = items.saturating_mul(output.count() as u64);
                    sum = sum.saturating_add(linear::flops(rows, plan.output_dim, width));
                }
                i += 1;
            }
            [sum, linear::flops(rows, n.decoder.dim, plan.output_dim)]
        }
    }
}
