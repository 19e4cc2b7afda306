//! Masked models: what a masked token holds never matters, be it no number at all.

use ::safetensors::SafeTensors;
use ::safetensors::tensor::TensorView;
use perceiver::prelude::*;

use crate::numbers::{Failures, apart, backward, numbers, samples, tensor};

/// The size of a case's batch.
const BATCH: usize = 4;

/// What a model makes of an input and a mask.
pub struct Outcome {
    logits: Vec<f64>,
    /// The gradients of the input and of the latents.
    input: Vec<f64>,
    latents: Vec<f64>,
}

impl Outcome {
    fn finite(&self, failures: &mut Failures) {
        failures.finite("logits", &self.logits);
        failures.finite("gradient of the input", &self.input);
        failures.finite("gradient of the latents", &self.latents);
    }

    fn compare(&self, with: &Self, failures: &mut Failures, tolerance: f64) {
        failures.apart("logits", &self.logits, &with.logits, tolerance);
        failures.apart("gradient of the input", &self.input, &with.input, tolerance);
        failures.apart("gradient of the latents", &self.latents, &with.latents, tolerance);
    }
}

/// A model and the size of what it is given.
pub struct Case<Run> {
    run: Run,
    tokens: usize,
    channels: usize,
}

impl<Run: Fn(&[f64], &[bool]) -> Outcome> Case<Run> {
    fn data(&self, seed: u64) -> Vec<f64> {
        samples(seed, BATCH * self.tokens * self.channels)
    }

    /// By item and token.
    fn mask(&self, keep: impl Fn(usize, usize) -> bool) -> Vec<bool> {
        let tokens = self.tokens;
        let all = (0..BATCH).flat_map(|item| (0..tokens).map(move |token| (item, token)));
        all.map(|(item, token)| keep(item, token)).collect()
    }

    /// `data` with `number` for all that a token holds.
    fn replaced(&self, data: &[f64], replace: &[bool], number: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut data = data.to_vec();
        for (token, _) in replace.iter().enumerate().filter(|(_, replace)| **replace) {
            for channel in 0..self.channels {
                data[token * self.channels + channel] = number(token + channel);
            }
        }
        data
    }

    /// Those of `numbers` that are of the tokens of `which`.
    fn of_tokens(&self, numbers: &[f64], which: &[bool]) -> impl Iterator<Item = f64> {
        let tokens = numbers.chunks(self.channels).zip(which);
        tokens.filter(|(_, which)| **which).flat_map(|(token, _)| token.iter().copied())
    }

    /// Masked tokens that hold `number` are as if they held zeros.
    pub fn assert_no_influence(&self, number: impl Fn(usize) -> f64, tolerance: f64) {
        let mask = self.mask(|item, token| match item {
            0 => true,
            1 => token % 3 != 1,
            2 => token == self.tokens - 2,
            _ => token >= self.tokens / 2,
        });
        let masked: Vec<bool> = mask.iter().map(|keep| !keep).collect();
        let data = self.data(5);
        let zeros = (self.run)(&self.replaced(&data, &masked, |_| 0.0), &mask);
        let mut data = self.replaced(&data, &masked, number);
        // The last item's first token holds it in one channel only.
        let first = 3 * self.tokens * self.channels;
        data[first + 1..first + self.channels].fill(0.5);
        let found = (self.run)(&data, &mask);

        let mut failures = Failures::default();
        found.compare(&zeros, &mut failures, tolerance);
        failures.zero("gradient of masked tokens", self.of_tokens(&found.input, &masked));
        failures.assert_none();
    }

    /// Where all tokens are masked, those that hold `number` do no harm, to the other items neither.
    pub fn assert_harmless(&self, number: impl Fn(usize) -> f64, tolerance: f64) {
        // All of the first are finite, none of the last are masked.
        let mask = self.mask(|item, _| item == 3);
        let replace = self.mask(|item, token| item == 2 || (item == 1 && token % 2 == 1));
        let data = self.data(6);
        let zeros = (self.run)(&self.replaced(&data, &replace, |_| 0.0), &mask);
        let found = (self.run)(&self.replaced(&data, &replace, number), &mask);

        let mut failures = Failures::default();
        found.finite(&mut failures);
        failures.zero("gradient of what is no number", self.of_tokens(&found.input, &replace));
        for item in [0, 3] {
            let mut part = |what: &str, found: &[f64], zeros: &[f64]| {
                let items = |numbers: &[f64]| {
                    let size = numbers.len() / BATCH;
                    numbers[item * size..][..size].to_vec()
                };
                let what = format!("{what} of item {item}");
                failures.apart(&what, &items(found), &items(zeros), tolerance);
            };
            part("logits", &found.logits, &zeros.logits);
            part("gradient", &found.input, &zeros.input);
        }
        failures.assert_none();
    }

