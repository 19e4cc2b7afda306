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
    let image: Tensor<Rank3<8, 8, 3>, f32, _> = dev.sample_normal();
    let _: Tensor<Rank2<1, 10>, f32, _> = model.forward(image);
}
