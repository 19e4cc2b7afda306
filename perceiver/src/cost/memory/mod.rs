//! The memory of a forward pass: its allocations, replayed with their sizes alone.
//!
//! What is replayed is what the `Cpu` allocates in `f32` without a tape, in the order of the code in `nn` and `model`, as far as it
//! grows with a dimension of the model. `tests/memory.rs` measures the same passes.

mod causal;
mod input;
mod layers;
mod output;

pub(super) use causal::of_causal;
use input::Inputs;

use super::plan::{Plan, Tokens};
use crate::ops::cpu::product;
use crate::ops::cpu::scratch::KEPT;
use crate::ops::embed;
use crate::spec::Heads;

/// The bytes that threads other than the calling one, of which there is one, allocate for the tiles they multiply.
const THREAD: u64 = 1 << 20;

/// The number of kept buffers that are told apart: the kernels use fewer at once.
const BUFFERS: usize = 24;

/// An upper bound of the bytes of a forward pass of a batch of inputs with these axes.
pub(super) const fn of_plan(
    plan: &Plan,
    batch: usize,
    axes: &[&[usize]],
    tokens: &Tokens,
    queries: usize,
) -> u64 {
    let mut replay = Replay::new();
    let inputs = Inputs { batch, axes, count: tokens.count };
    replay.model(plan, &inputs, queries);
    replay.peak
}

/// What has been allocated.
struct Replay {
    /// The bytes of tensors and of buffers.
    live: u64,
    peak: u64,
    /// The lengths of the buffers that the thread keeps, as `Scratch` does.
    buffers: [usize; BUFFERS],
    count: usize,
    kept: usize,
}

/// The product of three dimensions.
const fn size(a: usize, b: usize, c: usize) -> usize {
    a.saturating_mul(b).saturating_mul(c)
}

/// The share of each of `count` in `all`.
const fn each(all: usize, count: usize) -> usize {
    match all.checked_div(count) {
        Some(share) => share,
        None => 0,
    }
}

/// What is copied of a table whose rows are read in so many places.
const fn copied(count: usize, width: usize, rows: usize) -> usize {
    if embed::cpu::is_copied(count, rows) { size(rows, width, 1) } else { 0 }
}

impl Replay {
    const fn new() -> Self {
        Self { live: THREAD, peak: THREAD, buffers: [0; BUFFERS], count: 0, kept: 0 }
    }

    const fn bytes(&mut self, bytes: usize) {
        self.live = self.live.saturating_add(bytes as u64);
        if self.live > self.peak {
            self.peak = self.live;
        }
    }

    const fn free_bytes(&mut self, bytes: usize) {
        self.live = self.live.saturating_sub(bytes as u64);
    }

    /// Allocates a tensor of so many numbers.
    const fn tensor(&mut self, numbers: usize) {
        self.bytes(numbers.saturating_mul(4));
    }

    const fn drop_tensor(&mut self, numbers: usize) {
        self.free_bytes(numbers.saturating_mul(4));
    }

    /// Allocates a tensor for the time of an operation.
    const fn briefly(&mut self, numbers: usize) {
        self.tensor(numbers);
        self.drop_tensor(numbers);
    }

    /// Takes a buffer of at least so many numbers; returns its length.
    const fn take(&mut self, len: usize) -> usize {
        let (mut i, mut tightest) = (0, self.count);
        while i < self.count {
            let is_tighter = tightest == self.count || self.buffers[i] < self.buffers[tightest];
            if self.buffers[i] >= len && is_tighter {
                tightest = i;
            }
            i += 1;
        }
        if tightest == self.count {
            self.tensor(len);
            return len;
        }
        let found = self.buffers[tightest];
        self.count -= 1;
        self.buffers[tightest] = self.buffers[self.count];
        self.kept -= found;
        found
    }

    /// Keeps a buffer, or frees it.
    const fn give(&mut self, len: usize) {
        if len > 0 && self.count < BUFFERS && self.kept.saturating_add(len) <= KEPT {
            self.buffers[self.count] = len;
            self.count += 1;
            self.kept += len;
        } else {
            self.drop_tensor(len);
        }
    }

    /// The buffers of a product of rows with a matrix, apart from its factors.
    const fn product(&mut self, rows: usize, inputs: usize, outputs: usize) {
        let [panels, packed] = product::buffers(rows, inputs, outputs);
        let panels = self.take(panels);
        let packed = self.take(packed);
        self.give(packed);
        self.give(panels);
    }

    /// A linear map of rows.
    const fn linear(&mut self, rows: usize, inputs: usize, outputs: usize) {
        self.tensor(size(rows, outputs, 1));
        let x = self.take(size(rows, inputs, 1));
        let weight = self.take(size(inputs, outputs, 1));
        self.product(rows, inputs, outputs);
        self.give(weight);
        self.give(x);
    }

    /// A norm of rows, or another operation that reads one tensor and makes one of its size.
    const fn mapped(&mut self, numbers: usize) {
        self.tensor(numbers);
        let x = self.take(numbers);
        self.give(x);
    }

    /// The sums of rows of two tables with so many rows.
    const fn embed(&mut self, count: usize, width: usize, tables: [usize; 2]) {
        let first = self.take(copied(count, width, tables[0]));
        let second = self.take(copied(count, width, tables[1]));
        self.tensor(size(count, width, 1));
        self.give(second);
        self.give(first);
    }

    /// Attention from queries to keys and values, which stay.
    const fn attention(&mut self, batch: usize, queries: usize, tokens: usize, heads: Heads) {
        let out = size(batch, queries, heads.value_width());
        let sums = size(batch, queries, heads.count);
        self.tensor(out);
        self.tensor(sums);
        let query = self.take(size(batch, queries, heads.width()));
        let key_value = self.take(size(batch, tokens, heads.key_value_width()));
        // The results of the tiles.
        self.briefly(out.saturating_add(sums));
        self.give(key_value);
        self.give(query);
        self.drop_tensor(sums);
    }
}
