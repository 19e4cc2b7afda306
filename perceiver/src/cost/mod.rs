//! What a model costs: parameters, floating-point operations and memory, as constants.
//!
//! All of it follows from the numbers of a spec and the sizes of an input. The functions here are compiled once, and not for
//! each model.

mod causal;
mod flops;
mod memory;
pub(crate) mod parameters;
mod plan;
#[cfg(test)]
mod tests;

use flops::Flops;
pub(crate) use plan::Plan;

use crate::spec::Spec;

/// What a forward pass costs: [`flops`](Self::flops) and [`forward_memory`](Self::forward_memory). A declared model makes it for
/// a batch, the sizes of the axes of an input that are not declared, and what else comes with one.
///
/// ```
/// use perceiver::Cost;
/// use perceiver::prelude::*;
///
/// perceiver! {
///     pub struct ImageNet {
///         input_channels: 3, input_axis: 2, num_freq_bands: 6, max_freq: 10.0, depth: 6, num_latents: 256, latent_dim: 512,
///     }
/// }
///
/// const COST: Cost = ImageNet::cost(1, [224, 224]);
/// const { assert!(COST.flops() == ImageNet::flops(1, [224, 224])) };
///
/// let model = Cpu::default().build_module::<ImageNet, f32>();
/// println!("{}", model.summary().with_cost(COST));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    flops: Flops,
    memory: u64,
}

impl Cost {
    /// The cost of a forward pass of a model written by hand, of a batch of inputs with these sizes of their axes: one list, or of a
    /// model with several inputs one for each. Where the spec says the sizes, a list is ignored. `queries` is the number of those
    /// that come with an input.
    #[must_use]
    pub const fn of<S: Spec>(batch: usize, axes: &[&[usize]], queries: usize) -> Self {
        Plan::of::<S>().cost(batch, axes, queries)
    }

    /// The floating-point operations of the forward pass: two for each multiplication and addition of matrix products, of
    /// attention scores and of the weighted sums of values.
    ///
    /// They are those of the model as its paper defines it, which is what papers give: masked positions count, and so do keys
    /// and values that this library does not compute, where it multiplies in a cheaper order. Norms, activations, softmax,
    /// sums and position encodings do not.
    #[must_use]
    pub const fn flops(&self) -> u64 {
        self.flops.total()
    }

    /// An upper bound of the bytes that the forward pass has allocated at a time, beside the model and its input: of a model
    /// that is not [prepared](crate::model::Perceiver::prepare_for_inference), without a tape and without a mask, on the `Cpu`
    /// in `f32`, with two threads. Its result and the buffers that [stay](crate::ops::free_memory) for the next pass are included.
    ///
    /// In the models and sizes of `tests/memory.rs`, it exceeds what is measured by at most a fifth; on a machine with other vector
    /// instructions that may differ. Each further thread adds about 1 MB. From their first use on, dfdx's matrix products keep one
    /// more buffer for each thread, of the size of an L2 cache, which is not included.
    #[must_use]
    pub const fn forward_memory(&self) -> u64 {
        self.memory
    }

    /// The floating-point operations of a part of a [`Summary`](crate::Summary).
    pub(crate) fn flops_of(&self, part: &str) -> u64 {
        self.flops.of(part)
    }
}

impl Plan {
    const fn cost(&self, batch: usize, axes: &[&[usize]], queries: usize) -> Cost {
        let tokens = self.tokens(batch, axes);
        let queries = self.queries(&tokens, queries);
        Cost {
            flops: Flops::of_plan(self, batch, &tokens, queries),
            memory: memory::of_plan(self, batch, axes, &tokens, queries),
        }
    }

    /// The cost for one input, if the spec says all sizes.
    pub(crate) const fn fixed_cost(&self) -> Option<Cost> {
        const NONE: [&[usize]; MAX_INPUTS] = [&[]; MAX_INPUTS];
        if !self.is_fixed() || self.modalities.len() > MAX_INPUTS {
            return None;
        }
        let count = if self.modalities.is_empty() { 1 } else { self.modalities.len() };
        Some(self.cost(1, NONE.split_at(count).0, 0))
    }
}

/// The number of inputs up to which a summary shows their cost by itself.
const MAX_INPUTS: usize = 64;
