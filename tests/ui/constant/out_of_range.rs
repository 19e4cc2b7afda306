use perceiver::prelude::*;

const LAYERS: usize = 0;
const DROPOUT: f64 = 1.5;
const BASE: f64 = 1.0;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: f64::INFINITY,
        depth: LAYERS,
        attn_dropout: DROPOUT,
        freq_base: BASE,
        input_shape: [8, 4 - 4, 3],
        num_classes: 10,
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
}
