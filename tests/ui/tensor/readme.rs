//! The mistake in the README.
use perceiver::prelude::*;

perceiver! {
    struct ImageNet {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<ImageNet, f32>();
    let image: Tensor<Rank4<1, 24, 24, 4>, f32, _> = dev.sample_normal();
    let logits = model.forward(image);
}
