//! Declared models have the tensors of published ones, and as many parameters as their references count.

use std::collections::BTreeMap;
use std::io::Read;

use perceiver::dfdx::nn::BuildOnDevice;
use perceiver::dfdx::nn::tensor_collection::TensorCollection;
use perceiver::prelude::*;
use perceiver::presets;

/// The tensors of a published model are those of its checkpoint, which is not here.
fn assert_published(model: &str, saved: &std::path::Path) {
    let published: BTreeMap<String, BTreeMap<String, Vec<usize>>> =
        serde_json::from_str(include_str!("published.json")).unwrap();
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
