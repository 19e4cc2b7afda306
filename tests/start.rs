//! The numbers a model starts with.

use std::collections::BTreeMap;
use std::fs;

use ::safetensors::SafeTensors;
use ::safetensors::tensor::TensorView;
use perceiver::prelude::*;
use tempfile::NamedTempFile;

perceiver! {
    /// Wide enough that its numbers show how they are distributed. No two widths are the same.
    struct Wide {
        input_channels: 3,
        input_axis: 2,
        num_freq_bands: 16,
        max_freq: 64.0,
        depth: 2,
        num_latents: 112,
        latent_dim: 128,
        cross_heads: 2,
        latent_heads: 3,
        cross_dim_head: 40,
        latent_dim_head: 72,
        num_classes: 200,
        self_per_cross_attn: 2,
    }
}

/// Shape and numbers of each tensor of a checkpoint.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn saved(model: &Wide) -> Tensors {
    let file = NamedTempFile::new().unwrap();
    model.save_checkpoint(&file).unwrap();
    let bytes = fs::read(file.path()).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = tensors.iter().map(|(name, tensor)| {
        let (chunks, _) = tensor.data().as_chunks();
        let numbers = chunks.iter().map(|x| f32::from_le_bytes(*x)).collect();
        (name.to_string(), (tensor.shape().to_vec(), numbers))
    });
    tensors.collect()
}

/// Mean and variance.
fn moments(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares = numbers.iter().map(|x| (x - mean).powi(2));
    (mean, squares.sum::<f64>() / count)
}

/// How many standard deviations an estimate may be off.
const SIGMAS: f64 = 5.0;

/// Checks that numbers are of N(0, 1).
fn assert_normal(name: &str, numbers: &[f64]) {
    let count = numbers.len() as f64;
    let (mean, variance) = moments(numbers);
    assert!(mean.abs() < SIGMAS / count.sqrt(), "{name}: mean {mean}");
    assert!((variance - 1.0).abs() < SIGMAS * (2.0 / count).sqrt(), "{name}: variance {variance}");
    // As many within one and two standard deviations as there have to be.
    for (within, share) in [(1.0, 0.682_689), (2.0, 0.954_500)] {
        let found = numbers.iter().filter(|x| x.abs() < within).count() as f64 / count;
        let sigma = (share * (1.0 - share) / count).sqrt();
        assert!(
            (found - share).abs() < SIGMAS * sigma,
            "{name}: {found} of the numbers are within {within}"
        );
    }
}

/// Checks that numbers are uniform within ±`bound`.
fn assert_uniform(name: &str, numbers: &[f64], bound: f64) {
    let count = numbers.len() as f64;
    let largest = numbers.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
    // All of them are further from the bound with a probability of e^-12.
    assert!(
        (bound * (1.0 - 12.0 / count)..=bound * (1.0 + 1e-6)).contains(&largest),
        "{name}: the largest is {largest}, the bound {bound}"
    );
    let (mean, variance) = moments(numbers);
    let expected = bound * bound / 3.0;
    assert!(mean.abs() < SIGMAS * (expected / count).sqrt(), "{name}: mean {mean}");
    assert!(
        (variance / expected - 1.0).abs() < SIGMAS * (0.8 / count).sqrt(),
        "{name}: variance {variance} in place of {expected}"
    );
}

