//! Models of the rest of the family agree with their references, whose numbers are in `tests/family/`.

mod compare;

use std::collections::BTreeMap;
use std::io::Read;

use ::safetensors::SafeTensors;
use perceiver::dfdx::nn::tensor_collection::TensorCollection;
use perceiver::dfdx::nn::{BuildModule, BuildOnDevice};
use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::prelude::*;
use perceiver::presets;

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

    fn mask<S: Shape>(&self, shape: S) -> Tensor<S, bool, Cpu> {
        let file = SafeTensors::deserialize(self.0).unwrap();
        let mask = file.tensor("mask").unwrap().data().iter().map(|x| *x != 0).collect();
        Cpu::default().tensor_from_vec(mask, shape)
    }

    fn ids<S: Shape>(&self, shape: S) -> Tensor<S, usize, Cpu> {
        let file = SafeTensors::deserialize(self.0).unwrap();
        let ids = file.tensor("x").unwrap();
        let (chunks, _) = ids.data().as_chunks();
        let ids = chunks.iter().map(|id| i64::from_le_bytes(*id) as usize).collect();
        Cpu::default().tensor_from_vec(ids, shape)
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

case!(
    hf_fourier, 151_840,
    {
        family: Transformers,
        input: Grid { axes: 2, channels: 3, position: Fourier { bands: 64, max_freq: [224.0, 224.0] } },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 2, self_per_cross_attn: 2,
        output: ClassQuery(5),
    },
    IO.tensor::<_, E>("x", (2, 6, 7, Const::<3>)),
    |x| x,
    x.leaky_trace(),
    d_x: x
);

case!(
    hf_text_class, 28_403,
    {
        family: Transformers, input: Text { vocab: 30, max_len: 11, dim: 16 }, num_latents: 6, latent_dim: 32,
        cross_heads: 2, latent_heads: 4, qk_channels: 16, v_channels: 32, depth: 1, self_per_cross_attn: 3,
        output: ClassQuery(3),
    },
    IO.ids((2, Const::<11>)),
    |x| (x, IO.mask((2, Const::<11>))),
    (x.leaky_trace(), IO.mask((2, Const::<11>)))
);

case!(
    hf_mlm, 36_222,
    {
        family: Transformers, input: Text { vocab: 30, max_len: 11, dim: 16 }, num_latents: 6, latent_dim: 32,
        cross_heads: 2, latent_heads: 4, qk_channels: 16, v_channels: 32, depth: 1, self_per_cross_attn: 3,
        output: Queries {
            queries: Learned([11, 16]), heads: 8, qk_channels: 256, v_channels: 16, query_residual: false,
            project: Embedding,
        },
    },
    IO.ids((2, Const::<11>)),
    |x| (x, IO.mask((2, Const::<11>))),
    (x.leaky_trace(), IO.mask((2, Const::<11>)))
);

case!(
    pp_io, 12_869,
    {
        input: Tokens(8), num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, depth: 2, cross_attends: 1, self_per_cross_attn: 1,
        output: Queries { queries: Given(6), query_residual: false, feed_forward: None, project: 5 },
    },
    (IO.tensor::<_, E>("x", (2, 13, Const::<8>)), IO.tensor::<_, E>("queries", (2, 5, Const::<6>))),
    |x| x,
    (x.0.leaky_trace(), x.1.leaky_trace()),
    d_x: x.0,
    d_queries: x.1
);

case!(
    pp_lm, 13_902,
    {
        input: Text { vocab: 30, max_len: 11, dim: 12 }, num_latents: 6, latent_dim: 16, cross_heads: 1,
        latent_heads: 2, cross_dim_head: 8, latent_dim_head: 8, depth: 2, cross_attends: 1, self_per_cross_attn: 1,
        output: Queries { queries: Input, query_residual: false, feed_forward: None, project: 30 },
    },
    IO.ids((2, 11)),
    |x| (x, IO.mask((2, 11))),
    (x.leaky_trace(), IO.mask((2, 11)))
);

case!(
    hf_learned, 622_389,
    {
        family: Transformers,
        input: Grid { shape: [5, 5, 3], stem: [Linear(256)], position: Learned { channels: 256, project: 256 } },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 2, self_per_cross_attn: 2,
        output: ClassQuery(5),
    },
    IO.tensor::<_, E>("x", (2, Const::<5>, Const::<5>, Const::<3>)),
    |x| x,
    x.leaky_trace(),
    d_x: x
);

case!(
    hf_flow, 448_078,
    {
        family: Transformers,
        input: Grid {
            shape: [2, 6, 4, 27], stem: [Patches([2, 1, 1]), Linear(64)],
            position: Fourier { bands: 64, max_freq: [6.0, 4.0] },
        },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 1, self_per_cross_attn: 2,
        output: Queries {
            queries: Input, heads: 1, qk_channels: 16, v_channels: 16, query_residual: false, project: 2, scale: 0.01,
        },
    },
    IO.tensor::<_, E>("x", (2, Const::<2>, Const::<6>, Const::<4>, Const::<27>)),
    |x| x,
    x.leaky_trace(),
    d_x: x
);

case!(
    hf_conv, 9_447,
    {
        family: Transformers,
        input: Grid {
            shape: [13, 11, 3], stem: [ConvPool(8)], position: Fourier { bands: 4, max_freq: [7.0, 6.0] },
        },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 1, self_per_cross_attn: 2,
        attn_dropout: 0.0, output: ClassQuery(5),
    },
    IO.tensor::<_, E>("x", (2, Const::<13>, Const::<11>, Const::<3>)),
    |x| x,
    x.leaky_trace(),
    d_x: x
);

/// In training a batch norm has the statistics of the batch, and keeps some of them.
#[test]
fn a_batch_norm_is_trained() {
    use perceiver::input::StemView;
    perceiver! {
        struct Model {
            family: Transformers,
            input: Grid {
                shape: [13, 11, 3], stem: [ConvPool(8)], position: Fourier { bands: 4, max_freq: [7.0, 6.0] },
            },
            num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 1, self_per_cross_attn: 2,
            attn_dropout: 0.0, output: ClassQuery(5),
        }
    }
    const IO: File = File(include_bytes!("family/hf_conv.io.safetensors"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), include_bytes!("family/hf_conv.safetensors")).unwrap();
    let mut model = Model::<f32, Cpu>::build(&Cpu::default());
    model.load_checkpoint(file.path()).unwrap();
    let x: Tensor<Rank4<2, 13, 11, 3>, f32, _> = IO.tensor("x", Default::default());
    let gradients = model.alloc_grads();
    let out = model.forward_mut(x.clone().traced(gradients));
    assert_close(&IO, "out_training", &out.retaped::<NoneTape>(), 1e-4);
    let gradients = out.square().mean().backward();
    Sgd::new(&model, SgdConfig::default()).update(&mut model, &gradients).unwrap();
    {
        let view = model.input.view();
        let [StemView::ConvPool(stem)] = &view.stem[..] else {
            panic!("{view:?}");
        };
        let kept =
            |vector: &Tensor<(perceiver::spec::Width,), f32, Cpu>| -> Tensor<(usize,), f32, _> {
                vector.clone().realize()
            };
        assert_close(&IO, "running_mean", &kept(stem.norm.running_mean), 1e-5);
        assert_close(&IO, "running_var", &kept(stem.norm.running_var), 1e-5);
    }
    assert_eq!(model.num_trainable_params(), Model::PARAMETERS);
    assert_eq!(model.summary().parameters(), Model::PARAMETERS);

    // A pass that is no training changes nothing.
    let before = model.forward(x.clone()).as_vec();
    _ = model.forward_mut(x.clone());
    assert_eq!(model.forward(x).as_vec(), before);
}

case!(
    resampler, 4_056,
    {
        input: Tokens(12), queries_contribute_kv: true, depth: 2, self_per_cross_attn: 0, num_latents: 4, latent_dim: 12,
        cross_heads: 2, cross_dim_head: 8, feed_forward: Gelu { mult: 4, bias: false }, attn_bias: false,
        final_norm: true, output: Latents,
    },
    IO.tensor::<_, E>("x", (2, 9, Const::<12>)),
    |x| (x, IO.mask((2, 9))),
    (x.leaky_trace(), IO.mask((2, 9))),
    d_x: x
);

/// Several inputs and outputs, whose reference gives and takes all numbers of the outputs in one row.
mod hf_modalities {
    use super::*;
    use perceiver::dfdx::tensor::Tape;

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

    const CHECKPOINT: File = File(include_bytes!("family/hf_modalities.safetensors"));
    const IO: File = File(include_bytes!("family/hf_modalities.io.safetensors"));

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
}

/// The tensors of a published model are those of its checkpoint, which is not here.
fn assert_published(model: &str, saved: &std::path::Path) {
    let published: BTreeMap<String, BTreeMap<String, Vec<usize>>> =
        serde_json::from_str(include_str!("family/published.json")).unwrap();
    // Only the header of the file, which is large.
    let mut saved = std::fs::File::open(saved).unwrap();
    let (mut len, mut header) = ([0; 8], Vec::new());
    saved.read_exact(&mut len).unwrap();
    saved.take(u64::from_le_bytes(len)).read_to_end(&mut header).unwrap();
    let mut saved: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header).unwrap();
    saved.remove("__metadata__");
    let shape =
        |tensor: &serde_json::Value| serde_json::from_value(tensor["shape"].clone()).unwrap();
    let saved: BTreeMap<_, _> =
        saved.iter().map(|(name, tensor)| (name.clone(), shape(tensor))).collect();
    assert_eq!(saved, published[model]);
}

