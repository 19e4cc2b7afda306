//! What is done with the result of a mistake is not another one.

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
    let mut model = dev.build_module::<Model, f32>();
    let image: Tensor<Rank4<1, 8, 8, 4>, f32, _> = dev.sample_normal();

    let logits = model.forward_mut(image.leaky_traced());
    let loss = cross_entropy_with_logits_loss(logits, dev.tensor([[0.0; 10]]));
    println!("{}", loss.array());
    let _ = loss.backward();

    let image: Tensor<Rank4<1, 8, 8, 3>, f64, _> = dev.sample_normal();
    let _: Tensor<Rank1<10>, f64, Cpu> = model.forward(image);
}
