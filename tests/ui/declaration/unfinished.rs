use perceiver::prelude::*;

perceiver! {
    struct Model {
        num_freq_bands: 6,
        max_freq:
        depth: 6 +
        num_latents: 8,
        latent_dim: config::
        num_classes: 10 // no comma
    }
}

fn main() {
    let _ = Cpu::default().build_module::<Model, f32>();
    println!("{}", Model::PARAMETERS);
}