#[test]
fn presets_are_the_published_models() {
    fn check<M>(name: &str, parameters: usize, save: impl FnOnce(&M, &std::path::Path))
    where
        M: BuildOnDevice<Cpu, f32, Built = M> + TensorCollection<f32, Cpu>,
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        let model = Cpu::default().build_module::<M, f32>();
        assert_eq!(model.num_trainable_params(), parameters, "{name}");
        save(&model, file.path());
        assert_published(name, file.path());
    }
    macro_rules! check {
        ($($Model:ident: $name:literal, $parameters:literal;)*) => {
            $(
                assert_eq!(presets::$Model::PARAMETERS, $parameters);
                let save = |model: &presets::$Model, file: &_| model.save_checkpoint(file).unwrap();
                check($name, $parameters, save);
            )*
        };
    }
    check! {
        VisionFourier: "vision-perceiver-fourier", 48_440_627;
        VisionLearned: "vision-perceiver-learned", 62_255_848;
        Language: "language-perceiver", 201_108_230;
        VisionConv: "vision-perceiver-conv", 48_646_522;
        Flow: "optical-flow-perceiver", 41_057_134;
        Video: "multimodal-perceiver", 19_858_855;
    }
}

/// What the references count for the models in their documentation.
#[test]
fn parameters_of_the_references() {
    perceiver! {
        /// The encoder of `presets::Language` under a classifier of two labels.
        struct Sentiment {
            family: Transformers, input: Text { vocab: 262, max_len: 2048, dim: 768 }, num_latents: 256,
            latent_dim: 1280, qk_channels: 256, v_channels: 1280, depth: 1, self_per_cross_attn: 26,
            output: ClassQuery(2),
        }

        /// perceiver-pytorch's `PerceiverIO`.
        struct Io {
            input: Tokens(32), depth: 6, cross_attends: 1, self_per_cross_attn: 1, num_latents: 256, latent_dim: 512,
            output: Queries { queries: Given(32), query_residual: false, feed_forward: None, project: 100 },
        }

        /// The same with all of its options.
        struct Tied {
            input: Tokens(32), depth: 6, cross_attends: 1, self_per_cross_attn: 1, num_latents: 256, latent_dim: 512,
            share: All, attn_residual: true, output: Queries { queries: Given(32), project: 100 },
        }

        /// perceiver-pytorch's `PerceiverLM`.
        struct Lm {
            input: Text { vocab: 20_000, max_len: 2048, dim: 32 }, depth: 6, cross_attends: 1, self_per_cross_attn: 1,
            num_latents: 256, latent_dim: 512,
            output: Queries { queries: Input, query_residual: false, feed_forward: None, project: 20_000 },
        }

        /// perceiver-io's Perceiver AR of bytes.
        struct Bytes {
            family: PerceiverAr,
            input: Text { vocab: 262, max_len: 4096, dim: 512, position: [Learned, Rotary(0.5)] },
            latents: Last(512), depth: 1, self_per_cross_attn: 8, rotary_layers: 1, prefix_dropout: 0.5,
            output: Embedding,
        }
    }
    assert_eq!(Bytes::PARAMETERS, 30_563_078);
    assert_eq!(Sentiment::PARAMETERS, 206_098_690);
    assert_eq!(Io::PARAMETERS, 28_636_548);
    assert_eq!(Tied::PARAMETERS, 7_707_876);
    assert_eq!(Lm::PARAMETERS, 29_998_784);
}

