//! The rest of the family on the CPU and on the GPU.

use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::generate::Options;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, CrossEntropy, StepError};

use crate::compare::assert_close;
use crate::gpu;

perceiver! {
    /// Given queries, and latents that are a mean over the depth.
    struct Io {
        input: Tokens(8), num_latents: 16, latent_dim: 32, cross_dim_head: 16, latent_dim_head: 8, depth: 2,
        attn_residual: true, output: Queries { queries: Given(24), project: 5 },
    }

    /// Text, with the queries and the projection of a masked language model.
    struct Masked {
        family: Transformers, input: Text { vocab: 40, max_len: 12, dim: 16 }, num_latents: 8, latent_dim: 32, depth: 1,
        output: Queries { queries: Learned([12, 16]), project: Embedding },
    }

    struct Resampler {
        input: Tokens(32), num_latents: 8, latent_dim: 32, cross_dim_head: 16, depth: 2, self_per_cross_attn: 0,
        queries_contribute_kv: true, final_norm: true, output: Latents,
    }

    /// Patches, whose tokens are the queries.
    struct Flow {
        family: Transformers,
        input: Grid {
            shape: [2, 6, 4, 5], stem: [Patches([2, 1, 1]), Linear(12)],
            position: Fourier { bands: 3, max_freq: [6.0, 4.0] },
        },
        num_latents: 8, latent_dim: 32, cross_heads: 1, depth: 1, output: Queries { queries: Input, project: 2 },
    }

    struct Learned {
        family: Transformers,
        input: Grid { shape: [5, 5, 3], stem: [Linear(8)], position: Learned { channels: 6, project: 4 } },
        num_latents: 8, latent_dim: 32, cross_heads: 1, depth: 1, attn_dropout: 0.0, output: ClassQuery(5),
    }

    /// A convolution, text and a point cloud; two outputs.
    struct Film {
        family: Transformers,
        input: Modalities {
            image: Grid { shape: [13, 11, 3], stem: [ConvPool(8)], position: Fourier { bands: 4, max_freq: 8.0 } },
            text: Text { vocab: 40, max_len: 12, dim: 16 },
            cloud: Grid { axes: 1, channels: 2, position: Given(3) },
            label: OneHot { classes: 6, mask: 1.0 },
        },
        num_latents: 8, latent_dim: 32, cross_heads: 1, depth: 1, attn_dropout: 0.0,
        output: Modalities {
            class: Queries { queries: Learned([1, 16]), project: 5 },
            picture: Queries {
                queries: Grid { shape: [6, 4], position: Fourier { bands: 4, max_freq: 6.0 } }, project: 3,
            },
        },
        output_dim: 16,
    }

    /// Learned and rotary positions, and tokens before the latents.
    struct Ar {
        family: PerceiverAr,
        input: Text { vocab: 40, max_len: 12, dim: 32, position: [Learned, Rotary(0.5)] },
        latents: Last(6), cross_heads: 2, latent_heads: 2, depth: 1, self_per_cross_attn: 2, prefix_dropout: 0.0,
        rotary_layers: All, final_norm: true, output: Embedding,
    }
}

fn numbers<S: Shape, D: Device<f32>, T>(tensor: &Tensor<S, f32, D, T>) -> Vec<f64> {
    tensor.as_vec().into_iter().map(f64::from).collect()
}

/// Compares the output of a model, without and with gradients, and the gradient of its latents. `on` moves the input to a
/// device.
macro_rules! agree {
    ($Model:ident, $seed:literal, |$dev:ident| $input:expr, |$traced:ident| $trace:expr) => {{
        let (cpu, gpu) = (Cpu::seed_from_u64($seed), gpu());
        let model = cpu.build_module::<$Model, f32>();
        macro_rules! on {
            ($model:expr, $device:expr) => {{
                let ($dev, model) = ($device, $model);
                let out = model.forward($input);
                let $traced = $input;
                let traced = model.forward($trace);
                let (whole, kept) = (numbers(&out), numbers(&traced));
                // Not the square, whose mean is always 1 after a norm.
                let gradients = traced.powi(3).mean().backward();
                [whole, kept, numbers(&gradients.get(&model.latents))]
            }};
        }
        let expected = on!(&model, &cpu);
        let found = on!(&model.to_device(&*gpu), &*gpu);
        for (what, (found, expected)) in
            ["output", "traced output", "gradient"].iter().zip(found.iter().zip(&expected))
        {
            assert_close(&format!("{} of {}", what, stringify!($Model)), found, expected, 1e-3);
        }
    }};
}

