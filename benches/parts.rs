//! The parts of a Perceiver, each by itself, for one 224 × 224 image: `cargo bench --bench parts`, or a few of them:
//! `cargo bench --bench parts -- readme/cross`.

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use perceiver::dfdx::data::OneHotEncode;
use perceiver::dfdx::nn::BuildModule;
use perceiver::dfdx::optim::{Adam, Optimizer};
use perceiver::nn::{Attention, FeedForward};
use perceiver::position::FourierFeatures;
use perceiver::prelude::*;

type Image = Tensor<Rank4<1, 224, 224, 3>, f32, Cpu>;

/// A model's declaration, and that of one of its layers: without a head, and with one cross attention and one self
/// attention, each with its feed-forward.
macro_rules! declare {
    ($Model:ident, $Layer:ident, depth: $depth:literal, $($keys:tt)*) => {
        perceiver! { struct $Model { depth: $depth, $($keys)* } }
        perceiver! { struct $Layer { depth: 1, final_classifier_head: false, $($keys)* } }
    };
}

declare!(ReadMe, ReadMeLayer, depth: 6, num_freq_bands: 6, max_freq: 10.0, num_latents: 256, latent_dim: 512);
declare!(Paper, PaperLayer, depth: 2, num_freq_bands: 64, max_freq: 224.0, num_latents: 512, latent_dim: 1024);

/// Measures every part with the widths of one model. A macro, since widths are types.
macro_rules! parts {
    (
        $group:expr, $Model:ident, $Layer:ident,
        latents: $latents:literal, dim: $dim:literal, bands: $bands:literal, channels: $channels:literal
    ) => {{
        let group: &mut BenchmarkGroup<WallTime> = $group;
        let dev = Cpu::seed_from_u64(0);
        let image: Image = dev.sample_normal();
        let latents: Tensor<Rank3<1, $latents, $dim>, f32, _> = dev.sample_normal();

        let features = FourierFeatures::<3, 2, $bands, $channels>::linear($Model::MAX_FREQ);
        let encode = || features.try_encode(image.clone()).unwrap();
        group.bench_function("encode", |b| b.iter(encode));

        let tokens = encode();
        let cross = Attention::<$dim, $channels, 1, 64, f32, Cpu>::build(&dev);
        group.bench_function("cross attention", |b| {
            b.iter(|| cross.forward((latents.clone(), tokens.clone())))
        });
        drop(tokens);

        let own = Attention::<$dim, $dim, 8, 64, f32, Cpu>::build(&dev);
        group.bench_function("self attention", |b| b.iter(|| own.forward(latents.clone())));

        let feed_forward = FeedForward::<$dim, f32, Cpu>::build(&dev);
        group.bench_function("feed-forward", |b| b.iter(|| feed_forward.forward(latents.clone())));

        let layer = dev.build_module::<$Layer, f32>();
        group.bench_function("layer", |b| b.iter(|| layer.forward(image.clone())));

        let mut model = dev.build_module::<$Model, f32>();
        group.bench_function("forward", |b| b.iter(|| model.forward(image.clone())));

        let target: Tensor<Rank2<1, 1000>, f32, _> = dev.one_hot_encode(Const::<1000>, [7]);
        let mut adam = Adam::new(&model, Default::default());
        let mut grads = Some(model.alloc_grads());
        group.bench_function("training step", |b| {
            b.iter(|| {
                let logits = model.forward_mut(image.clone().traced(grads.take().unwrap()));
                let loss = cross_entropy_with_logits_loss(logits, target.clone());
                let mut gradients = loss.backward();
                adam.update(&mut model, &gradients).unwrap();
                model.zero_grads(&mut gradients);
                grads = Some(gradients);
            })
        });
    }};
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for name in ["readme", "paper"] {
        let mut group = criterion.benchmark_group(name);
        // A pass of a model takes long enough for each sample to be one of them.
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_secs(1));
        match name {
            "readme" => {
                parts!(&mut group, ReadMe, ReadMeLayer, latents: 256, dim: 512, bands: 6, channels: 29)
            }
            _ => {
                parts!(&mut group, Paper, PaperLayer, latents: 512, dim: 1024, bands: 64, channels: 261)
            }
        }
        group.finish();
    }
    criterion.final_summary();
}