    /// Where all tokens are masked, all are attended to equally, as with `equal`, whose scores are all the same.
    pub fn assert_mean(&self, equal: &Self, tolerance: f64) {
        let (data, all) = (self.data(7), self.mask(|_, _| true));
        let found = (self.run)(&data, &self.mask(|_, _| false));
        let expected = (equal.run)(&data, &all);
        let mut failures = Failures::default();
        found.compare(&expected, &mut failures, tolerance);
        let scored = apart(&(self.run)(&data, &all).logits, &expected.logits);
        failures.unless(scored > 2.0 * tolerance, || format!("scores hardly matter: {scored:.1e}"));
        failures.assert_none();
    }

    /// Where all tokens are masked and latents compete for them, no token is attended to.
    pub fn assert_nothing(&self, tolerance: f64) {
        let mask = self.mask(|_, _| false);
        let found = (self.run)(&self.data(7), &mask);
        let other = (self.run)(&self.data(8), &mask);
        let mut failures = Failures::default();
        found.compare(&other, &mut failures, tolerance);
        failures.zero("gradient of the input", found.input.iter().copied());
        failures.assert_none();
    }
}

/// A checkpoint in which the queries of every cross attention are zeros.
fn without_queries(checkpoint: &[u8]) -> Vec<u8> {
    let file = SafeTensors::deserialize(checkpoint).unwrap();
    let zeros: Vec<u8> = vec![0; checkpoint.len()];
    let mut count = 0;
    let tensors: Vec<(String, TensorView<'_>)> = file
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            if !name.ends_with("cross_attn.fn.to_q.weight") {
                return (name, tensor);
            }
            count += 1;
            let data = &zeros[..tensor.data().len()];
            let tensor = TensorView::new(tensor.dtype(), tensor.shape().to_vec(), data);
            (name, tensor.unwrap())
        })
        .collect();
    assert!(count > 0, "no queries of a cross attention");
    ::safetensors::serialize(tensors, None).unwrap()
}

/// A declaration, the shape of its input, and that of the mask.
macro_rules! case {
    ($name:ident, { $($declaration:tt)* }, $input:expr, $mask:expr) => {
        pub mod $name {
            use super::*;

            perceiver! { pub struct Model { $($declaration)* } }

            pub fn model<E: Dtype>() -> Model<E, Cpu>
            where
                Cpu: Device<E>,
            {
                let dev = Cpu::seed_from_u64(1);
                dev.build_module::<Model, f32>().to_dtype::<E>()
            }

            /// The same, but that the scores of every cross attention are all 0.
            #[allow(dead_code)] // not every case compares with it
            pub fn without_queries<E: Dtype>() -> Model<E, Cpu>
            where
                Cpu: Device<E>,
            {
                let mut model = model::<f32>();
                let file = tempfile::NamedTempFile::new().unwrap();
                model.save_checkpoint(file.path()).unwrap();
                let checkpoint = std::fs::read(file.path()).unwrap();
                std::fs::write(file.path(), super::without_queries(&checkpoint)).unwrap();
                model.load_checkpoint(file.path()).unwrap();
                model.to_dtype::<E>()
            }

            pub fn case<E, D>(model: Model<E, D>) -> Case<impl Fn(&[f64], &[bool]) -> Outcome>
            where
                E: Dtype,
                D: Device<E> + TensorFromVec<bool>,
            {
                let run = move |data: &[f64], mask: &[bool]| {
                    let dev = model.latents.device();
                    let input: Tensor<_, E, D> = tensor(dev, data, $input);
                    let mask: Tensor<_, bool, D> = dev.tensor_from_vec(mask.to_vec(), $mask);
                    let (logits, gradients) = backward(model.forward((input.leaky_trace(), mask)));
                    Outcome {
                        logits,
                        input: numbers(&gradients.get(&input)),
                        latents: numbers(&gradients.get(&model.latents)),
                    }
                };
                let tokens = $mask.num_elements() / BATCH;
                Case { run, tokens, channels: Model::INPUT_CHANNELS }
            }
        }
    };
}

