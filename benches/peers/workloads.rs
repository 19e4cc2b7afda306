//! What is compared: the declarations, and one pass or step of each. `workloads.py` has the same for the peers.

use std::path::{Path, PathBuf};

use ::safetensors::SafeTensors;
use anyhow::{Context, Result, bail};
use perceiver::WeightPrecision;
use perceiver::generate::Options;
use perceiver::prelude::*;
use perceiver::presets::{
    Flow, Language, Video, VideoInput, VideoOutput, VisionConv, VisionFourier, VisionLearned,
};
use perceiver::train::{AdamW, AdamWConfig, cross_entropy};

perceiver! {
    /// The model of the PyTorch package's README.
    struct ReadMe {
        input_channels: 3,
        input_axis: 2,
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_latents: 256,
        latent_dim: 512,
        cross_heads: 1,
        latent_heads: 8,
        cross_dim_head: 64,
        latent_dim_head: 64,
        num_classes: 1000,
    }
}

perceiver! {
    /// The widths the paper has for ImageNet: tokens of 3 + 2 · 129 channels.
    struct Paper {
        input_channels: 3,
        input_axis: 2,
        num_freq_bands: 64,
        max_freq: 224.0,
        depth: 2,
        num_latents: 512,
        latent_dim: 1024,
        cross_heads: 1,
        latent_heads: 8,
        cross_dim_head: 64,
        latent_dim_head: 64,
        num_classes: 1000,
    }
}

perceiver! {
    /// The byte-level Perceiver AR of perceiver-io's README.
    struct Bytes {
        family: PerceiverAr,
        input: Text { vocab: 262, max_len: 4096, dim: 512 },
        latents: Last(512),
        depth: 1,
        self_per_cross_attn: 8,
        output: Embedding,
    }
}

perceiver! {
    /// A model for small grey images.
    struct Small {
        input_channels: 1,
        input_axis: 2,
        num_freq_bands: 6,
        max_freq: 28.0,
        depth: 2,
        num_latents: 32,
        latent_dim: 64,
        cross_heads: 1,
        latent_heads: 4,
        cross_dim_head: 64,
        latent_dim_head: 16,
        num_classes: 10,
        weight_tie_layers: true,
    }
}

/// As in `workloads.py`. So small that the loss does not reach 0, where gradients are denormal numbers and slow,
/// however often a step is timed.
const LEARNING_RATE: f64 = 1e-6;

type Image<const CHANNELS: usize, T = NoneTape> =
    Tensor<(usize, usize, usize, Const<CHANNELS>), f32, AutoDevice, T>;
type Vision = Rank4<1, 224, 224, 3>;
type Logits<const CLASSES: usize, T = NoneTape> =
    Tensor<(usize, Const<CLASSES>), f32, AutoDevice, T>;
type Taped = OwnedTape<f32, AutoDevice>;
type DeviceError = <AutoDevice as HasErr>::Err;

/// The GPU with the feature `cuda`, else the CPU.
fn device() -> Result<AutoDevice> {
    #[cfg(feature = "cuda")]
    let dev = perceiver::cuda::device(0)?;
    #[cfg(not(feature = "cuda"))]
    let dev = Cpu::seed_from_u64(0);
    Ok(dev)
}

/// A workload that is ready to run.
pub struct Workload {
    /// Runs once: a forward pass gives its output, a training step the loss it started with.
    pub run: Box<dyn FnMut() -> Vec<f32>>,
    /// What the first runs give, by PyTorch in float64; empty without a folder.
    pub expected: Vec<f32>,
}

