//! Half precision: `f16` and `AMP<f16>`.

use perceiver::dfdx::dtypes::{AMP, f16};
use perceiver::ops::{Attend, AttentionKernel, Mask, Record};
use perceiver::prelude::*;
use perceiver::spec::Heads;

use crate::gpu;
use crate::model::{ImageNet, Small, images};
use crate::numbers::{Failures, backward, numbers, samples, tensor};

fn assert_no_nan<S: Shape, E: Dtype, D: Device<E>, T>(name: &str, tensor: &Tensor<S, E, D, T>) {
    let numbers = numbers(tensor);
    let nans = numbers.iter().filter(|x| x.is_nan()).count();
    assert_eq!(nans, 0, "{name}: NaN in {nans} of {} places", numbers.len());
}

/// An image of many tokens, forward and backward.
macro_rules! many_tokens {
    ($Model:ident, $E:ty, $size:literal) => {{
        let gpu = gpu();
        let cpu = Cpu::seed_from_u64(3);
        let model = cpu.build_module::<$Model, f32>();
        let images = images(&cpu, 1, $size, $size).to_dtype::<$E>().to_device(&*gpu);
        let model = model.to_dtype::<$E>().to_device(&*gpu);
        let logits = model.forward(images.leaky_trace());
        assert!(numbers(&logits).iter().all(|x| x.is_finite()), "logits");
        let gradients = logits.mean().backward();
        assert_no_nan("latents", &gradients.get(&model.latents));
        assert_no_nan("images", &gradients.get(&images));
        let to_q = model.layers.view()[0].cross.as_ref().unwrap().attention.to_q.weight;
        assert_no_nan("to_q", &gradients.get(to_q.tensor()));
    }};
}

/// Attention with scores of ±1e4, of which each query has one that is the largest.
fn extreme_scores<E: Dtype>()
where
    Cuda: Device<E>,
{
    const DIM: usize = 64;
    const TOKENS: usize = 300;
    let gpu = gpu();
    let number = |x: f64| E::from_f64(x).unwrap();
    // 64 · 35.36² / √64 is 1e4.
    let query = gpu.tensor_from_vec(vec![number(35.36); DIM], (1, 1, DIM));
    let rows = (0..TOKENS).flat_map(|token| {
        let key = if token == 7 { 35.36 } else { -35.36 };
        std::iter::repeat_n(key, DIM).chain(std::iter::repeat_n(token as f64 / 64.0, DIM))
    });
    let key_value = gpu.tensor_from_vec(rows.map(number).collect(), (1, TOKENS, 2 * DIM));
    let mut record = Record::for_tape::<OwnedTape<E, Cuda>>();
    let (heads, attend) = (Heads::new(1, DIM), Attend::default());
    let (q, kv) = (query.clone(), key_value.clone());
    let out = Cuda::try_attention(&mut record, q, kv, heads, &Mask::None, attend).unwrap();
    let found = numbers(&out);
    assert!(found.iter().all(|x| (x - 7.0 / 64.0).abs() < 1e-2), "{found:?}");
    let mut tape = OwnedTape::default();
    record.put_on(&mut tape);
    let gradients = out.put_tape(tape).mean().backward();
    assert_no_nan("query", &gradients.get(&query));
    assert_no_nan("key_value", &gradients.get(&key_value));
}

/// Half precision is as far from f32 as its digits allow.
macro_rules! logits_are_close {
    ($Model:ident, $E:ty, $tolerance:literal) => {{
        let gpu = gpu();
        let cpu = Cpu::seed_from_u64(4);
        let model = cpu.build_module::<$Model, f32>();
        let images = images(&cpu, 2, 32, 32);
        let expected = numbers(&model.forward(images.clone()));
        let model = model.to_dtype::<$E>().to_device(&*gpu);
        let found = numbers(&model.forward(images.to_dtype::<$E>().to_device(&*gpu)));
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(
                difference <= $tolerance,
                "logit {i} is {found}, in f32 {expected}: {difference:e} apart"
            );
        }
    }};
}

/// The gradients of the latents, of weights and of the input are as far from those in f32 as the digits allow.
fn gradients_are_close<E: Dtype>(tolerance: f64)
where
    Cuda: Device<E>,
    Cpu: Device<E>,
{
    fn gradients<E: Dtype, D: Device<E>>(
        model: &Small<E, D>,
        batch: usize,
    ) -> Vec<(&'static str, Vec<f64>)> {
        let shape = (batch, 7, 6, Const::<3>);
        let numbers_of_images = samples(6, shape.num_elements());
        let images: Tensor<_, E, D> = tensor(model.latents.device(), &numbers_of_images, shape);
        let (logits, gradients) = backward(model.forward(images.leaky_trace()));
        let view = model.layers.view();
        let cross = view[0].cross.as_ref().unwrap();
        let [to_q, to_kv] = [cross.attention.to_q.weight, cross.attention.to_kv.weight];
        vec![
            ("logits", logits),
            ("latents", numbers(&gradients.get(&model.latents))),
            ("images", numbers(&gradients.get(&images))),
            ("to_q", numbers(&gradients.get(to_q.tensor()))),
            ("to_kv", numbers(&gradients.get(to_kv.tensor()))),
        ]
    }
    let gpu = gpu();
    // Both have the numbers that `E` has.
    let model = Cpu::seed_from_u64(5).build_module::<Small, f32>().to_dtype::<E>();
    let reference = model.to_dtype::<f32>();
    let model = model.to_device(&*gpu);
    let mut failures = Failures::default();
    for batch in [1, 2, 8] {
        let expected = gradients(&reference, batch);
        for ((name, found), (_, expected)) in gradients(&model, batch).iter().zip(&expected) {
            failures.apart(&format!("{name} of {batch} images"), found, expected, tolerance);
        }
    }
    failures.assert_none();
}

macro_rules! tests {
    ($name:ident, $E:ty, $tolerance:literal) => {
        mod $name {
            use super::*;

            #[test]
            fn many_tokens_give_no_nan() {
                many_tokens!(Small, $E, 64);
            }

            #[test]
            fn many_tokens_give_no_nan_at_full_size() {
                many_tokens!(ImageNet, $E, 224);
            }

            #[test]
            fn extreme_scores_give_no_nan() {
                extreme_scores::<$E>();
            }

            #[test]
            fn logits_are_close_to_those_in_f32() {
                logits_are_close!(Small, $E, $tolerance);
            }

            #[test]
            fn logits_are_close_to_those_in_f32_at_full_size() {
                logits_are_close!(ImageNet, $E, $tolerance);
            }

            #[test]
            fn gradients_are_close_to_those_in_f32() {
                gradients_are_close::<$E>(2e-2);
            }
        }
    };
}

tests!(in_f16, f16, 0.1);
tests!(in_amp_f16, AMP<f16>, 0.05);
