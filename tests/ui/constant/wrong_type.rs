use perceiver::prelude::*;

const LAYERS: &str = "six";

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: LAYERS,
        num_classes: 10,
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
}
