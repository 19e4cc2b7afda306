use perceiver::prelude::*;

perceiver! {
    struct E {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
    }
}

fn main() {}
