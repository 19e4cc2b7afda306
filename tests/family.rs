//! Models of the rest of the family agree with their references, whose numbers are in `tests/family/`.

mod compare;

use std::collections::BTreeMap;

use ::safetensors::SafeTensors;
use perceiver::dfdx::nn::BuildModule;
use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::prelude::*;

/// A file of tensors.
struct File(&'static [u8]);

impl File {
    fn numbers<S: Shape>(&self, name: &str, shape: &S) -> Vec<f64> {
        let file = SafeTensors::deserialize(self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.shape(), shape.concrete().into(), "shape of {name}");
        let (chunks, _) = tensor.data().as_chunks();
        chunks.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect()
    }

    fn tensor<S: Shape, E: Dtype>(&self, name: &str, shape: S) -> Tensor<S, E, Cpu> {
        let numbers = self.numbers(name, &shape).into_iter();
        let numbers = numbers.map(|x| E::from_f64(x).unwrap()).collect();
        Cpu::default().tensor_from_vec(numbers, shape)
    }

    /// Names and shapes of all tensors.
    fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        shapes(self.0)
    }
}

fn shapes(bytes: &[u8]) -> BTreeMap<String, Vec<usize>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.iter();
    tensors.map(|(name, tensor)| (name.to_string(), tensor.shape().to_vec())).collect()
}

fn assert_close<S: Shape, E: Dtype>(
    io: &File,
    name: &str,
    found: &Tensor<S, E, Cpu>,
    tolerance: f64,
) {
    let expected = io.numbers(name, found.shape());
    let found: Vec<f64> = found.as_vec().iter().map(|x| x.to_f64().unwrap()).collect();
    compare::assert_close(name, &found, &expected, tolerance);
}

/// A case: its number of parameters, its declaration, and the shape of its input.
macro_rules! case {
    ($name:ident, $parameters:literal, { $($declaration:tt)* }, $input:expr) => {
        mod $name {
            use super::*;

            perceiver! { struct Model { $($declaration)* } }

            const CHECKPOINT: File =
                File(include_bytes!(concat!("family/", stringify!($name), ".safetensors")));
            const IO: File =
                File(include_bytes!(concat!("family/", stringify!($name), ".io.safetensors")));

            fn model() -> Model {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), CHECKPOINT.0).unwrap();
                let mut model = Model::build(&Cpu::default());
                model.load_checkpoint(file.path()).unwrap();
                model
            }

            #[test]
            fn parameters() {
                assert_eq!(Model::PARAMETERS, $parameters);
                assert_eq!(model().num_trainable_params(), $parameters);
            }

            /// Outputs, the gradient of the input, and outputs after a step of SGD.
            fn agrees<E: Dtype>(mut model: Model<E, Cpu>, [forward, gradient, step]: [f64; 3])
            where
                Cpu: Device<E>,
            {
                let input = IO.tensor::<_, E>("x", $input);
                let out = model.forward(input.clone());
                assert_close(&IO, "out", &out, forward);
                let weight = IO.tensor::<_, E>("weight", *out.shape());
                let loss = (model.forward(input.leaky_trace()) * weight).mean();
                let gradients = loss.backward();
                assert_close(&IO, "d_x", &gradients.get(&input), gradient);
                let config = SgdConfig { lr: 0.1, momentum: None, weight_decay: None };
                Sgd::new(&model, config).update(&mut model, &gradients).unwrap();
                assert_close(&IO, "out_after_sgd", &model.forward(input), step);
            }

            #[test]
            fn in_f32() {
                agrees(model(), [1e-4, 1e-3, 5e-4]);
            }

            #[test]
            fn in_f64() {
                agrees(model().to_dtype::<f64>(), [1e-6, 1e-5, 1e-5]);
            }

            /// What is saved has the reference's names, shapes and numbers.
            #[test]
            fn state_dict() {
                let saved = tempfile::NamedTempFile::new().unwrap();
                model().save_checkpoint(saved.path()).unwrap();
                let saved = std::fs::read(saved.path()).unwrap();
                assert_eq!(shapes(&saved), CHECKPOINT.shapes());
                let (ours, theirs) =
                    (SafeTensors::deserialize(&saved), SafeTensors::deserialize(CHECKPOINT.0));
                for (name, theirs) in theirs.unwrap().iter() {
                    let ours = ours.as_ref().unwrap().tensor(name).unwrap();
                    assert_eq!(ours.data(), theirs.data(), "{name}");
                }
            }
        }
    };
}

case!(
    hf_fourier, 151_840,
    {
        family: Transformers,
        input: Grid { axes: 2, channels: 3, position: Fourier { bands: 64, max_freq: [224.0, 224.0] } },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 2, self_per_cross_attn: 2,
        output: ClassQuery(5),
    },
    (2, 6, 7, Const::<3>)
);
