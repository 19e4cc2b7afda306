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

/// What a forward pass costs: floating-point operations and memory, known at compile time.
///
/// A declared model's `cost` returns it, for the size of a batch and whatever the declaration leaves open: the sizes of an
/// input's axes, and the number of queries that come with one. [`Summary::with_cost`](crate::Summary::with_cost) shows it part by
/// part.
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
    /// Returns the cost of a forward pass of a model written by hand.
    ///
    /// `axes` has the sizes of the axes of each input: one list, except for a model with several inputs. A list is ignored if
    /// the spec fixes the sizes. `queries` is the number of queries that come with each input, which other models ignore.
    #[must_use]
    pub const fn of<S: Spec>(batch: usize, axes: &[&[usize]], queries: usize) -> Self {
        Plan::of::<S>().cost(batch, axes, queries)
    }

    /// Returns the floating-point operations of the forward pass: two for each multiplication and addition in matrix products,
    /// attention scores and weighted sums of values.
    ///
    /// As in papers, these are the operations of the model as it is defined: masked positions count, and so do keys and values
    /// that this library avoids computing by multiplying in a cheaper order. Norms, activations, softmax, sums and position
    /// encodings do not count. The sum saturates at `u64::MAX`.
    #[must_use]
    pub const fn flops(&self) -> u64 {
        self.flops.total()
    }

    /// Returns an upper bound of the bytes that the forward pass has allocated at any time, in addition to the model and its
    /// input.
    ///
    /// It holds on the `Cpu` in `f32` with two threads, without a tape and without a mask, for a model that is not
    /// [prepared for inference](crate::model::Perceiver::prepare_for_inference). The result is included, and so are the buffers
    /// that are [kept](crate::ops::free_memory) for the next pass.
    ///
    /// For the models and sizes of `tests/memory.rs`, it exceeds the measured bytes by at most a fifth; on a machine with other
    /// vector instructions that may differ. Each further thread adds about 1 MB. Not included is a buffer of the size of an L2
    /// cache, which dfdx's matrix products keep for each thread from their first use on.
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
