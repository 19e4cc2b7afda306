use perceiver::prelude::*;

const SIZE: usize = 32;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: SIZE,
        depth: 6,
    }
}

fn main() {}
