use perceiver::prelude::*;

const ROWS: usize = 0;

perceiver! {
    struct NoQueries { input: Tokens(8), depth: 1, output: Queries { project: 10 } }

    struct Width { input: Tokens(8), depth: 1, output: Queries { queries: Learned(16), project: 10 } }

    struct Both { input: Tokens(8), depth: 1, output: Queries { queries: Given(8), dim_head: 8, qk_channels: 8 } }

    struct OfGrid { input: Grid { axes: 2, channels: 3 }, depth: 1, output: Queries { queries: Input, project: 10 } }

    struct NoEmbedding { input: Tokens(8), depth: 1, output: Queries { queries: Input, project: Embedding } }

    struct Ff { input: Tokens(8), depth: 1, output: Queries { queries: Input, feed_forward: Nothing } }
}

perceiver! {
    struct Zero { input: Tokens(8), depth: 1, output: Queries { queries: Learned([ROWS, 8]) } }

    struct Heads {
        family: Transformers, input: Tokens(8), depth: 1, cross_heads: 8,
        output: Queries { queries: Given(16), heads: 3, qk_channels: 64 },
    }

    struct Embedding {
        family: Transformers, input: Text { vocab: 30, max_len: 11, dim: 16 }, depth: 1,
        output: Queries { queries: Learned([11, 12]), project: Embedding },
    }
}

fn main() {}
