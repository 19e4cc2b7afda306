//! The numbers are PyTorch's: logits, embeddings, gradients and a training step of small models, made
//! with perceiver-pytorch 0.11.0 in float64, lie in `tests/parity/`.

use std::path::{Path, PathBuf};

use ::safetensors::SafeTensors;
use perceiver::dfdx::nn::modules::Module;
use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::prelude::*;

/// A file of a case: its checkpoint, or its inputs and outputs.
fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/parity")
        .join(file)
}

/// The inputs and outputs of a case.
struct Case {
    bytes: Vec<u8>,
}

impl Case {
    fn read(name: &str) -> Self {
        let bytes = std::fs::read(path(&format!("{name}.io.safetensors"))).unwrap();
        Self { bytes }
    }

    fn data(&self, tensor: &str) -> Vec<u8> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        file.tensor(tensor).unwrap().data().to_vec()
    }

    fn floats(&self, tensor: &str) -> Vec<f64> {
        let data = self.data(tensor);
        let (chunks, _) = data.as_chunks();
        chunks
            .iter()
            .map(|x| f64::from(f32::from_le_bytes(*x)))
            .collect()
    }

    fn tensor<S: Shape, E: Dtype>(&self, name: &str, shape: S) -> Tensor<S, E, Cpu> {
        let data = self.floats(name);
        let data = data.into_iter().map(|x| E::from_f64(x).unwrap()).collect();
        Cpu::default().tensor_from_vec(data, shape)
    }

    fn mask<S: Shape>(&self, shape: S) -> Tensor<S, bool, Cpu> {
        let data = self.data("mask").into_iter().map(|x| x != 0).collect();
        Cpu::default().tensor_from_vec(data, shape)
    }

    /// One row for each item of the batch, with a one at its class.
    fn targets<S: Shape, E: Dtype>(&self, shape: S) -> Tensor<S, E, Cpu> {
        let classes = shape.concrete()[1];
        let data = self.data("target");
        let (chunks, _) = data.as_chunks();
        let mut one_hot = vec![E::default(); shape.num_elements()];
        for (row, target) in chunks.iter().enumerate() {
            one_hot[row * classes + i64::from_le_bytes(*target) as usize] = E::ONE;
        }
        Cpu::default().tensor_from_vec(one_hot, shape)
    }

    fn assert_close<S: Shape, E: Dtype, T>(
        &self,
        name: &str,
        found: &Tensor<S, E, Cpu, T>,
        tolerance: f64,
    ) {
        let expected = self.floats(name);
        let found: Vec<f64> = found.as_vec().iter().map(|x| x.to_f64().unwrap()).collect();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(
                difference <= tolerance,
                "{name}[{i}] is {found}, PyTorch has {expected}: {difference:e} apart"
            );
        }
    }
}

