use perceiver::prelude::*;

perceiver! {
    struct Flag { input: Tokens(8), depth: 2, inverted_cross_attn: [true, 1] }

    struct Rank { input: Tokens(8), depth: 2, attn_residual: true, attn_residual_rank: 0 }
}

perceiver! {
    struct Layers { input: Tokens(8), depth: 3, inverted_cross_attn: [true, false] }
}

fn main() {}
