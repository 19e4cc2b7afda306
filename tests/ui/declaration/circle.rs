use perceiver::prelude::*;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_latents: Model::LATENT_DIM / 2,
        latent_dim: Self::NUM_LATENTS * 2,
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
    println!("{}", Model::PARAMETERS);
}
