//! The numbers are PyTorch's: logits, embeddings, gradients and a training step of small models, made
//! with perceiver-pytorch 0.11.0 in float64, lie in `tests/parity/`.

#[macro_use]
#[path = "parity/cases.rs"]
mod cases;

use cases::{Tolerance, assert_state_dict};
use perceiver::prelude::*;

const F32: Tolerance = Tolerance {
    forward: 1e-4,
    gradients: 1e-4,
    step: 5e-4,
};
const F64: Tolerance = Tolerance {
    forward: 1e-5,
    ..F32
};

macro_rules! tests {
    ($($case:ident)*) => { $(
        mod $case {
            use super::*;
            use cases::$case::{CHECKPOINT, Model, PARAMETERS, assert_parity, model};

            #[test]
            fn in_f32() {
                let dev = Cpu::default();
                assert_parity(model(&dev), &dev, F32);
            }

            #[test]
            fn in_f64() {
                let dev = Cpu::default();
                assert_parity(model(&dev).to_dtype::<f64>(), &dev, F64);
            }

            #[test]
            fn parameters() {
                assert_eq!(Model::PARAMETERS, PARAMETERS);
                assert_eq!(model(&Cpu::default()).num_trainable_params(), PARAMETERS);
            }

            /// What is saved is what PyTorch saved.
            #[test]
            fn state_dict() {
                let saved = cases::file(&[]);
                model(&Cpu::default()).save_checkpoint(&saved).unwrap();
                assert_state_dict(saved.path(), CHECKPOINT);
            }
        }
    )* };
}

each_case!(tests);
