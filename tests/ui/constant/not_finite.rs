use perceiver::prelude::*;

const ZERO: f64 = 0.0;
const BASE: Option<f64> = None;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 1.0 / ZERO,
        depth: 2,
        attn_dropout: ZERO / ZERO,
        freq_base: BASE,
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
}
