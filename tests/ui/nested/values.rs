use perceiver::prelude::*;

perceiver! {
    struct Model {
        input: Grid { shape: [8, 0, 3], position: Fourier { bands: 0, max_freq: [10.0, -1.0] } },
        depth: 6,
        output: MeanPool("10"),
    }

    struct Unknown { input: Image { shape: [8, 8, 3] }, depth: 6, output: Logits(10) }

    struct Form { input: Tokens { dim: 8 }, depth: 6, output: MeanPool }
}

fn main() {}
