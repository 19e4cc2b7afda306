use perceiver::prelude::*;

perceiver! {
    struct Film {
        input: Modalities {
            sound: Grid { axes: 1, channels: 2, position: Fourier { bands: 4, max_freq: 100.0 } },
            image: Grid { shape: [8, 8, 3] },
        },
        depth: 1, num_latents: 4, latent_dim: 8,
        output: Modalities {
            sound: Queries { queries: Learned([16, 8]), project: 2 },
            image: Queries {
                queries: Grid { shape: [8, 8], position: Fourier { bands: 4, max_freq: 8.0 } }, project: 3,
            },
        },
    }
}

fn main() {
    let dev = Cpu::default();
    let model = dev.build_module::<Film, f32>();
    let sound: Tensor<(Const<2>, usize, Const<2>), f32, _> = dev.zeros_like(&(Const, 100, Const));
    let image: Tensor<Rank4<2, 8, 8, 3>, f32, _> = dev.zeros();
    let out = model.forward(FilmInput { sound, image });
    let sound: Tensor<Rank3<2, 16, 3>, f32, _> = out.sound;
    let image: Tensor<Rank4<2, 8, 8, 3>, f32, _> = out.image;
    _ = (sound, image);
}
