use perceiver::prelude::*;

perceiver! {
    struct Model {
        input: Grid { axes: 2, channels: 3 },
        input_axis: 2,
        num_freq_bands: 6,
        depth: 6,
        output: Latents,
        num_classes: 10,
    }
}

fn main() {}
