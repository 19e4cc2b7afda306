//! What a declared model is and does, beyond its numbers.

mod constants;
mod dfdx_module;
mod input;
mod summary;
mod training;

use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::prelude::*;

mod labels {
    pub const COUNT: usize = 5;
    pub const FREQUENCIES: [f64; 2] = [8.0, 16.0];
}

perceiver! {
    /// A model with a bit of everything, small enough to train in a test.
    pub(crate) struct Small {
        input_axis: 1,
        input_channels: { 1 + 1 },
        num_freq_bands: 3,
        max_freq: labels::FREQUENCIES[0],
        depth: 2,
        num_latents: 6,
        latent_dim: 12,
        cross_heads: 2,
        latent_heads: 3,
        cross_dim_head: 5,
        latent_dim_head: 4,
        num_classes: labels::COUNT,
        attn_dropout: 0.3,
        ff_dropout: 0.2,
        self_per_cross_attn: 2,
    }
}

type Sequence<const TOKENS: usize> = Tensor<Rank3<4, TOKENS, 2>, f32, Cpu>;

fn small() -> (Cpu, Small) {
    let dev = Cpu::seed_from_u64(7);
    let model = dev.build_module::<Small, f32>();
    (dev, model)
}

perceiver! {
    struct Headless {
        input_shape: [4, 6, 1],
        num_freq_bands: 2,
        max_freq: 6,
        depth: 3,
        num_latents: 5,
        latent_dim: 8,
        latent_heads: 2,
        latent_dim_head: 4,
        cross_dim_head: 8,
        weight_tie_layers: true,
        final_classifier_head: false,
        freq_base: (2),
    }
}

#[test]
fn ema_reset_and_conversions() {
    let (dev, model) = small();
    let x: Sequence<5> = dev.sample_normal();
    let mut average = dev.build_module::<Small, f32>();
    let other = average.latents.clone();
    average.ema(&model, 0.25);
    let expected = other * 0.25 + model.latents.clone() * 0.75;
    for (found, expected) in average.latents.as_vec().iter().zip(expected.as_vec()) {
        assert!((found - expected).abs() < 1e-6);
    }

    let wide: Small<f64, Cpu> = model.to_dtype::<f64>();
    let logits = wide.forward(x.clone().to_dtype::<f64>()).as_vec();
    for (a, b) in model.forward(x.clone()).as_vec().iter().zip(logits) {
        assert!((f64::from(*a) - b).abs() < 1e-4);
    }

    let moved = model.to_device(&Cpu::default());
    assert_eq!(moved.forward(x.clone()).array(), model.forward(x.clone()).array());

    let mut reset = model.clone();
    reset.reset_params();
    assert_ne!(reset.latents.array(), model.latents.array());
    assert_eq!(reset.output.view().norm.bias.as_vec(), [0.0; 12]);
}

#[test]
fn a_prepared_model_gives_the_same_and_can_still_change() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, mut model) = small();
    let x: Sequence<5> = dev.sample_normal();
    let expected = model.forward(x.clone()).array();
    let file = folder.path().join("model.safetensors");
    model.save_checkpoint(&file).unwrap();
    let mut untouched = model.clone();

    model.prepare_for_inference();
    assert_eq!(model.forward(x.clone()).array(), expected);
    assert_eq!(model.embed(x.clone()).array(), untouched.embed(x.clone()).array());
    assert_eq!(model.clone().forward(x.clone()).array(), expected);

    let saved = folder.path().join("prepared.safetensors");
    model.save_checkpoint(&saved).unwrap();
    assert_eq!(std::fs::read(saved).unwrap(), std::fs::read(&file).unwrap());
    assert_eq!(model.to_dtype::<f64>().num_trainable_params(), Small::<f32, Cpu>::PARAMETERS);

    // A training step changes both in the same way.
    model.prepare_for_inference();
    let config = SgdConfig::default();
    for model in [&mut model, &mut untouched] {
        let mut sgd = Sgd::new(model, config);
        let logits = model.forward(x.clone().traced(model.alloc_grads()));
        sgd.update(model, &logits.square().mean().backward()).unwrap();
    }
    let trained = untouched.forward(x.clone()).array();
    assert_ne!(trained, expected);
    assert_eq!(model.forward(x.clone()).array(), trained);
    model.prepare_for_inference();
    assert_eq!(model.forward(x.clone()).array(), trained);

    model.load_checkpoint(&file).unwrap();
    assert_eq!(model.forward(x).array(), expected);
}

#[test]
fn without_a_head_forward_gives_the_latents() {
    let dev = Cpu::default();
    let model = dev.build_module::<Headless, f64>();
    let x: Tensor<Rank4<2, 4, 6, 1>, f64, _> = dev.sample_normal();
    let latents: Tensor<Rank3<2, 5, 8>, f64, _> = model.forward(x.clone());
    assert_eq!(latents.array(), model.embed(x).array());
    assert_eq!(model.num_trainable_params(), Headless::PARAMETERS);
    assert_eq!(Headless::INPUT_SHAPE, Some([4, 6, 1]));
    assert_eq!(Headless::INPUT_AXIS, 2);
    assert_eq!(Headless::INPUT_CHANNELS, 1);
    assert_eq!(Headless::FREQ_BASE, Some(2.0));
}
