use perceiver::prelude::*;

perceiver! {
    struct Model {
        input: Grid { shape: [8, 8, 3], position: Fourier { bands: 6, max_freq: [10.0] } },
        depth: 6,
    }
}

fn main() {}
