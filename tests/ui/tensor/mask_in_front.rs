use perceiver::prelude::*;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 2,
        num_latents: 8,
        latent_dim: 16,
        num_classes: 10,
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Model, f32>();
    let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = dev.sample_normal();
    let mask = dev.tensor([[[true; 8]; 8]]);
    let _ = model.forward((mask, image));
}
