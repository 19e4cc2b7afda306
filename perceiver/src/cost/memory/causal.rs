//! A Perceiver AR.

use super::{Replay, size};
use crate::spec::{BlockShape, CausalNumbers};

/// An upper bound of the bytes of a forward pass of a batch of so many tokens, the last of which are latents.
pub(in crate::cost) const fn of_causal(
    n: &CausalNumbers,
    batch: usize,
    tokens: usize,
    latents: usize,
) -> u64 {
    let mut replay = Replay::new();
    let prefix = tokens.saturating_sub(latents);
    // Ids, places and positions as numbers, of which some are copied, and the cosines and sines of positions, in f64 and in f32.
    replay.bytes(size(batch, tokens, 9 * 8));
    replay.bytes(size(tokens, n.rotated[0], 8 + 4));
    replay.bytes(size(latents, n.rotated[0].saturating_add(n.rotated[1]), 8 + 4));
    let tables = [n.vocab, if n.has_positions { n.max_len } else { 0 }];
    replay.embed(size(batch, latents, 1), n.dim, tables);
    replay.embed(size(batch, prefix, 1), n.dim, tables);
    replay.causal(batch, (latents, tokens), n.cross, n.rotated[0] > 0, prefix > 0);
    let mut block = 0;
    let latent = size(batch, latents, n.latent.heads.key_value_width());
    while block < n.self_attentions {
        // From the second on, they allocate the same, and their keys and values stay.
        if block == 2 && n.self_attentions > 3 {
            let skipped = n.self_attentions - 3;
            replay.tensor(latent.saturating_mul(skipped));
            block += skipped;
        }
        let is_rotated = n.rotated[1] > 0 && block < n.rotary_layers;
        replay.causal(batch, (latents, latents), n.latent, is_rotated, false);
        block += 1;
    }
    // Keys and values of all layers.
    replay.drop_tensor(size(batch, tokens, n.cross.heads.key_value_width()));
    replay.drop_tensor(latent.saturating_mul(n.self_attentions));
    replay.linear(size(batch, latents, 1), n.dim, n.vocab);
    replay.peak
}

impl Replay {
    /// A block in place of its rows, whose keys and values stay.
    const fn causal(
        &mut self,
        batch: usize,
        (rows, tokens): (usize, usize),
        shape: BlockShape,
        is_rotated: bool,
        has_prefix: bool,
    ) {
        let BlockShape { dim, heads, .. } = shape;
        let all = size(batch, rows, dim);
        let keys = size(batch, tokens, dim);
        self.mapped(all);
        if has_prefix {
            let prefix = keys.saturating_sub(all);
            self.mapped(prefix);
            // The prefix itself is dropped.
            self.drop_tensor(prefix);
            self.tensor(keys);
            self.drop_tensor(prefix);
        }
        let query = size(batch, rows, heads.width());
        let key_value = size(batch, tokens, heads.key_value_width());
        self.linear(size(batch, rows, 1), dim, heads.width());
        self.linear(size(batch, tokens, 1), dim, heads.key_value_width());
        self.drop_tensor(if has_prefix { keys.saturating_add(all) } else { all });
        if is_rotated {
            self.briefly(query);
            self.briefly(key_value);
        }
        self.attention(batch, rows, tokens, heads);
        self.drop_tensor(query);
        self.back(batch, rows, shape);
    }
}
