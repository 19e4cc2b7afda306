use perceiver::prelude::*;

perceiver! {
    struct {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Perceiver, f32>();
}
