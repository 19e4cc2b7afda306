//! Several inputs and outputs, whose reference gives and takes all numbers of the outputs in one row.

use perceiver::dfdx::nn::BuildModule;
use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::dfdx::tensor::Tape;
use perceiver::prelude::*;

use crate::reference::{File, assert_close, shapes};

perceiver! {
    pub struct Model {
        family: Transformers,
        input: Modalities {
            audio: Grid {
                shape: [64, 1], stem: [Patches([16])], position: Fourier { bands: 192, max_freq: [64.0] },
            },
            image: Grid {
                shape: [2, 8, 8, 3], stem: [Patches([1, 4, 4])],
                position: Fourier { bands: 32, max_freq: [2.0, 8.0, 8.0] },
            },
            label: OneHot { classes: 7, mask: 1.0 },
        },
        input_padding: 4, num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 1,
        self_per_cross_attn: 1,
        output: Modalities {
            audio: Queries {
                queries: Grid {
                    shape: [4], position: Fourier { bands: 192, max_freq: [64.0], endpoint: false },
                },
                project: 16,
            },
            image: Queries {
                queries: Grid {
                    shape: [2, 8, 8],
                    position: Fourier { bands: 32, max_freq: [2.0, 8.0, 8.0], endpoint: false },
                },
                project: 3,
            },
            label: Queries { queries: Learned([1, 1024]), project: 7 },
        },
        output_padding: 2, output_dim: 12,
    }
}

const CHECKPOINT: File = File(include_bytes!("hf_modalities.safetensors"));
const IO: File = File(include_bytes!("hf_modalities.io.safetensors"));

fn model() -> Model {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), CHECKPOINT.0).unwrap();
    let mut model = Model::build(&Cpu::default());
    model.load_checkpoint(file.path()).unwrap();
    model
}

type Audio<E, T = NoneTape> = Tensor<Rank3<1, 64, 1>, E, Cpu, T>;
type Image<E, T = NoneTape> = Tensor<Rank5<1, 2, 8, 8, 3>, E, Cpu, T>;
type Label<E, T = NoneTape> = Tensor<Rank2<1, 7>, E, Cpu, T>;

/// The outputs of a model, one after another.
fn outputs<E: Dtype, T: Tape<E, Cpu>>(
    out: ModelOutput<
        Tensor<Rank3<1, 4, 16>, E, Cpu, T>,
        Tensor<Rank5<1, 2, 8, 8, 3>, E, Cpu, T>,
        Tensor<Rank3<1, 1, 7>, E, Cpu, T>,
    >,
) -> [Tensor<(usize,), E, Cpu, T>; 3] {
    let ModelOutput { audio, image, label } = out;
    [
        image.try_reshape_like(&(384,)).unwrap(),
        audio.try_reshape_like(&(64,)).unwrap(),
        label.try_reshape_like(&(7,)).unwrap(),
    ]
}

fn assert_out<E: Dtype>(name: &str, out: [Tensor<(usize,), E, Cpu>; 3], tolerance: f64) {
    let found: Vec<_> = out.iter().flat_map(|out| out.as_vec()).collect();
    let found = Cpu::default().tensor_from_vec(found, (1, 455));
    assert_close(&IO, name, &found, tolerance);
}

fn agrees<E: Dtype>(mut model: Model<E, Cpu>, [forward, gradient, step]: [f64; 3])
where
    Cpu: Device<E>,
{
    let audio: Audio<E> = IO.tensor("audio", Default::default());
    let image: Image<E> = IO.tensor("image", Default::default());
    let label: Label<E> = IO.tensor("label", Default::default());
    let input = ModelInput { audio: audio.clone(), image: image.clone(), label: label.clone() };
    assert_out("out", outputs(model.forward(input.clone())), forward);

    let weight = IO.tensor::<_, E>("weight", (1, 455)).as_vec();
    let mut weight = weight.into_iter();
    // A tape on any of the inputs is enough.
    let traced = ModelInput {
        audio: audio.clone(),
        image: image.clone().leaky_trace(),
        label: label.clone(),
    };
    let losses = outputs(model.forward(traced)).map(|out| {
        let len = out.shape().0;
        let weight = weight.by_ref().take(len).collect();
        (out * Cpu::default().tensor_from_vec(weight, (len,))).sum()
    });
    let [a, b, c] = losses;
    let gradients = ((a + b + c) / E::from_f64(455.0).unwrap()).backward();
    assert_close(&IO, "d_audio", &gradients.get(&audio), gradient);
    assert_close(&IO, "d_image", &gradients.get(&image), gradient);
    assert_eq!(gradients.get(&label).as_vec(), [E::default(); 7]);

    let config = SgdConfig { lr: 0.1, momentum: None, weight_decay: None };
    // What replaces tokens that are never replaced has a gradient of 0, and does not count as unused.
    Sgd::new(&model, config).update(&mut model, &gradients).unwrap();
    assert_out("out_after_sgd", outputs(model.forward(input)), step);
}

#[test]
fn in_f32() {
    agrees(model(), [1e-4, 1e-3, 5e-4]);
}

#[test]
fn in_f64() {
    agrees(model().to_dtype::<f64>(), [1e-6, 1e-5, 1e-5]);
}

#[test]
fn parameters() {
    assert_eq!(Model::PARAMETERS, 2_508_348);
    assert_eq!(model().num_trainable_params(), Model::PARAMETERS);
}

#[test]
fn state_dict() {
    let saved = tempfile::NamedTempFile::new().unwrap();
    model().save_checkpoint(saved.path()).unwrap();
    let saved = std::fs::read(saved.path()).unwrap();
    assert_eq!(shapes(&saved), CHECKPOINT.shapes());
}
