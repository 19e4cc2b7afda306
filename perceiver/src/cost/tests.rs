// Not every model needs all that is declared with it.
#![allow(dead_code)]

use dfdx::prelude::*;

use crate::ops::counted::count;
use crate::{perceiver, presets};

/// The operations that are counted while `run` runs.
fn counted<T>(run: impl FnOnce() -> T) -> u64 {
    let before = count();
    drop(run());
    count() - before
}

/// What differs are linear maps of a single row, such as that of a norm's bias, which have no place in a formula.
fn assert_near(found: u64, counted: u64) {
    let ratio = found as f64 / counted as f64;
    assert!((0.95..=1.05).contains(&ratio), "{found}, but {counted} were counted: {ratio}");
}

perceiver! {
    struct ImageNet {
        input_channels: 3, input_axis: 2, num_freq_bands: 6, max_freq: 10.0, depth: 6, num_latents: 256,
        latent_dim: 512, num_classes: 1000,
    }
    struct Tied {
        input_channels: 2, input_axis: 1, num_freq_bands: 3, max_freq: 8.0, depth: 4, num_latents: 5, latent_dim: 12,
        latent_heads: 3, latent_dim_head: 4, cross_heads: 2, cross_dim_head: 5, self_per_cross_attn: 2,
        weight_tie_layers: true, inverted_cross_attn: [true, false, false, true], attn_residual: true,
        attn_residual_rank: 4, num_classes: 3,
    }
    struct Stem {
        family: Transformers, cross_heads: 1,
        input: Grid {
            shape: [24, 20, 3], stem: [ConvPool(6), Linear(7)], position: Learned { channels: 5, project: 4 },
        },
        num_latents: 6, latent_dim: 16, depth: 2, self_per_cross_attn: 3, output: ClassQuery(4),
    }
    struct Io {
        input: Tokens(8), depth: 2, cross_attends: 1, num_latents: 7, latent_dim: 16,
        output: Queries { queries: Given(9), query_residual: false, feed_forward: None, project: 5 },
    }
    struct Dense {
        family: Transformers, cross_heads: 1,
        input: Grid { shape: [2, 6, 8, 3], stem: [Patches([2, 1, 1]), Linear(5)], position: Fourier { bands: 2, max_freq: 8.0 } },
        num_latents: 4, latent_dim: 16, depth: 1, output: Queries { queries: Input, project: 2 },
    }
    struct Letters {
        family: Transformers, cross_heads: 1,
        input: Text { vocab: 11, max_len: 9, dim: 6 }, num_latents: 4, latent_dim: 16, depth: 2,
        output: Queries { queries: Learned([9, 6]), heads: 2, project: Embedding },
    }
    struct Resampler {
        input: Tokens(12), queries_contribute_kv: true, depth: 2, self_per_cross_attn: 0, num_latents: 4, latent_dim: 12,
        cross_heads: 2, cross_dim_head: 8, feed_forward: Gelu { mult: 4, bias: false }, attn_bias: false,
        final_norm: true, output: Latents,
    }
    struct Pixels {
        family: Transformers, cross_heads: 1,
        input: Grid { axes: 2, channels: 3, stem: [ConvPool(4)], position: Fourier { bands: 2, max_freq: 8.0 } },
        num_latents: 4, latent_dim: 16, depth: 1, output: ClassQuery(2),
    }
    struct Large {
        input: Grid { shape: [16, 1024, 1024, 3], position: Fourier { bands: 8, max_freq: 64.0 } }, depth: 4096,
        self_per_cross_attn: 1024,
        output: Queries {
            queries: Grid { shape: [64, 1024, 1024], position: Fourier { bands: 8, max_freq: 64.0 } }, project: 3,
        },
    }
    struct Causal {
        family: PerceiverAr, input: Text { vocab: 11, max_len: 16, dim: 8, position: [Learned, Rotary(0.5)] },
        latents: Last(6), cross_heads: 2, latent_heads: 2, depth: 1, self_per_cross_attn: 3, output: Embedding,
    }
    struct Both {
        family: Transformers, cross_heads: 1,
        input: Modalities {
            batch: Grid { shape: [8, 1], stem: [Patches([2]), Linear(3)], position: Fourier { bands: 2, max_freq: 8.0 } },
            image: Grid { axes: 2, channels: 3, position: Fourier { bands: 1, max_freq: 8.0 } },
            class: OneHot { classes: 3, mask: 1.0 },
        },
        num_latents: 4, latent_dim: 16, depth: 1,
        output: Modalities {
            image: Queries { queries: Grid { shape: [3, 4], position: Fourier { bands: 2, max_freq: 8.0 } }, project: 3 },
            class: Queries { queries: Learned([1, 5]) },
        },
    }
}

/// Sizes beyond all bounds have a cost beyond all bounds, and nothing overflows.
#[test]
fn of_no_size_and_of_any_size() {
    const MAX: usize = usize::MAX;
    assert_eq!(ImageNet::flops(0, [0, 0]), 0);
    assert_eq!(ImageNet::flops(MAX, [MAX, MAX]), u64::MAX);
    assert_eq!(Pixels::flops(MAX, [MAX, MAX]), u64::MAX);
    assert_eq!(Causal::flops(MAX, [MAX], 0), u64::MAX);
    for cost in [
        ImageNet::cost(MAX, [MAX, MAX]),
        ImageNet::cost(0, [0, MAX]),
        Pixels::cost(MAX, [MAX, MAX]),
        Pixels::cost(1, [0, 0]),
        Tied::cost(MAX, [MAX]),
        Stem::cost(MAX),
        Io::cost(MAX, [MAX], MAX),
        Io::cost(0, [0], 0),
        Letters::cost(MAX, [MAX]),
        Resampler::cost(MAX, [MAX]),
        Causal::cost(MAX, [MAX], 3),
        Causal::cost(1, [3], MAX),
        Both::cost(MAX, [MAX, MAX]),
    ] {
        assert!(cost.forward_memory() > 0);
    }
}

