use perceiver::prelude::*;

perceiver! {
    struct Model { input: Tokens(4), depth: 1, num_latents: 4, latent_dim: 8, output: MeanPool(10) }
}

fn main() {
    let dev = Cpu::default();
    let mut model = dev.build_module::<Model, f32>();
    let events: Tensor<Rank3<1, 8, 4>, f32, _> = dev.zeros();
    let targets: Tensor<Rank2<1, 10>, f32, _> = dev.zeros();
    let loss = cross_entropy_with_logits_loss(model.forward_mut(events), targets);
    let gradients = loss.backward();
}
