use perceiver::prelude::*;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: LAYERS,
        num_classes: labels::COUNT,
        input_shape: [8, 8, CHANNELS],
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
}
