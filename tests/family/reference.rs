//! The files of a reference, and the tests of a model that has its numbers.

use std::collections::BTreeMap;

use ::safetensors::SafeTensors;
use perceiver::prelude::*;

use crate::compare;

/// A file of tensors.
pub struct File(pub &'static [u8]);

impl File {
    pub fn numbers<S: Shape>(&self, name: &str, shape: &S) -> Vec<f64> {
        let file = SafeTensors::deserialize(self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.shape(), shape.concrete().into(), "shape of {name}");
        let (chunks, _) = tensor.data().as_chunks();
        chunks.iter().map(|x| f64::from(f32::from_le_bytes(*x))).collect()
    }

    pub fn mask<S: Shape>(&self, shape: S) -> Tensor<S, bool, Cpu> {
        let file = SafeTensors::deserialize(self.0).unwrap();
        let mask = file.tensor("mask").unwrap().data().iter().map(|x| *x != 0).collect();
        Cpu::default().tensor_from_vec(mask, shape)
    }

    pub fn ids<S: Shape>(&self, shape: S) -> Tensor<S, usize, Cpu> {
        let file = SafeTensors::deserialize(self.0).unwrap();
        let ids = file.tensor("x").unwrap();
        let (chunks, _) = ids.data().as_chunks();
        let ids = chunks.iter().map(|id| i64::from_le_bytes(*id) as usize).collect();
        Cpu::default().tensor_from_vec(ids, shape)
    }

    pub fn tensor<S: Shape, E: Dtype>(&self, name: &str, shape: S) -> Tensor<S, E, Cpu> {
        let numbers = self.numbers(name, &shape).into_iter();
        let numbers = numbers.map(|x| E::from_f64(x).unwrap()).collect();
        Cpu::default().tensor_from_vec(numbers, shape)
    }

    /// Names and shapes of all tensors.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        shapes(self.0)
    }
}

pub fn shapes(bytes: &[u8]) -> BTreeMap<String, Vec<usize>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.iter();
    tensors.map(|(name, tensor)| (name.to_string(), tensor.shape().to_vec())).collect()
}

pub fn assert_close<S: Shape, E: Dtype>(
    io: &File,
    name: &str,
    found: &Tensor<S, E, Cpu>,
    tolerance: f64,
) {
    let expected = io.numbers(name, found.shape());
    let found: Vec<f64> = found.as_vec().iter().map(|x| x.to_f64().unwrap()).collect();
    compare::assert_close(name, &found, &expected, tolerance);
}

/// A case: its number of parameters, its declaration, its input, and what is made of it for `forward`: as it is, and with a
/// tape.
macro_rules! case {
    (
        $name:ident, $parameters:literal, { $($declaration:tt)* },
        $input:expr, |$x:ident| $given:expr, $traced:expr $(, $gradient:ident: $of:expr)*
    ) => {
        mod $name {
            use super::*;

            perceiver! { struct Model { $($declaration)* } }

            const CHECKPOINT: File =
                File(include_bytes!(concat!(stringify!($name), ".safetensors")));
            const IO: File =
                File(include_bytes!(concat!(stringify!($name), ".io.safetensors")));

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
                let input = $input;
                let $x = input.clone();
                let out: Tensor<_, E, _, _> = model.forward($given);
                assert_close(&IO, "out", &out, forward);
                let weight = IO.tensor::<_, E>("weight", *out.shape());
                let $x = input.clone();
                let loss = (model.forward($traced) * weight).mean();
                let gradients = loss.backward();
                let $x = input.clone();
                $(assert_close(&IO, stringify!($gradient), &gradients.get(&$of), gradient);)*
                _ = ($x, gradient);
                let config = SgdConfig { lr: 0.1, momentum: None, weight_decay: None };
                Sgd::new(&model, config).update(&mut model, &gradients).unwrap();
                let $x = input;
                assert_close(&IO, "out_after_sgd", &model.forward($given), step);
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
