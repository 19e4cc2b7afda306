//! Training with dfdx's optimizers, and dropout in it.

use perceiver::dfdx::optim::{Adam, Optimizer, RMSprop, Sgd};
use perceiver::prelude::*;

use crate::{Sequence, Small, small};

#[test]
fn forward_is_deterministic_and_forward_mut_drops_only_while_training() {
    let (dev, mut model) = small();
    let x: Sequence<9> = dev.sample_normal();
    let plain = model.forward(x.clone()).array();
    assert_eq!(model.forward(x.clone()).array(), plain);
    assert_eq!(model.forward(x.leaky_trace()).array(), plain);
    assert_eq!(model.forward_mut(x.clone()).array(), plain);
    let first = model.forward_mut(x.leaky_trace()).array();
    let second = model.forward_mut(x.leaky_trace()).array();
    assert_ne!(first, plain);
    assert_ne!(first, second);
}

/// Each kind of dropout acts by itself.
#[test]
fn each_dropout_acts() {
    perceiver! {
        struct Attention {
            input_axis: 1, input_channels: 2, num_freq_bands: 2, max_freq: 4, depth: 1, num_latents: 3,
            latent_dim: 4, attn_dropout: 0.5,
        }
    }
    perceiver! {
        struct FeedForward {
            input_axis: 1, input_channels: 2, num_freq_bands: 2, max_freq: 4, depth: 1, num_latents: 3,
            latent_dim: 4, ff_dropout: 0.5,
        }
    }
    let dev = Cpu::default();
    let x: Sequence<9> = dev.sample_normal();
    let mut attention = dev.build_module::<Attention, f32>();
    let plain = attention.forward(x.clone()).as_vec();
    assert_ne!(attention.forward_mut(x.leaky_trace()).as_vec(), plain);
    let mut feed_forward = dev.build_module::<FeedForward, f32>();
    let plain = feed_forward.forward(x.clone()).as_vec();
    assert_ne!(feed_forward.forward_mut(x.leaky_trace()).as_vec(), plain);
}

#[test]
fn every_parameter_learns_with_every_optimizer() {
    fn learns(mut optimizer: impl Optimizer<Small, Cpu, f32>, mut model: Small, dev: &Cpu) {
        let x: Sequence<7> = dev.sample_normal();
        let target = dev.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]; 4]);
        let loss = |model: &Small| {
            let logits = model.forward(x.clone());
            cross_entropy_with_logits_loss(logits, target.clone()).array()
        };
        let before = loss(&model);
        // Without gradients allocated beforehand, this is an error if a parameter gets none.
        let leaky = model.forward(x.leaky_trace()).square().mean::<Rank0, _>().backward();
        Sgd::new(&model, Default::default()).update(&mut model.clone(), &leaky).unwrap();
        let mut grads = model.alloc_grads();
        for _ in 0..20 {
            let logits = model.forward_mut(x.trace(grads));
            grads = cross_entropy_with_logits_loss(logits, target.clone()).backward();
            optimizer.update(&mut model, &grads).unwrap();
            model.zero_grads(&mut grads);
        }
        let after = loss(&model);
        assert!(after < before, "{after} is not below {before}");
    }
    let (dev, model) = small();
    learns(Sgd::new(&model, Default::default()), model.clone(), &dev);
    learns(Adam::new(&model, Default::default()), model.clone(), &dev);
    learns(RMSprop::new(&model, Default::default()), model.clone(), &dev);
}