// Many latents, for which keys and values are made.
case!(
    sequence,
    {
        input_channels: 4, input_axis: 1, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 40, latent_dim: 16, latent_heads: 2, cross_dim_head: 8, latent_dim_head: 8, num_classes: 5,
    },
    (BATCH, 29, Const::<4>),
    (BATCH, 29)
);

// On the CPU in f32, tokens whose channels and features stay apart.
case!(
    image,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, latent_heads: 2, cross_dim_head: 8, latent_dim_head: 8, num_classes: 5,
    },
    (BATCH, 6, 5, Const::<3>),
    (BATCH, 6, 5)
);

// Too many channels for that.
case!(
    many_channels,
    {
        input_channels: 6, input_axis: 2, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, latent_heads: 2, cross_dim_head: 8, latent_dim_head: 8, num_classes: 5,
    },
    (BATCH, 6, 5, Const::<6>),
    (BATCH, 6, 5)
);

case!(
    inverted,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, latent_heads: 2, cross_dim_head: 8, latent_dim_head: 8, num_classes: 5,
        inverted_cross_attn: true,
    },
    (BATCH, 6, 5, Const::<3>),
    (BATCH, 6, 5)
);

/// A number for each channel of a token: both infinities in turn.
pub fn infinity(index: usize) -> f64 {
    if index.is_multiple_of(2) { f64::INFINITY } else { f64::NEG_INFINITY }
}

/// Tests in the numbers of a type, of which the largest is given, on a device.
macro_rules! mask_tests {
    ($name:ident, $E:ty, $largest:expr, $tolerance:literal, $device:expr) => {
        mod $name {
            use super::*;

            mask_tests!(@ sequence $E, $largest, $tolerance, $device, attends_to_all);
            mask_tests!(@ image $E, $largest, $tolerance, $device, attends_to_all);
            mask_tests!(@ many_channels $E, $largest, $tolerance, $device, attends_to_all);
            mask_tests!(@ inverted $E, $largest, $tolerance, $device, attends_to_nothing);
        }
    };
    (@ $case:ident $E:ty, $largest:expr, $tolerance:literal, $device:expr, $nothing_left:ident) => {
        mod $case {
            use super::*;
            use cases::$case::{case, model};

            #[test]
            fn nan_does_not_matter() {
                let dev = $device;
                case(model::<$E>().to_device(&*dev)).assert_no_influence(|_| f64::NAN, $tolerance);
            }

            #[test]
            fn infinity_does_not_matter() {
                let dev = $device;
                case(model::<$E>().to_device(&*dev)).assert_no_influence(cases::infinity, $tolerance);
            }

            #[test]
            fn the_largest_number_does_not_matter() {
                let dev = $device;
                case(model::<$E>().to_device(&*dev)).assert_no_influence(|_| $largest, $tolerance);
            }

            #[test]
            fn nan_does_no_harm_where_all_is_masked() {
                let dev = $device;
                case(model::<$E>().to_device(&*dev)).assert_harmless(|_| f64::NAN, $tolerance);
            }

            #[test]
            fn infinity_does_no_harm_where_all_is_masked() {
                let dev = $device;
                case(model::<$E>().to_device(&*dev)).assert_harmless(cases::infinity, $tolerance);
            }

            mask_tests!(@ $nothing_left $case $E, $tolerance, $device);
        }
    };
    (@ attends_to_all $case:ident $E:ty, $tolerance:literal, $device:expr) => {
        #[test]
        fn all_is_attended_to_equally_where_all_is_masked() {
            let dev = $device;
            let equal = cases::$case::without_queries::<$E>().to_device(&*dev);
            case(model::<$E>().to_device(&*dev)).assert_mean(&case(equal), $tolerance);
        }
    };
    (@ attends_to_nothing $case:ident $E:ty, $tolerance:literal, $device:expr) => {
        #[test]
        fn nothing_is_attended_to_where_all_is_masked() {
            let dev = $device;
            case(model::<$E>().to_device(&*dev)).assert_nothing($tolerance);
        }
    };
}
