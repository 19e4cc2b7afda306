//! The cases: small models made with perceiver-pytorch 0.11.0 in float64, which any device has to agree with. Their files
//! lie beside this one and are part of the program, which may run where the source is not.

use std::path::Path;

use ::safetensors::SafeTensors;
use perceiver::dfdx::nn::BuildModule;
use perceiver::dfdx::nn::modules::Module;
use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::prelude::*;
use tempfile::NamedTempFile;

use crate::compare;

/// How far a device may be from PyTorch, relative to the largest number of a tensor.
#[derive(Clone, Copy)]
pub struct Tolerance {
    /// Of logits and latents.
    pub forward: f64,
    /// Of gradients.
    pub gradients: f64,
    /// Of what a training step changes of the logits.
    pub step: f64,
}

/// The inputs and outputs of a case, on a device.
pub struct Case<D> {
    pub dev: D,
    pub io: &'static [u8],
}

impl<D> Case<D> {
    /// The bytes of a tensor that has to have this shape.
    fn data<S: Shape>(&self, name: &str, shape: &S) -> Vec<u8> {
        let file = SafeTensors::deserialize(self.io).unwrap();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.shape(), shape.concrete().into(), "shape of {name}");
        tensor.data().to_vec()
    }

    fn floats<S: Shape>(&self, name: &str, shape: &S) -> Vec<f64> {
        let data = self.data(name, shape);
        let (chunks, _) = data.as_chunks();
        chunks.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect()
    }

    fn tensor<S: Shape, E: Dtype>(&self, name: &str, shape: S) -> Tensor<S, E, D>
    where
        D: Device<E>,
    {
        let data = self.floats(name, &shape);
        let data = data.into_iter().map(|x| E::from_f64(x).unwrap()).collect();
        self.dev.tensor_from_vec(data, shape)
    }

    fn mask<S: Shape>(&self, shape: S) -> Tensor<S, bool, D>
    where
        D: TensorFromVec<bool>,
    {
        let data = self.data("mask", &shape).into_iter().map(|x| x != 0).collect();
        self.dev.tensor_from_vec(data, shape)
    }

    /// One row for each item of the batch, with a one at its class.
    fn targets<S: Shape, E: Dtype>(&self, shape: S) -> Tensor<S, E, D>
    where
        D: Device<E>,
    {
        let [batch, classes] = [0, 1].map(|axis| shape.concrete()[axis]);
        let data = self.data("target", &(batch,));
        let (chunks, _) = data.as_chunks();
        let mut one_hot = vec![E::default(); shape.num_elements()];
        for (row, target) in chunks.iter().enumerate() {
            one_hot[row * classes + i64::from_le_bytes(*target) as usize] = E::ONE;
        }
        self.dev.tensor_from_vec(one_hot, shape)
    }

    fn assert_close<S: Shape, E: Dtype, T>(
        &self,
        name: &str,
        found: &Tensor<S, E, D, T>,
        tolerance: f64,
    ) where
        D: Device<E>,
    {
        let expected = self.floats(name, found.shape());
        compare::assert_close(name, &numbers(found), &expected, tolerance);
    }

    /// Compares what a training step changes of the logits.
    fn assert_step<S: Shape, E: Dtype>(
        &self,
        logits: &Tensor<S, E, D>,
        after: &Tensor<S, E, D>,
        tolerance: f64,
    ) where
        D: Device<E>,
    {
        let change = |before: Vec<f64>, after: Vec<f64>| -> Vec<f64> {
            after.iter().zip(before).map(|(x, y)| x - y).collect()
        };
        let found = change(numbers(logits), numbers(after));
        let expected = change(
            self.floats("logits", logits.shape()),
            self.floats("logits_after_sgd", after.shape()),
        );
        compare::assert_close("the step's change", &found, &expected, tolerance);
    }
}

fn numbers<S: Shape, E: Dtype, D: Device<E>, T>(tensor: &Tensor<S, E, D, T>) -> Vec<f64> {
    let numbers = tensor.as_vec();
    numbers.iter().map(|x| x.to_f64().unwrap()).collect()
}