/// The workload of that name, with weights and input from the folder that `compare.py` prepared, or random ones. Behind the
/// name there may be `:bf16` or `:int8`, in which weights are stored for inference.
pub fn load(name: &str, folder: Option<&Path>) -> Result<Workload> {
    let (name, weights) = match name.split_once(':') {
        None => (name, WeightPrecision::F32),
        Some((name, "bf16")) => (name, WeightPrecision::Bf16),
        Some((name, "int8")) => (name, WeightPrecision::Int8),
        Some((name, "int8-dynamic")) => (name, WeightPrecision::Int8Dynamic),
        Some((_, weights)) => bail!("there are no weights in `{weights}`"),
    };
    let dev = device()?;
    /// A model with the weights of the folder, if there is one.
    macro_rules! model {
        ($Model:ident) => {{
            let mut model = dev.build_module::<$Model, f32>();
            if let Some(folder) = folder {
                model.load_checkpoint(folder.join(concat!(stringify!($Model), ".safetensors")))?;
            }
            model
        }};
    }
    macro_rules! inference {
        ($Model:ident) => {{
            let mut model = model!($Model);
            model.prepare_for_inference_in(weights);
            model
        }};
    }
    let data = Data::read(name, folder, dev.clone())?;
    Ok(match name {
        "readme-forward" => forward(inference!(ReadMe), data.input(images::<3>(1, 224)), data),
        "readme-forward-8" => forward(inference!(ReadMe), data.input(images::<3>(8, 224)), data),
        "readme-forward-32" => forward(inference!(ReadMe), data.input(images::<3>(32, 224)), data),
        "readme-training" => training(model!(ReadMe), data, images::<3>(1, 224)),
        "readme-training-8" => training(model!(ReadMe), data, images::<3>(8, 224)),
        "readme-training-32" => training(model!(ReadMe), data, images::<3>(32, 224)),
        "paper-forward" => forward(inference!(Paper), data.input(images::<3>(1, 224)), data),
        "small-forward" => forward(inference!(Small), data.input(images::<1>(1, 28)), data),
        "small-training" => training(model!(Small), data, images::<1>(32, 28)),
        "million-forward" => forward(inference!(ReadMe), data.input(images::<3>(1, 1024)), data),
        "vision" => forward(inference!(VisionFourier), data.input(Vision::default()), data),
        "vision-learned" => forward(inference!(VisionLearned), data.input(Vision::default()), data),
        "vision-conv" => forward(inference!(VisionConv), data.input(Vision::default()), data),
        "language" => {
            forward(inference!(Language), data.ids(Rank2::<1, 2048>::default(), 262), data)
        }
        "ar-prompt" => forward(inference!(Bytes), data.ids(Rank2::<1, 4096>::default(), 262), data),
        "ar-generate" => generate(inference!(Bytes), data),
        "flow" => {
            forward(inference!(Flow), data.input(Rank5::<1, 2, 368, 496, 27>::default()), data)
        }
        "video" => video(inference!(Video), data),
        _ => bail!("there is no workload `{name}`"),
    })
}

/// The shape of square images.
fn images<const CHANNELS: usize>(
    count: usize,
    side: usize,
) -> (usize, usize, usize, Const<CHANNELS>) {
    (count, side, side, Const)
}

fn forward<M, X, S>(model: M, input: X, data: Data) -> Workload
where
    M: Module<X, Output = Tensor<S, f32, AutoDevice>, Error = DeviceError> + 'static,
    X: Clone + 'static,
    S: Shape,
{
    Workload {
        run: Box::new(move || model.forward(input.clone()).as_vec()),
        expected: data.expected,
    }
}

/// So many tokens after a prompt, from so many latents, as in `causal.py`.
fn generate(model: Bytes<f32, AutoDevice>, data: Data) -> Workload {
    let prompt = data.ids(Rank2::<1, 1024>::default(), Bytes::VOCAB);
    let options = Options { max_new_tokens: 64, num_latents: 256, ..Options::default() };
    let run = move || {
        let texts = model.generate(&prompt, &options).unwrap();
        texts.concat().into_iter().map(|token| token as f32).collect()
    };
    Workload { run: Box::new(run), expected: data.expected }
}