/// Tests one case: the declaration, then the shape of its input and the expression that makes what
/// `forward` is given of it.
macro_rules! parity {
    (
        $case:ident, $parameters:literal, { $($declaration:tt)* }, $input:expr,
        |$x:ident, $io:ident| $given:expr
    ) => {
        mod $case {
            use super::*;

            perceiver! { struct Model { $($declaration)* } }

            /// The model with the case's parameters.
            fn model() -> Model {
                let mut model = Cpu::default().build_module::<Model, f32>();
                model.load_checkpoint(path(concat!(stringify!($case), ".safetensors"))).unwrap();
                model
            }

            fn numbers<E: Dtype>(mut model: Model<E, Cpu>, forward: f64, sgd: f64)
            where
                Cpu: Device<E>,
            {
                let $io = Case::read(stringify!($case));
                let input: Tensor<_, E, Cpu> = $io.tensor("input", $input);

                let $x = input.clone();
                $io.assert_close("embeddings", &model.embed($given), forward);
                let $x = input.clone();
                $io.assert_close("logits", &model.forward($given), forward);

                let $x = input.leaky_trace();
                let logits = model.forward($given);
                $io.assert_close("logits", &logits, forward);
                let targets = $io.targets(*logits.shape());
                let grads = cross_entropy_with_logits_loss(logits, targets).backward();
                $io.assert_close("d_latents", &grads.get(&model.latents), 1e-4);
                $io.assert_close("d_input", &grads.get(&input), 1e-4);

                let config = SgdConfig { lr: 0.1, momentum: None, weight_decay: None };
                Sgd::new(&model, config).update(&mut model, &grads).unwrap();
                let $x = input.clone();
                $io.assert_close("logits_after_sgd", &Module::forward(&model, $given), sgd);
            }

            #[test]
            fn in_f32() {
                numbers(model(), 1e-4, 5e-4);
            }

            #[test]
            fn in_f64() {
                numbers(model().to_dtype::<f64>(), 1e-5, 5e-4);
            }

            #[test]
            fn parameters() {
                assert_eq!(Model::PARAMETERS, $parameters);
                assert_eq!(model().num_trainable_params(), Model::PARAMETERS);
            }

            /// What is saved is what PyTorch saved: names, shapes and values.
            #[test]
            fn state_dict() {
                let folder = tempfile::tempdir().unwrap();
                let saved = folder.path().join("saved.safetensors");
                model().save_checkpoint(&saved).unwrap();
                let saved = std::fs::read(saved).unwrap();
                let saved = SafeTensors::deserialize(&saved).unwrap();
                let theirs = std::fs::read(path(concat!(stringify!($case), ".safetensors"))).unwrap();
                let theirs = SafeTensors::deserialize(&theirs).unwrap();
                let names = |file: &SafeTensors| {
                    let mut names: Vec<String> = file.names().iter().map(|&n| n.to_string()).collect();
                    names.sort();
                    names
                };
                assert_eq!(names(&saved), names(&theirs));
                for name in theirs.names() {
                    let (saved, theirs) = (saved.tensor(name).unwrap(), theirs.tensor(name).unwrap());
                    assert_eq!(saved.shape(), theirs.shape(), "{name}");
                    assert_eq!(saved.data(), theirs.data(), "{name}");
                }
            }
        }
    };
}

parity!(
    image, 16_601,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (2, Const::<6>, 5, Const::<3>),
    |x, io| x
);

parity!(
    audio, 8_883,
    {
        input_channels: 4, input_axis: 1, num_freq_bands: 5, max_freq: 24.0, depth: 1,
        num_latents: 8, latent_dim: 16, cross_heads: 2, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (Const::<2>, 33, Const::<4>),
    |x, io| x
);

parity!(
    masked, 16_457,
    {
        input_channels: 6, input_axis: 1, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (Const::<3>, Const::<17>, Const::<6>),
    |x, io| (x, io.mask((Const::<3>, Const::<17>)))
);

parity!(
    sequence, 16_421,
    {
        input_channels: 12, input_axis: 1, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, fourier_encode_data: false,
    },
    (2, 9, Const::<12>),
    |x, io| x
);

parity!(
    tied, 25_241,
    {
        input_shape: [5, 5, 3], num_freq_bands: 3, max_freq: 10.0, depth: 4,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, weight_tie_layers: true, self_per_cross_attn: 2,
    },
    (2, Const::<5>, Const::<5>, Const::<3>),
    |x, io| x
);

parity!(
    video, 25_241,
    {
        input_channels: 2, input_axis: 3, num_freq_bands: 2, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, self_per_cross_attn: 2,
    },
    (1, 3, 4, 5, Const::<2>),
    |x, io| x
);

parity!(
    hyper, 8513,
    {
        input_channels: 2, input_axis: 4, num_freq_bands: 2, max_freq: 6.0, depth: 1,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (2, 2, 3, Const::<2>, 3, Const::<2>),
    |x, io| x
);

parity!(
    inverted, 17181,
    {
        input_channels: 3, input_axis: 1, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 2, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, inverted_cross_attn: true,
    },
    (2, 19, Const::<3>),
    |x, io| (x, io.mask((2, 19)))
);

parity!(
    signal, 8441,
    {
        input_shape: [3001, 1], num_freq_bands: 8, max_freq: 300.0, depth: 1,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (Const::<1>, Const::<3001>, Const::<1>),
    |x, io| x
);

parity!(
    volume, 16565,
    {
        input_channels: 1, input_axis: 3, num_freq_bands: 2, max_freq: 8.0, depth: 5,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, weight_tie_layers: true,
    },
    (2, 3, 4, 2, Const::<1>),
    |x, io| (x, io.mask((2, 3, 4, 2)))
);
