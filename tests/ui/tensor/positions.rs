use perceiver::prelude::*;

perceiver! {
    struct Cloud {
        input: Grid { axes: 1, channels: 2, position: Given(3) }, depth: 1, num_latents: 4, latent_dim: 8, num_classes: 6,
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Cloud, f32>();
    let features: Tensor<Rank3<2, 7, 2>, f32, _> = dev.zeros();
    let flat: Tensor<Rank3<2, 7, 2>, f32, _> = dev.zeros();
    let logits = model.forward((features, flat));
}