/// Sound, frames and a class are in one row, on both sides.
fn video(model: Video<f32, AutoDevice>, data: Data) -> Workload {
    type Audio = Rank3<1, 30720, 1>;
    type Image = Rank5<1, 16, 224, 224, 3>;
    type Label = Rank2<1, 700>;
    let sizes = [Audio::NUMEL, Image::NUMEL, Label::NUMEL];
    let row = data.input((sizes.iter().sum::<usize>(),)).as_vec();
    let (audio, rest) = row.split_at(sizes[0]);
    let (image, label) = rest.split_at(sizes[1]);
    let input = VideoInput {
        audio: data.dev.tensor_from_vec(audio.to_vec(), Audio::default()),
        image: data.dev.tensor_from_vec(image.to_vec(), Image::default()),
        label: data.dev.tensor_from_vec(label.to_vec(), Label::default()),
    };
    let run = move || {
        let VideoOutput { audio, image, label } = model.forward(input.clone());
        [audio.as_vec(), image.as_vec(), label.as_vec()].concat()
    };
    Workload { run: Box::new(run), expected: data.expected }
}

fn training<M, const CHANNELS: usize, const CLASSES: usize>(
    mut model: M,
    data: Data,
    shape: (usize, usize, usize, Const<CHANNELS>),
) -> Workload
where
    M: ModuleMut<Image<CHANNELS, Taped>, Output = Logits<CLASSES, Taped>, Error = DeviceError>
        + TensorCollection<f32, AutoDevice>
        + 'static,
{
    let images = data.input(shape);
    // Image `i` shows class `i` modulo the number of classes.
    let classes: Vec<usize> = (0..shape.0).map(|i| i % CLASSES).collect();
    let targets = images.device().tensor_from_vec(classes, (shape.0,));
    // Without weight decay it is Adam.
    let config =
        AdamWConfig { learning_rate: LEARNING_RATE, weight_decay: 0.0, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(&model, config).unwrap();
    let mut grads = Some(model.alloc_grads());
    let run = move || {
        let traced = images.clone().traced(grads.take().unwrap());
        let loss = cross_entropy(model.forward_mut(traced), &targets).unwrap();
        let value = loss.array();
        grads = Some(optimizer.step(&mut model, loss.backward()).unwrap());
        // A GPU runs on while the next step is prepared; a step that is timed has to be over.
        images.device().synchronize();
        vec![value]
    };
    Workload { run: Box::new(run), expected: data.expected }
}

/// The input of a workload and what it has to give.
struct Data {
    dev: AutoDevice,
    input: Option<Vec<u8>>,
    expected: Vec<f32>,
}

impl Data {
    fn read(name: &str, folder: Option<&Path>, dev: AutoDevice) -> Result<Self> {
        let Some(folder) = folder else {
            return Ok(Self { dev, input: None, expected: Vec::new() });
        };
        let path: PathBuf = folder.join(format!("{name}.io.safetensors"));
        let bytes = std::fs::read(&path)
            .with_context(|| format!("{}: made by compare.py", path.display()))?;
        let tensors = SafeTensors::deserialize(&bytes)?;
        let input = tensors.tensor("input")?.data().to_vec();
        Ok(Self { dev, input: Some(input), expected: floats(tensors.tensor("expected")?.data()) })
    }

    fn input<S: Shape>(&self, shape: S) -> Tensor<S, f32, AutoDevice> {
        match &self.input {
            Some(bytes) => self.dev.tensor_from_vec(floats(bytes), shape),
            None => self.dev.sample_normal_like(&shape),
        }
    }

    /// Ids below `vocab`.
    fn ids<S: Shape>(&self, shape: S, vocab: usize) -> Tensor<S, usize, AutoDevice> {
        let ids = match &self.input {
            Some(bytes) => {
                bytes.as_chunks().0.iter().map(|id| i64::from_le_bytes(*id) as usize).collect()
            }
            None => (0..shape.num_elements()).map(|i| i * 7 % vocab).collect(),
        };
        self.dev.tensor_from_vec(ids, shape)
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect()
}
