//! Blocks and layers.

use super::input::Inputs;
use super::{Plan, Replay, each, size};
use crate::ops::context::absorbs;
use crate::ops::feed_forward;
use crate::spec::{BlockShape, Heads, Mlp, Softmax};

/// How the tokens that rows attend to are stored.
#[derive(Clone, Copy)]
pub(super) enum Stored {
    /// Channels and features apart, of which nothing grows with a token's width.
    Separable,
    /// Normalised.
    Dense,
    /// The same, and the weights of attention are needed.
    Inverted,
    /// Not normalised; the rows are keys too.
    WithQueries,
}

impl Replay {
    /// A whole forward pass.
    pub(super) const fn model(&mut self, plan: &Plan, inputs: &Inputs<'_>, queries: usize) {
        let n = &plan.numbers;
        let batch = inputs.batch;
        self.prepare(plan, inputs);
        let rows = size(batch, n.num_latents, n.latent_dim);
        // Those before the first layer stay.
        self.tensor(rows.saturating_mul(2));
        let mut states = 1;
        let mut layer = 0;
        while layer < n.depth {
            // From the second on, layers of a kind allocate the same; but the last has most states.
            let differs = layer < 2
                || layer + 1 == n.depth
                || n.softmax_of(layer) as u8 != n.softmax_of(layer - 1) as u8;
            if !differs {
                if n.attn_residual_rank.is_some() {
                    self.tensor(rows);
                    states += 1;
                }
                layer += 1;
                continue;
            }
            if layer < n.cross_attends {
                self.cross(batch, n.num_latents, inputs.count, n.cross, stored(plan, layer));
            }
            let mut block = 0;
            while block < n.self_per_cross_attn && block < 2 {
                self.self_attention(batch, n.num_latents, n.latent);
                block += 1;
            }
            if let Some(rank) = n.attn_residual_rank {
                self.mean_over_depth(rows, n.latent_dim, states, rank);
                states += 1;
            }
            layer += 1;
        }
        // The states; the context stays.
        self.drop_tensor(rows.saturating_mul(states));
        self.output(plan, inputs, queries);
    }

    /// The result of a layer as a mean over so many states and itself.
    const fn mean_over_depth(&mut self, rows: usize, dim: usize, states: usize, rank: usize) {
        let all = rows.saturating_mul(states + 1);
        let count = each(all, dim);
        self.tensor(all);
        self.drop_tensor(rows.saturating_mul(states));
        // The norm of all of them, with its squares.
        self.tensor(all);
        self.briefly(all);
        self.linear(count, dim, rank);
        self.drop_tensor(all);
        self.linear(count, rank, dim);
        // The softmax and its product with the states.
        self.briefly(all.saturating_mul(2));
        self.drop_tensor(all);
    }

    /// A block that attends to `tokens` of each item, in place of its rows.
    pub(super) const fn cross(
        &mut self,
        batch: usize,
        rows: usize,
        tokens: usize,
        shape: BlockShape,
        stored: Stored,
    ) {
        let BlockShape { dim, context, heads, .. } = shape;
        let width = match context {
            Some(width) => width,
            None => dim,
        };
        let all = size(batch, rows, dim);
        self.mapped(all);
        match stored {
            Stored::WithQueries => {
                let keys = tokens.saturating_add(rows);
                self.mapped(size(batch, tokens, width));
                self.tensor(size(batch, keys, width));
                self.drop_tensor(size(batch, tokens, width));
                self.project(batch, (rows, dim), (keys, width), heads);
            }
            Stored::Separable | Stored::Dense | Stored::Inverted => {
                self.linear(size(batch, rows, 1), dim, heads.width());
                self.drop_tensor(all);
                self.attend_context(batch, rows, (tokens, width), heads, stored);
            }
        }
        self.back(batch, rows, shape);
    }

    /// A block of self attention, in place of its rows.
    pub(super) const fn self_attention(&mut self, batch: usize, rows: usize, shape: BlockShape) {
        let all = size(batch, rows, shape.dim);
        self.mapped(all);
        self.project(batch, (rows, shape.dim), (rows, shape.dim), shape.heads);
        self.back(batch, rows, shape);
    }

    /// Projects normalised rows and keys, which are dropped, and attends.
    const fn project(
        &mut self,
        batch: usize,
        (rows, dim): (usize, usize),
        (keys, width): (usize, usize),
        heads: Heads,
    ) {
        self.linear(size(batch, rows, 1), dim, heads.width());
        self.linear(size(batch, keys, 1), width, heads.key_value_width());
        self.drop_tensor(size(batch, keys, width));
        self.attention(batch, rows, keys, heads);
        self.drop_tensor(size(batch, rows, heads.width()));
        self.drop_tensor(size(batch, keys, heads.key_value_width()));
    }