/// The same numbers on every device.
fn rows<D: Device<f32>, S: Shape>(dev: &D, shape: S) -> Tensor<S, f32, D> {
    let count = shape.num_elements();
    dev.tensor_from_vec((0..count).map(|i| (i as f32 * 0.7).sin()).collect(), shape)
}

fn ids<D: Device<f32>>(dev: &D) -> Tensor<Rank2<2, 12>, usize, D> {
    dev.tensor_from_vec((0..24).collect(), (Const, Const))
}

#[test]
fn queries_agree() {
    agree!(Io, 1, |dev| (rows(dev, (2, 9, Const::<8>)), rows(dev, (2, 7, Const::<24>))), |x| (
        x.0.leaky_trace(),
        x.1
    ));
    agree!(Masked, 2, |dev| ids(dev), |x| x.leaky_trace());
    agree!(Flow, 3, |dev| rows(dev, <Rank5<2, 2, 6, 4, 5>>::default()), |x| x.leaky_trace());
}

#[test]
fn resamplers_and_learned_positions_agree() {
    agree!(Resampler, 4, |dev| rows(dev, (2, 9, Const::<32>)), |x| x.leaky_trace());
    agree!(Learned, 5, |dev| rows(dev, <Rank4<2, 5, 5, 3>>::default()), |x| x.leaky_trace());
}

#[test]
fn several_inputs_and_outputs_agree() {
    fn outcome<D: Device<f32>>(dev: &D, model: &mut Film<f32, D>) -> Vec<Vec<f64>> {
        let input = film(dev);
        let out = model.forward(input.clone());
        let points = FilmPoints { picture: &[[5, 3], [0, 0]] };
        let some = model.forward_at(input.clone(), points);
        let map = model.attention(input.clone(), &[0]).remove(0);
        let FilmInput { image, text, cloud, label } = input;
        let traced = FilmInput { image: image.clone().leaky_trace(), text, cloud, label };
        let trained = model.forward_mut(traced);
        let mut all = vec![numbers(&out.class), numbers(&out.picture), numbers(&some.picture)];
        all.extend([numbers(&map), numbers(&trained.class), numbers(&trained.picture)]);
        let loss = trained.class.square().sum() + trained.picture.square().sum();
        let gradients = loss.backward();
        all.extend([numbers(&gradients.get(&model.latents)), numbers(&gradients.get(&image))]);
        // The batch norm has kept some of the statistics.
        all.push(numbers(&model.forward(film(dev)).class));
        all
    }
    fn film<D: Device<f32>>(
        dev: &D,
    ) -> FilmInput<
        Tensor<Rank4<2, 13, 11, 3>, f32, D>,
        Tensor<Rank2<2, 12>, usize, D>,
        (Tensor<(Const<2>, usize, Const<2>), f32, D>, Tensor<(Const<2>, usize, Const<3>), f32, D>),
        Tensor<Rank2<2, 6>, f32, D>,
    > {
        FilmInput {
            image: rows(dev, Default::default()),
            text: ids(dev),
            cloud: (rows(dev, (Const, 7, Const)), rows(dev, (Const, 7, Const))),
            label: rows(dev, Default::default()),
        }
    }
    let (cpu, gpu) = (Cpu::seed_from_u64(6), gpu());
    let mut on_cpu = cpu.build_module::<Film, f32>();
    let mut on_gpu = on_cpu.to_device(&*gpu);
    let (expected, found) = (outcome(&cpu, &mut on_cpu), outcome(&*gpu, &mut on_gpu));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_close(&format!("number {i} of Film"), found, expected, 1e-3);
    }
}

