//! A model declared where `perceiver` has another name.

latents::perceiver! {
    /// Small.
    pub struct Renamed {
        depth: 1,
        num_freq_bands: 2,
        max_freq: 4.0,
        num_latents: 2,
        latent_dim: 4,
    }
}

#[test]
fn is_built() {
    use latents::prelude::*;
    let model = Cpu::default().build_module::<Renamed, f32>();
    assert_eq!(model.num_trainable_params(), Renamed::PARAMETERS);
}
