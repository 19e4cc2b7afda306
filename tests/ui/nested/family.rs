use perceiver::prelude::*;

perceiver! {
    struct Family { family: HuggingFace, input: Tokens(8), depth: 1 }

    struct FeedForward { input: Tokens(8), depth: 1, feed_forward: Gelu { multi: 1 } }

    struct Activation { input: Tokens(8), depth: 1, feed_forward: Swish(4) }

    struct Shared { input: Tokens(8), depth: 2, share: All, weight_tie_layers: true }

    struct Width { input: Tokens(8), depth: 2, qk_channels: 16, cross_dim_head: 8 }

    struct Output { input: Tokens(8), depth: 1, output: ClassQuery }
}

fn main() {}
