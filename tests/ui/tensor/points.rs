use perceiver::prelude::*;

perceiver! {
    struct Depth {
        input: Tokens(8), depth: 1, num_latents: 4, latent_dim: 8,
        output: Queries {
            queries: Grid { shape: [8, 8], position: Fourier { bands: 4, max_freq: 8.0 } }, project: 1,
        },
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Depth, f32>();
    let tokens: Tensor<Rank3<2, 7, 8>, f32, _> = dev.zeros();
    let rows = model.forward_at(tokens, &[3, 9, 27]);
}
