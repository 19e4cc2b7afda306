use perceiver::prelude::*;

perceiver! {
    struct Image { input: Grid { axes: 2, channels: 3 }, depth: 1, num_latents: 4, latent_dim: 8 }

    struct Fixed { input: Grid { shape: [8, 6, 3] }, depth: 1, num_latents: 4, latent_dim: 8 }

    struct Events { input: Tokens(4), depth: 1, num_latents: 4, latent_dim: 8 }
}

fn main() {
    let dev = Cpu::default();
    let image: Tensor<Rank4<1, 8, 8, 4>, f32, _> = dev.zeros();
    let _ = dev.build_module::<Image, f32>().forward(image.clone());
    let _ = dev.build_module::<Fixed, f32>().forward(image.clone());
    let _ = dev.build_module::<Events, f32>().forward(image);
}
