//! Models whose weights are stored in fewer bits.

use perceiver::WeightPrecision::{self, Bf16, F32, Int8, Int8Dynamic};
use perceiver::checkpoint::CheckpointError;
use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::generate::Options;
use perceiver::prelude::*;

perceiver! {
    /// With layers of every kind.
    struct Model {
        input_shape: [6, 6, 2], num_freq_bands: 3, max_freq: 6.0, depth: 2, num_latents: 14, latent_dim: 40, cross_heads: 2,
        cross_dim_head: 8, latent_heads: 3, latent_dim_head: 12, num_classes: 7,
    }
}

mod bytes {
    use super::*;

    perceiver! {
        /// A language model, whose logits are products with its embeddings.
        pub struct Bytes {
            family: PerceiverAr, input: Text { vocab: 50, max_len: 24, dim: 32 }, latents: Last(12), depth: 1,
            self_per_cross_attn: 2, cross_heads: 2, latent_heads: 2, output: Embedding,
        }
    }
}

use bytes::Bytes;

type Images = Tensor<Rank4<3, 6, 6, 2>, f32, Cpu>;

const ROUNDED: [WeightPrecision; 3] = [Bf16, Int8, Int8Dynamic];

fn model() -> (Model, Images, Vec<f32>) {
    let dev = Cpu::seed_from_u64(5);
    let (model, images) = (dev.build_module::<Model, f32>(), dev.sample_normal());
    let exact = model.forward(images.clone()).as_vec();
    (model, images, exact)
}

/// The largest difference, as a fraction of the largest number.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let largest = |numbers: &mut dyn Iterator<Item = f32>| numbers.fold(0.0, f32::max);
    let scale = largest(&mut expected.iter().map(|x| x.abs()));
    largest(&mut found.iter().zip(expected).map(|(x, y)| (x - y).abs())) / scale
}

#[test]
fn results_are_close() {
    let (model, images, exact) = model();
    for (weights, most) in [(F32, 0.0), (Bf16, 0.006), (Int8, 0.012), (Int8Dynamic, 0.025)] {
        let mut prepared = model.clone();
        prepared.prepare_for_inference_in(weights);
        let found = prepared.forward(images.clone()).as_vec();
        let difference = difference(&found, &exact);
        assert!(difference <= most, "{weights:?}: {difference}");
        assert_eq!(difference == 0.0, weights == F32, "{weights:?}");
        assert_eq!(prepared.clone().forward(images.clone()).as_vec(), found);
    }
}

#[test]
fn results_are_those_of_the_rounded_weights() {
    let (model, images, _) = model();
    for weights in [Bf16, Int8] {
        let mut prepared = model.clone();
        prepared.prepare_for_inference_in(weights);
        let found = prepared.forward(images.clone()).as_vec();
        // With a tape, products are those of tensors, which are made again.
        let (of_tensors, _) = prepared.forward(images.clone().leaky_trace()).split_tape();
        assert_eq!(of_tensors.as_vec(), found, "{weights:?}");
        // To round again changes nothing.
        prepared.prepare_for_inference_in(weights);
        assert_eq!(prepared.forward(images.clone()).as_vec(), found, "{weights:?}");
        prepared.prepare_for_inference();
        assert_eq!(prepared.forward(images.clone()).as_vec(), found, "{weights:?}");
    }
}

#[test]
fn rounded_weights_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (mut model, images, exact) = model();
    model.save_checkpoint(&path).unwrap();
    let saved = std::fs::read(&path).unwrap();
    for weights in ROUNDED {
        let mut prepared = model.clone();
        prepared.prepare_for_inference_in(weights);
        for again in [None, Some(F32)] {
            again.into_iter().for_each(|again| prepared.prepare_for_inference_in(again));
            let error = prepared.save_checkpoint(&path).unwrap_err();
            assert!(matches!(error, CheckpointError::Rounded { .. }), "{error}");
            assert!(error.to_string().contains(&format!("rounded the weights to {weights}")));
        }
        assert_eq!(std::fs::read(&path).unwrap(), saved);

        prepared.load_checkpoint(&path).unwrap();
        assert_eq!(prepared.forward(images.clone()).as_vec(), exact);
        prepared.save_checkpoint(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), saved);
    }
    // In `f32`, nothing is rounded.
    model.prepare_for_inference_in(F32);
    model.save_checkpoint(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), saved);
}

#[test]
fn training_goes_on_from_the_rounded_weights() {
    let (mut model, images, _) = model();
    model.prepare_for_inference_in(Int8);
    let before = model.forward(images.clone()).as_vec();
    let mut sgd = Sgd::new(&model, SgdConfig { lr: 0.0, ..SgdConfig::default() });
    let logits = model.forward(images.clone().traced(model.alloc_grads()));
    sgd.update(&mut model, &logits.square().mean().backward()).unwrap();
    assert_eq!(model.forward(images).as_vec(), before);
    // These are the numbers of the model now.
    let folder = tempfile::tempdir().unwrap();
    model.save_checkpoint(folder.path().join("model.safetensors")).unwrap();
}

#[test]
fn texts_are_continued_as_forward_predicts() {
    let dev = Cpu::seed_from_u64(6);
    let model = dev.build_module::<Bytes, f32>();
    let prompt: Vec<usize> = (0..9).map(|i| i * 17 % 50).collect();
    let exact = model.forward(dev.tensor_from_vec(prompt.clone(), (1, 9))).as_vec();
    for (weights, most) in [(Bf16, 0.006), (Int8, 0.012), (Int8Dynamic, 0.025)] {
        let mut prepared = model.clone();
        prepared.prepare_for_inference_in(weights);
        let found = prepared.forward(dev.tensor_from_vec(prompt.clone(), (1, 9))).as_vec();
        let difference = difference(&found, &exact);
        assert!(0.0 < difference && difference <= most, "{weights:?}: {difference}");

        let options = Options { max_new_tokens: 10, num_latents: 9, ..Options::default() };
        let ids = dev.tensor_from_vec(prompt.clone(), (1, 9));
        let mut generation = prepared.generation(&ids, &options).unwrap();
        let mut text = prompt.clone();
        while let Some(tokens) = generation.next() {
            // Up to `Last(12)` latents, all of the text are.
            if text.len() <= 12 {
                let ids = dev.tensor_from_vec(text.clone(), (1, text.len()));
                let logits = prepared.forward(ids).as_vec();
                let last = &logits[logits.len() - 50..];
                let difference = self::difference(&generation.logits()[0], last);
                assert!(difference < 1e-4, "{weights:?}: {difference}");
            }
            text.extend(tokens.unwrap()[0]);
        }
        assert_eq!(text.len(), 19);
        assert_eq!(prepared.clone().generate(&ids, &options).unwrap()[0], text[9..]);
        assert!(prepared.save_checkpoint("never").is_err());
    }
}
