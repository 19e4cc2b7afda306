use perceiver::prelude::*;

const CLASSES: usize = 0;
const MASK: f64 = 2.0;

perceiver! {
    struct Empty { input: Modalities {}, depth: 1 }

    struct Nested { input: Modalities { left: Tokens(8), right: Modalities { a: Tokens(8) } }, depth: 1 }

    struct Twice { input: Modalities { sound: Tokens(8), sound: Tokens(8) }, depth: 1 }

    struct Heads {
        input: Tokens(8), depth: 1,
        output: Modalities { class: Queries { queries: Learned([1, 8]), heads: 2, project: 10 } },
    }

    struct One { input: Tokens(8), input_padding: 2, depth: 1, output: Modalities { class: MeanPool(10) } }

    struct Alone { input: OneHot { classes: 10, mask: 1.0 }, depth: 1 }

    struct Flow {
        input: Tokens(8), depth: 1,
        output: Queries {
            queries: Grid { shape: [8, 8], position: Fourier { bands: 4, max_freq: [8.0] } }, project: 2,
        },
    }
}

perceiver! {
    struct Zero {
        input: Modalities { label: OneHot { classes: CLASSES }, sound: Tokens(8) }, depth: 1, output: Latents,
    }

    struct Rate {
        input: Modalities { label: OneHot { classes: 10, mask: MASK }, sound: Tokens(8) }, depth: 1, output: Latents,
    }
}

fn main() {}
