//! A CPU model is given another device's tensor. The device here is any other; `Cuda` is one.
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

fn run<Gpu: Device<f32>>(model: &Model<f32, Cpu>, image: Tensor<Rank4<1, 8, 8, 3>, f32, Gpu>) {
    let _ = model.forward(image);
}

fn main() {}
