//! The numbers are PyTorch's: logits, embeddings, gradients and a training step of small models, made
//! with perceiver-pytorch 0.11.0 in float64, lie in `tests/parity/`.

#[macro_use]
#[path = "parity/cases.rs"]
mod cases;
mod compare;

use ::safetensors::SafeTensors;
use cases::{Tolerance, assert_state_dict};
use perceiver::prelude::*;
use serde_json::{Value, json};

const F32: Tolerance = Tolerance { forward: 1e-5, gradients: 1e-4, step: 1e-4 };
/// What PyTorch computed is stored in f32.
const F64: Tolerance = Tolerance { forward: 1e-6, gradients: 1e-6, step: 1e-6 };

/// The options of a case, with the reference's defaults for those that its JSON leaves out.
fn options(json: &Value) -> Value {
    let mut options = json!({
        "cross_heads": 1,
        "latent_heads": 8,
        "attn_dropout": 0.0,
        "ff_dropout": 0.0,
        "weight_tie_layers": false,
        "fourier_encode_data": true,
        "self_per_cross_attn": 1,
        "final_classifier_head": true,
        "inverted_cross_attn": false,
    });
    let given = json["options"].as_object().unwrap().clone();
    options.as_object_mut().unwrap().extend(given);
    options
}

/// The shapes of the tensors of a file.
fn shapes(bytes: &[u8]) -> std::collections::BTreeMap<String, Vec<usize>> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file.iter();
    tensors.map(|(name, tensor)| (name.to_string(), tensor.shape().to_vec())).collect()
}

#[test]
fn what_is_not_a_number_is_close_to_nothing() {
    let expected = [1.0, -4.0, 2.0];
    let difference = |found: [f64; 3]| compare::difference("x", &found, &expected);
    assert_eq!(difference(expected), 0.0);
    assert_eq!(difference([1.0, -4.0, 1.0]), 0.25);
    for place in 0..3 {
        let mut found = expected;
        found[place] = f64::NAN;
        assert_eq!(difference(found), f64::INFINITY);
        found[place] = f64::NEG_INFINITY;
        assert_eq!(difference(found), f64::INFINITY);
    }
}

macro_rules! tests {
    ($($case:ident)*) => { $(
        mod $case {
            use super::*;
            use cases::$case::{CHECKPOINT, IO, Model, PARAMETERS, assert_parity, model};

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

            /// The declaration, the JSON that the files are made of, and the files.
            #[test]
            fn is_declared_as_it_was_made() {
                let json = include_str!(concat!("parity/", stringify!($case), ".json"));
                let json: Value = serde_json::from_str(json).unwrap();
                let mut found = json!({
                    "input_channels": Model::INPUT_CHANNELS,
                    "input_axis": Model::INPUT_AXIS,
                    "depth": Model::DEPTH,
                    "num_latents": Model::NUM_LATENTS,
                    "latent_dim": Model::LATENT_DIM,
                    "cross_heads": Model::CROSS_HEADS,
                    "latent_heads": Model::LATENT_HEADS,
                    "cross_dim_head": Model::CROSS_DIM_HEAD,
                    "latent_dim_head": Model::LATENT_DIM_HEAD,
                    "num_classes": Model::NUM_CLASSES,
                    "attn_dropout": Model::ATTN_DROPOUT,
                    "ff_dropout": Model::FF_DROPOUT,
                    "weight_tie_layers": Model::WEIGHT_TIE_LAYERS,
                    "fourier_encode_data": Model::FOURIER_ENCODE_DATA,
                    "self_per_cross_attn": Model::SELF_PER_CROSS_ATTN,
                    "final_classifier_head": Model::FINAL_CLASSIFIER_HEAD,
                    "inverted_cross_attn": Model::INVERTED_CROSS_ATTN,
                });
                let mut expected = options(&json);
                if Model::FOURIER_ENCODE_DATA {
                    found["num_freq_bands"] = json!(Model::NUM_FREQ_BANDS);
                    found["max_freq"] = json!(Model::MAX_FREQ);
                } else {
                    // The reference wants them nevertheless.
                    let unused = expected.as_object_mut().unwrap();
                    unused.remove("num_freq_bands");
                    unused.remove("max_freq");
                }
                // Only models that have one have its constants, and more parameters.
                for key in ["attn_residual", "attn_residual_rank"] {
                    expected.as_object_mut().unwrap().remove(key);
                }
                assert_eq!(Model::FREQ_BASE, None);
                assert_eq!(found, expected);
                assert_eq!(json["parameters"], PARAMETERS);

                // What `forward` is given has the shapes of the file, or there is no parity.
                let shapes = shapes(IO);
                let mut shape = json["shape"].as_array().unwrap().clone();
                let mask = json["masked"].as_bool().unwrap().then(|| json!(shape));
                assert_eq!(shapes.get("mask").map(|mask| json!(mask)), mask);
                shape.push(json!(Model::INPUT_CHANNELS));
                assert_eq!(json!(shapes["input"]), json!(shape));
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