/// A file with these bytes, there as long as what is given.
pub fn file(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

/// Checks that the checkpoint at `path` is PyTorch's: names, shapes and values.
pub fn assert_state_dict(path: &Path, theirs: &[u8]) {
    let saved = std::fs::read(path).unwrap();
    let saved = SafeTensors::deserialize(&saved).unwrap();
    let theirs = SafeTensors::deserialize(theirs).unwrap();
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

/// A case: its parameters, the declaration, then the shape of its input and the expression that makes what `forward` is
/// given of it.
macro_rules! case {
    (
        $name:ident, $parameters:literal, { $($declaration:tt)* }, $input:expr,
        |$x:ident, $case:ident| $given:expr
    ) => {
        pub mod $name {
            use super::*;

            perceiver! { pub struct Model { $($declaration)* } }

            pub const PARAMETERS: usize = $parameters;
            pub const CHECKPOINT: &[u8] = include_bytes!(concat!(stringify!($name), ".safetensors"));
            pub const IO: &[u8] = include_bytes!(concat!(stringify!($name), ".io.safetensors"));

            /// The model with the case's parameters.
            pub fn model<D: Device<f32>>(dev: &D) -> Model<f32, D> {
                let mut model = Model::<f32, D>::build(dev);
                model.load_checkpoint(file(CHECKPOINT)).unwrap();
                assert_eq!(model.num_trainable_params(), PARAMETERS);
                model
            }

            /// Compares logits, latents, gradients and a training step. All is computed before anything is compared, so
            /// that a device which computes nothing can show that it would.
            pub fn assert_parity<E, D>(mut model: Model<E, D>, dev: &D, tolerance: Tolerance)
            where
                E: Dtype,
                D: Device<E> + TensorFromVec<bool>,
            {
                let $case = Case { dev: dev.clone(), io: IO };
                let input: Tensor<_, E, D> = $case.tensor("input", $input);

                let $x = input.clone();
                let embeddings = model.embed($given);
                let $x = input.clone();
                let logits = model.forward($given);

                let $x = input.leaky_trace();
                let traced = model.forward($given);
                let (same_logits, tape) = traced.split_tape();
                let targets = $case.targets(*same_logits.shape());
                let traced = same_logits.clone().put_tape(tape);
                let grads = cross_entropy_with_logits_loss(traced, targets).backward();
                let (d_latents, d_input) = (grads.get(&model.latents), grads.get(&input));

                let config = SgdConfig { lr: 0.1, momentum: None, weight_decay: None };
                Sgd::new(&model, config).update(&mut model, &grads).unwrap();
                let $x = input.clone();
                let after = Module::forward(&model, $given);

                $case.assert_close("embeddings", &embeddings, tolerance.forward);
                $case.assert_close("logits", &logits, tolerance.forward);
                $case.assert_close("logits", &same_logits, tolerance.forward);
                $case.assert_close("d_latents", &d_latents, tolerance.gradients);
                $case.assert_close("d_input", &d_input, tolerance.gradients);
                $case.assert_step(&same_logits, &after, tolerance.step);
            }
        }
    };
}

case!(
    image, 16_601,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (2, Const::<6>, 5, Const::<3>),
    |x, case| x
);

case!(
    audio, 8_883,
    {
        input_channels: 4, input_axis: 1, num_freq_bands: 5, max_freq: 24.0, depth: 1,
        num_latents: 8, latent_dim: 16, cross_heads: 2, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (Const::<2>, 33, Const::<4>),
    |x, case| x
);

case!(
    masked, 16_457,
    {
        input_channels: 6, input_axis: 1, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (Const::<3>, Const::<17>, Const::<6>),
    |x, case| (x, case.mask((Const::<3>, Const::<17>)))
);

case!(
    sequence, 16_421,
    {
        input_channels: 12, input_axis: 1, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, fourier_encode_data: false,
    },
    (2, 9, Const::<12>),
    |x, case| x
);

case!(
    tied, 25_241,
    {
        input_shape: [5, 5, 3], num_freq_bands: 3, max_freq: 10.0, depth: 4,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, weight_tie_layers: true, self_per_cross_attn: 2,
    },
    (2, Const::<5>, Const::<5>, Const::<3>),
    |x, case| x
);

case!(
    video, 25_241,
    {
        input_channels: 2, input_axis: 3, num_freq_bands: 2, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, self_per_cross_attn: 2,
    },
    (1, 3, 4, 5, Const::<2>),
    |x, case| x
);

case!(
    hyper, 8513,
    {
        input_channels: 2, input_axis: 4, num_freq_bands: 2, max_freq: 6.0, depth: 1,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (2, 2, 3, Const::<2>, 3, Const::<2>),
    |x, case| x
);

case!(
    inverted, 17181,
    {
        input_channels: 3, input_axis: 1, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 2, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, inverted_cross_attn: true,
    },
    (2, 19, Const::<3>),
    |x, case| (x, case.mask((2, 19)))
);

case!(
    signal, 8441,
    {
        input_shape: [3001, 1], num_freq_bands: 8, max_freq: 300.0, depth: 1,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (Const::<1>, Const::<3001>, Const::<1>),
    |x, case| x
);

case!(
    volume, 16565,
    {
        input_channels: 1, input_axis: 3, num_freq_bands: 2, max_freq: 8.0, depth: 5,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, weight_tie_layers: true,
    },
    (2, 3, 4, 2, Const::<1>),
    |x, case| (x, case.mask((2, 3, 4, 2)))
);

case!(
    masked_image, 17_385,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 2, max_freq: 8.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 2, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5,
    },
    (2, 5, Const::<7>, Const::<3>),
    |x, case| (x, case.mask((2, 5, Const::<7>)))
);

case!(
    inverted_image, 16_601,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 3, max_freq: 10.0, depth: 2,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, inverted_cross_attn: true,
    },
    (2, Const::<6>, 5, Const::<3>),
    |x, case| (x, case.mask((2, Const::<6>, 5)))
);

case!(
    inverted_list, 24_779,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 3, max_freq: 10.0, depth: 3,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, inverted_cross_attn: [true, false, true],
    },
    (2, 6, Const::<5>, Const::<3>),
    |x, case| x
);

case!(
    residual, 25_211,
    {
        input_channels: 3, input_axis: 2, num_freq_bands: 3, max_freq: 10.0, depth: 3,
        num_latents: 8, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, num_classes: 5, attn_residual: true, attn_residual_rank: 4,
    },
    (2, 6, 5, Const::<3>),
    |x, case| x
);

/// Calls a macro with the name of every case.
macro_rules! each_case {
    ($tests:ident) => {
        $tests!(
            image audio masked sequence tied video hyper inverted signal volume masked_image
            inverted_image inverted_list residual
        );
    };
}