fn assert_start(tensors: &Tensors) {
    let mut parameters = 0;
    for (name, (shape, numbers)) in tensors {
        parameters += numbers.len();
        let numbers: Vec<f64> = numbers.iter().copied().map(f64::from).collect();
        assert!(numbers.iter().all(|x| x.is_finite()), "{name}");
        if name == "latents" {
            assert_normal(name, &numbers);
            continue;
        }
        let (layer, kind) = name.rsplit_once('.').unwrap();
        // The weight of a linear map is a matrix, of a norm a vector.
        match (&tensors[&format!("{layer}.weight")].0[..], kind) {
            (&[_, inputs], "weight" | "bias") => {
                assert_uniform(name, &numbers, 1.0 / (inputs as f64).sqrt());
            }
            (&[width], "weight") => assert_eq!(numbers, vec![1.0; width], "{name}"),
            (&[width], "bias") => assert_eq!(numbers, vec![0.0; width], "{name}"),
            _ => panic!("{name} {shape:?}"),
        }
    }
    assert_eq!(parameters, Wide::PARAMETERS);
    // No two tensors that are drawn start with the same numbers.
    let drawn = tensors.iter().filter(|(_, (_, x))| x[0] != x[1]);
    let mut firsts: Vec<_> =
        drawn.map(|(name, (_, x))| (x[0].to_bits(), x[1].to_bits(), name)).collect();
    firsts.sort_unstable();
    for pair in firsts.windows(2) {
        assert_ne!(
            (pair[0].0, pair[0].1),
            (pair[1].0, pair[1].1),
            "{} and {}",
            pair[0].2,
            pair[1].2
        );
    }
}

#[test]
fn a_model_starts_as_the_references() {
    let model = Cpu::seed_from_u64(5).build_module::<Wide, f32>();
    assert_start(&saved(&model));
}

#[test]
fn a_reset_starts_anew() {
    let dev = Cpu::seed_from_u64(6);
    let mut model = dev.build_module::<Wide, f32>();
    let before = saved(&model);
    // Nothing of what it has now may stay.
    let file = NamedTempFile::new().unwrap();
    let sevens: Vec<u8> =
        std::iter::repeat_n(7.0_f32.to_le_bytes(), Wide::PARAMETERS).flatten().collect();
    let views = before.iter().map(|(name, (shape, numbers))| {
        let data = &sevens[..4 * numbers.len()];
        let view = TensorView::new(::safetensors::Dtype::F32, shape.clone(), data);
        (name, view.unwrap())
    });
    ::safetensors::serialize_to_file(views, None, file.path()).unwrap();
    model.load_checkpoint(&file).unwrap();
    assert!(model.latents.as_vec().iter().all(|&x| x == 7.0));

    model.reset_params();
    let after = saved(&model);
    assert_start(&after);
    assert_ne!(after["latents"], before["latents"]);
}

/// Weights start from N(0, 0.02²) and biases from 0.
#[test]
fn a_model_of_transformers_starts_as_theirs() {
    let deviation = |numbers: &[f32]| {
        let squares = numbers.iter().map(|x| f64::from(x * x)).sum::<f64>();
        (squares / numbers.len() as f64).sqrt()
    };
    perceiver! {
        struct Model {
            family: Transformers, input: Tokens(64), num_latents: 64, latent_dim: 64, cross_heads: 1, depth: 2,
            self_per_cross_attn: 1, output: ClassQuery(64),
        }
    }
    let mut model = Cpu::seed_from_u64(3).build_module::<Model, f32>();
    for _ in 0..2 {
        let (layers, output) = (model.layers.view(), model.output.view());
        let cross = layers[0].cross.as_ref().unwrap();
        let feed_forward = cross.feed_forward.as_ref().unwrap();
        let output_linear = output.linear.as_ref().unwrap();
        let weights = [
            model.latents.as_vec(),
            cross.attention.to_kv.weight.as_vec(),
            layers[0].latent[0].feed_forward.as_ref().unwrap().expand.weight.as_vec(),
            output_linear.weight.as_vec(),
        ];
        for weights in weights {
            assert!((deviation(&weights) / 0.02 - 1.0).abs() < 0.1);
        }
        assert!(deviation(&output.query.unwrap().as_vec()) < 0.04);
        let biases = [cross.attention.to_kv.bias, feed_forward.contract.bias, output_linear.bias];
        for bias in biases {
            assert_eq!(deviation(&bias.unwrap().as_vec()), 0.0);
        }
        model.reset_params();
    }
}