/// What is computed when a program is built takes no longer for a large model.
#[test]
fn of_a_large_model_in_a_constant() {
    const _: () =
        assert!(Large::forward_memory(1) > Large::forward_memory(0) && Large::FLOPS > 1 << 50);
}

/// The README's model with an image of 224 × 224 pixels: half of what it is defined as is not computed on the `Cpu`.
#[test]
fn of_the_readme() {
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<ImageNet, f32>();
    let x: Tensor<Rank4<1, 224, 224, 3>, f32, _> = dev.sample_normal();
    assert_near(ImageNet::flops(1, [224, 224]), counted(|| model.forward(x)));
    const _: () = assert!(ImageNet::flops(2, [9, 8]) == 2 * ImageNet::flops(1, [8, 9]));
}

#[test]
fn of_each_kind() {
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<Tied, f32>();
    let x: Tensor<Rank3<2, 30, 2>, f32, _> = dev.sample_normal();
    assert_near(Tied::flops(2, [30]), counted(|| model.forward(x)));

    // With a tape, nothing is multiplied out before.
    let model = dev.build_module::<Stem, f32>();
    let x: Tensor<Rank4<2, 24, 20, 3>, f32, _> = dev.sample_normal();
    assert_near(Stem::flops(2), counted(|| model.forward(x.leaky_trace())));
    assert_eq!(Stem::FLOPS, Stem::flops(1));

    let model = dev.build_module::<Io, f32>();
    let x: Tensor<Rank3<2, 20, 8>, f32, _> = dev.sample_normal();
    let queries: Tensor<Rank3<2, 30, 9>, f32, _> = dev.sample_normal();
    assert_near(Io::flops(2, [20], 30), counted(|| model.forward((x.leaky_trace(), queries))));

    let model = dev.build_module::<Dense, f32>();
    let x: Tensor<Rank5<2, 2, 6, 8, 3>, f32, _> = dev.sample_normal();
    assert_near(Dense::flops(2), counted(|| model.forward(x.leaky_trace())));

    let model = dev.build_module::<Letters, f32>();
    let ids = dev.tensor([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]);
    assert_near(Letters::flops(2, [5]), counted(|| model.forward(ids.leaky_trace())));

    let model = dev.build_module::<Resampler, f32>();
    let x: Tensor<Rank3<2, 20, 12>, f32, _> = dev.sample_normal();
    assert_near(Resampler::flops(2, [20]), counted(|| model.forward(x)));
}

#[test]
fn of_a_perceiver_ar() {
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<Causal, f32>();
    let ids: Tensor<Rank2<2, 14>, usize, _> = dev.zeros();
    assert_near(Causal::flops(2, [14], 8), counted(|| model.forward(ids.clone())));
    assert_near(Causal::flops(2, [14], 9), counted(|| model.forward((ids, 9))));
}

#[test]
fn of_several_inputs_and_outputs() {
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<Both, f32>();
    let batch: Tensor<Rank3<2, 8, 1>, f32, _> = dev.sample_normal();
    let image: Tensor<Rank4<2, 5, 4, 3>, f32, _> = dev.sample_normal();
    let class: Tensor<Rank2<2, 3>, f32, _> = dev.sample_normal();
    let input = BothInput { batch: batch.leaky_trace(), image, class };
    assert_near(Both::flops(2, [5, 4]), counted(|| model.forward(input)));
}

/// Table 7 of Perceiver IO (arXiv 2107.14795): 407 and 369 billion for an image of 224 × 224 pixels.
#[test]
fn of_published_models() {
    let is_near = |flops: u64, billions: f64| (flops as f64 / (1e9 * billions) - 1.0).abs() < 0.005;
    assert!(is_near(presets::VisionFourier::FLOPS, 407.0), "{}", presets::VisionFourier::FLOPS);
    assert!(is_near(presets::VisionConv::FLOPS, 369.0), "{}", presets::VisionConv::FLOPS);
}

/// Each line of a summary has the operations of its part: together, all of them.
#[test]
fn of_the_parts() {
    fn assert_complete(summary: &crate::Summary) {
        let cost = summary.cost.expect("a cost");
        let sum: u64 = summary.parts.iter().map(|part| cost.flops_of(&part.name)).sum();
        assert_eq!(sum, cost.flops(), "{summary}");
    }
    let dev = Cpu::seed_from_u64(1);
    assert_complete(&dev.build_module::<Tied, f32>().summary().with_cost(Tied::cost(2, [30])));
    assert_complete(&dev.build_module::<Stem, f32>().summary());
    assert_complete(&dev.build_module::<Dense, f32>().summary());
    assert_complete(&dev.build_module::<Letters, f32>().summary().with_cost(Letters::cost(2, [5])));
    let causal = dev.build_module::<Causal, f32>();
    assert_complete(&causal.summary().with_cost(Causal::cost(1, [14], 8)));
    let both = dev.build_module::<Both, f32>();
    assert_complete(&both.summary().with_cost(Both::cost(1, [5, 4])));
}