    /// From queries, which are dropped, to the values of the heads.
    const fn attend_context(
        &mut self,
        batch: usize,
        rows: usize,
        (tokens, width): (usize, usize),
        heads: Heads,
        stored: Stored,
    ) {
        let weight = size(width, heads.key_value_width(), 1);
        let query = size(batch, rows, heads.width());
        let out = size(batch, rows, heads.value_width());
        // With the norm's weight in it.
        self.tensor(weight);
        let copy = self.take(weight);
        self.give(copy);
        let is_absorbed = match stored {
            Stored::Separable => true,
            Stored::Dense => absorbs(width, heads, rows),
            Stored::Inverted | Stored::WithQueries => false,
        };
        if is_absorbed {
            let wide = size(batch, rows, heads.count.saturating_mul(width));
            // The queries in the space of tokens.
            self.tensor(size(width, heads.width(), 1));
            self.tensor(wide);
            self.drop_tensor(query);
            self.drop_tensor(size(width, heads.width(), 1));
            self.briefly(wide);
            // What they attend to, and its values.
            self.tensor(wide);
            let copy = self.take(wide);
            if let Stored::Dense = stored {
                let tokens = self.take(size(batch, tokens, width));
                self.give(tokens);
            }
            self.give(copy);
            self.drop_tensor(wide);
            self.briefly(wide.saturating_add(size(width, heads.value_width(), 1)));
            self.tensor(out);
            self.drop_tensor(wide);
            self.briefly(out);
            self.drop_tensor(weight);
            return;
        }
        let key_value = size(batch, tokens, heads.key_value_width());
        self.linear(size(batch, tokens, 1), width, heads.key_value_width());
        self.drop_tensor(weight);
        match stored {
            Stored::Inverted => {
                let pairs = size(batch, heads.count, rows).saturating_mul(tokens);
                let value = size(batch, tokens, heads.value_width());
                // Keys and values apart.
                self.tensor(key_value);
                self.drop_tensor(key_value);
                self.tensor(pairs);
                self.drop_tensor(key_value.saturating_sub(value));
                self.briefly(pairs);
                self.tensor(out);
                self.drop_tensor(pairs.saturating_add(value));
                self.drop_tensor(query);
                return;
            }
            _ => self.attention(batch, rows, tokens, heads),
        }
        self.drop_tensor(query);
        self.drop_tensor(key_value);
    }

    /// From the values of the heads to the result of a block.
    pub(super) const fn back(&mut self, batch: usize, rows: usize, shape: BlockShape) {
        let count = size(batch, rows, 1);
        self.linear(count, shape.heads.value_width(), shape.dim);
        self.drop_tensor(size(count, shape.heads.value_width(), 1));
        let all = size(count, shape.dim, 1);
        self.drop_tensor(all);
        if let Some(mlp) = shape.mlp {
            self.mapped(all);
            self.feed_forward(count, shape.dim, shape.dim, mlp);
            self.drop_tensor(all.saturating_mul(2));
        }
    }

    /// A feed-forward layer.
    pub(super) const fn feed_forward(&mut self, rows: usize, dim: usize, outputs: usize, mlp: Mlp) {
        let hidden = dim.saturating_mul(mlp.mult);
        let expanded = hidden.saturating_mul(mlp.activation.inputs());
        let block = if rows < feed_forward::cpu::BLOCK { rows } else { feed_forward::cpu::BLOCK };
        self.tensor(size(rows, outputs, 1));
        let x = self.take(size(rows, dim, 1));
        let expand = self.take(size(expanded, dim, 1));
        let contract = self.take(size(hidden, outputs, 1));
        let before = self.take(size(block, expanded, 1));
        self.product(block, dim, expanded);
        let after = self.take(size(block, hidden, 1));
        self.product(block, hidden, outputs);
        self.give(after);
        self.give(before);
        self.give(contract);
        self.give(expand);
        self.give(x);
    }
}

const fn stored(plan: &Plan, layer: usize) -> Stored {
    match plan.numbers.softmax_of(layer) {
        _ if plan.numbers.queries_contribute_kv => Stored::WithQueries,
        Softmax::Queries => Stored::Inverted,
        Softmax::Tokens if plan.is_separable() => Stored::Separable,
        Softmax::Tokens => Stored::Dense,
    }
}
