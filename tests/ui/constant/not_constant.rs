use perceiver::prelude::*;

fn layers() -> usize {
    6
}

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: layers(),
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
}