/// Many queries are decoded in chunks when gradients are not tracked.
#[test]
fn chunks_of_queries_are_all_queries() {
    perceiver! {
        struct Model { input: Tokens(3), num_latents: 2, latent_dim: 4, depth: 1, output: Queries { queries: Given(2), project: 3 } }
    }
    let dev = Cpu::seed_from_u64(5);
    let model = dev.build_module::<Model, f32>();
    let x: Tensor<Rank3<2, 5, 3>, f32, _> = dev.sample_normal();
    let queries: Tensor<Rank3<2, 9000, 2>, f32, _> = dev.sample_normal();
    let in_chunks = model.forward((x.clone(), queries.clone()));
    let at_once = model.forward((x.leaky_trace(), queries)).split_tape().0;
    for (a, b) in in_chunks.as_vec().into_iter().zip(at_once.as_vec()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

/// Queries that do not fit the input are errors that say so.
#[test]
fn queries_that_do_not_fit_are_errors() {
    use perceiver::ForwardError;
    perceiver! {
        struct Model { input: Tokens(3), num_latents: 2, latent_dim: 4, depth: 1, output: Queries { queries: Given(2) } }
    }
    let dev = Cpu::default();
    let model = dev.build_module::<Model, f32>();
    let run = |batch, queries| {
        let x: Tensor<_, f32, _> = dev.ones_like(&(2, 5, Const::<3>));
        let queries: Tensor<_, f32, _> = dev.ones_like(&(batch, queries, Const::<2>));
        model.try_forward((x, queries)).map(|out| *out.shape())
    };
    assert_eq!(run(2, 3).unwrap(), (2, 3, Const));
    assert!(matches!(run(1, 3), Err(ForwardError::QueryBatch { queries: 1, input: 2 })));
    assert!(matches!(run(2, 0), Err(ForwardError::NoQueries)));
}

/// Weights start from N(0, 0.02²) and biases from 0.
#[test]
fn a_model_of_transformers_starts_as_theirs() {
    let deviation = |numbers: &[f32]| {
        let squares = numbers.iter().map(|x| f64::from(x * x)).sum::<f64>();
        (squares / numbers.len() as f64).sqrt()
    };
    perceiver! {
        struct Model {
            family: Transformers, input: Tokens(64), num_latents: 64, latent_dim: 64, cross_heads: 1, depth: 2,
            self_per_cross_attn: 1, output: ClassQuery(64),
        }
    }
    let mut model = Cpu::seed_from_u64(3).build_module::<Model, f32>();
    for _ in 0..2 {
        let (layers, output) = (model.layers.view(), model.output.view());
        let cross = layers[0].cross.as_ref().unwrap();
        let feed_forward = cross.feed_forward.as_ref().unwrap();
        let output_linear = output.linear.as_ref().unwrap();
        let weights = [
            model.latents.as_vec(),
            cross.attention.to_kv.weight.as_vec(),
            layers[0].latent[0].feed_forward.as_ref().unwrap().expand.weight.as_vec(),
            output_linear.weight.as_vec(),
        ];
        for weights in weights {
            assert!((deviation(&weights) / 0.02 - 1.0).abs() < 0.1);
        }
        assert!(deviation(&output.query.unwrap().as_vec()) < 0.04);
        let biases = [cross.attention.to_kv.bias, feed_forward.contract.bias, output_linear.bias];
        for bias in biases {
            assert_eq!(deviation(&bias.unwrap().as_vec()), 0.0);
        }
        model.reset_params();
    }
}

/// What the constants of a model say of its heads, and which layers there are.
#[test]
fn widths_and_layers_are_as_declared() {
    perceiver! {
        struct Wide {
            family: Transformers, input: Tokens(6), num_latents: 4, latent_dim: 12, cross_heads: 2, latent_heads: 3,
            qk_channels: 6, v_channels: 12, depth: 3, self_per_cross_attn: 1, output: Latents,
        }

        struct Resampler {
            input: Tokens(6), num_latents: 4, latent_dim: 8, cross_dim_head: 4, depth: 3, self_per_cross_attn: 0,
            feed_forward: Gelu { mult: 2, bias: false }, attn_bias: false, share: All, cross_attends: 2,
            output: Latents,
        }
    }
    let dev = Cpu::default();
    let (wide, resampler) = (dev.build_module::<Wide, f32>(), dev.build_module::<Resampler, f32>());
    assert_eq!((Wide::CROSS_DIM_HEAD, Wide::LATENT_DIM_HEAD, Wide::CROSS_ATTENDS), (3, 2, 1));
    assert_eq!(wide.num_trainable_params(), Wide::PARAMETERS);
    let layers = wide.layers.view();
    assert_eq!((layers.len(), layers[0].latent.len()), (1, 1));
    assert_eq!(layers[0].cross.as_ref().unwrap().attention.to_kv.weight.as_vec().len(), 18 * 6);

    assert_eq!(resampler.num_trainable_params(), Resampler::PARAMETERS);
    let layers = resampler.layers.view();
    let cross = layers[0].cross.as_ref().unwrap();
    let feed_forward = cross.feed_forward.as_ref().unwrap();
    assert!(layers.len() == 1 && layers[0].latent.is_empty());
    assert!(cross.attention.to_out.bias.is_none() && feed_forward.expand.bias.is_none());
    assert_eq!(feed_forward.expand.weight.as_vec().len(), 16 * 8);
    let tokens: Tensor<Rank3<2, 5, 6>, f32, _> = dev.sample_normal();
    assert_eq!(resampler.forward(tokens).as_vec().len(), 2 * 4 * 8);
}

case!(
    ar, 13_422,
    {
        family: PerceiverAr, input: Text { vocab: 30, max_len: 20, dim: 16, position: [Learned, Rotary(0.5)] },
        latents: Last(6), cross_heads: 2, latent_heads: 2, depth: 1, self_per_cross_attn: 3, prefix_dropout: 0.5,
        rotary_layers: 1, output: Embedding,
    },
    IO.ids((2, 16)),
    |x| (x, 10),
    (x.leaky_trace(), 10)
);

case!(
    ar_rotary, 21_864,
    {
        family: PerceiverAr, input: Text { vocab: 30, max_len: 18, dim: 24, position: [Rotary(1.0)] },
        latents: Last(8), cross_heads: 3, latent_heads: 3, depth: 1, self_per_cross_attn: 2, prefix_dropout: 0.5,
        rotary_layers: All, final_norm: true, output: Embedding { bias: false },
    },
    IO.ids((2, 14)),
    |x| (x, 6),
    (x.leaky_trace(), 6)
);