/// Forward passes with and without padding, a step, and steps of generation, in which the cache becomes full.
#[test]
fn causal_models_agree() {
    fn outcome<D: Device<f32> + TensorFromVec<bool>>(
        dev: &D,
        model: &mut Ar<f32, D>,
    ) -> Vec<Vec<f64>> {
        let mask = || {
            // The first text is 3 tokens shorter than the second.
            dev.tensor_from_vec((0..24).map(|i| i >= 3).collect(), (Const::<2>, Const::<12>))
        };
        let ids = ids(dev);
        let mut all = vec![numbers(&model.forward((ids.clone(), 6)))];
        all.push(numbers(&model.forward(((ids.clone(), mask()), 6))));
        let gradients = model.alloc_grads();
        let trained = model.forward_mut((ids.clone().traced(gradients), 6));
        all.push(numbers(&trained));
        let gradients = trained.powi(3).mean().backward();
        Sgd::new(&*model, SgdConfig::default()).update(model, &gradients).unwrap();
        all.push(numbers(&model.forward((ids.clone(), 6))));

        let options = Options { max_new_tokens: 9, num_latents: 2, ..Options::default() };
        let prompts = dev.tensor_from_vec((0..14).collect(), (2, 7));
        let mut generation = model.generation(&prompts, &options).unwrap();
        while let Some(tokens) = generation.next() {
            all.push(tokens.unwrap().iter().map(|token| token.unwrap() as f64).collect());
            all.push(generation.logits().concat().iter().map(|x| f64::from(*x)).collect());
        }
        all
    }
    let (cpu, gpu) = (Cpu::seed_from_u64(7), gpu());
    let mut on_cpu = cpu.build_module::<Ar, f32>();
    let mut on_gpu = on_cpu.to_device(&*gpu);
    let (expected, found) = (outcome(&cpu, &mut on_cpu), outcome(&*gpu, &mut on_gpu));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_close(&format!("number {i} of Ar"), found, expected, 1e-3);
    }
}

/// Steps of AdamW and LAMB and their averages, with losses that ignore some of the targets, and with dropout.
#[test]
fn training_agrees() {
    fn outcome<D: Device<f32>>(dev: &D, model: &mut Learned<f32, D>) -> Vec<Vec<f64>> {
        let mut all = Vec::new();
        for config in [AdamWConfig::default(), AdamWConfig::lamb()] {
            let config = AdamWConfig { max_norm: Some(0.1), max_value: Some(0.01), ..config };
            let mut optimizer = AdamW::new(&*model, config).unwrap().with_ema(0.6);
            let mut gradients = model.alloc_grads();
            for _ in 0..3 {
                let images = rows(dev, <Rank4<3, 5, 5, 3>>::default());
                let logits = model.forward_mut(images.traced(gradients));
                all.push(numbers(&logits));
                let loss = CrossEntropy { label_smoothing: 0.1, ignore: Some(9) };
                let targets = dev.tensor_from_vec(vec![4, 9, 0], (Const::<3>,));
                let loss = loss.loss(logits, &targets).unwrap();
                all.push(numbers(&loss));
                gradients = optimizer.step(model, loss.backward()).unwrap();
                all.push(vec![optimizer.gradient_norm()]);
            }
            assert!(numbers(&gradients.get(&model.latents)).iter().all(|x| *x == 0.0));
            let averaged = optimizer.averaged(model).unwrap();
            assert_ne!(numbers(&averaged.latents), numbers(&model.latents));
            all.push(numbers(&averaged.latents));
        }
        all
    }
    let (cpu, gpu) = (Cpu::seed_from_u64(8), gpu());
    let mut on_cpu = cpu.build_module::<Learned, f32>();
    let mut on_gpu = on_cpu.to_device(&*gpu);
    let (expected, found) = (outcome(&cpu, &mut on_cpu), outcome(&*gpu, &mut on_gpu));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_close(&format!("number {i} of the training"), found, expected, 1e-3);
    }
}

/// A parameter whose memory is smaller than it is.
#[test]
fn a_parameter_that_is_broadcast_is_no_step() {
    let gpu = gpu();
    let mut model = gpu.build_module::<Learned, f32>();
    model.latents = gpu.ones::<Rank1<32>>().broadcast();
    let mut optimizer = AdamW::new(&model, AdamWConfig::default()).unwrap().with_ema(0.6);
    let images = rows(&*gpu, <Rank4<3, 5, 5, 3>>::default());
    let gradients = model.forward_mut(images.leaky_trace()).square().mean().backward();
    assert!(matches!(optimizer.step(&mut model, gradients), Err(StepError::Device(_))));
    assert_eq!(numbers(&model.latents), [1.0; 8 * 32]);
}
