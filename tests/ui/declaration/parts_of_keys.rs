use perceiver::prelude::*;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        dropout: 0.1,
        heads: 8,
        classes: 10,
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
}
