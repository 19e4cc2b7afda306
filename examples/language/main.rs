//! Trains a Perceiver AR on the bytes of a book, and continues a text: `cargo run --release --example language`; add
//! `--features cuda` to run on a GPU, or `-- --prompt "I had called upon"` to continue your own text.
//!
//! The book is in `examples/text`; its last tenth is held out. The model predicts each byte from those before it, up to
//! 128, and is compared with counts of up to five bytes.

#[path = "../common/mod.rs"]
mod common;
mod score;
#[path = "../text/mod.rs"]
mod text;
mod train;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use perceiver::WeightPrecision;
use perceiver::generate::{Options, Sampling};
use perceiver::prelude::*;
use plotters::style::{BLUE, RED};
use rand::SeedableRng;
use rand::rngs::StdRng;

use common::counts::Counts;
use common::picture::{self, Line};

perceiver! {
    /// Predicts the next byte of a text.
    pub struct Bytes {
        family: PerceiverAr,
        input: Text { vocab: 128, max_len: 128, dim: 128, position: [Rotary(1.0)] },
        latents: Last(96),
        depth: 1,
        self_per_cross_attn: 2,
        cross_heads: 4,
        latent_heads: 4,
        prefix_dropout: 0.0,
        rotary_layers: All,
        output: Embedding,
    }
}

/// Trains a language model, tests it on text that it has not seen, and continues a text.
#[derive(Parser)]
struct Arguments {
    /// The text to continue.
    #[arg(long, default_value = "\"My dear Watson,\" said Holmes, \"")]
    prompt: String,
    /// The number of bytes to add.
    #[arg(long, default_value_t = 400)]
    bytes: usize,
    /// The number of passes over the book.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// A checkpoint to use in place of training.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The picture to write, of the training.
    #[arg(long, default_value = "language.png")]
    output: PathBuf,
    /// The seed for the initial parameters, the order of the windows, and the continuation.
    #[arg(long, default_value_t = 2)]
    seed: u64,
}

type Model = Bytes<f32, AutoDevice>;

/// The largest order of the counts: how many bytes they predict the next one from.
const ORDER: usize = 5;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let prompt = arguments.prompt.as_bytes();
    ensure!(!prompt.is_empty() && prompt.is_ascii(), "the prompt must be ASCII, and not empty");
    let start = Instant::now();
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (train, test) = text::split(text::load());
    let (train, test) = (train.as_bytes(), test.as_bytes());
    println!("{} bytes to learn from, {} held out\n", train.len(), test.len());
    let of_counts = counted(train, test);
    println!("counts of up to {ORDER} bytes: {of_counts:.3} bits per held-out byte\n");

    let mut model = dev.build_module::<Bytes, f32>();
    if let Some(checkpoint) = &arguments.checkpoint {
        model.load_checkpoint(checkpoint)?;
    } else {
        println!("{}\n", model.summary());
        let bits = train::learn(&mut model, train, test, arguments.epochs, &dev, &mut rng)?;
        println!("\ntrained in {:.1} s", start.elapsed().as_secs_f32());
        draw(&bits, of_counts, &arguments.output)?;
        model = reloaded(model, test, &dev)?;
    }
    println!("\nbits per held-out byte");
    println!("  counts of up to {ORDER} bytes:  {of_counts:.3}");
    println!("  this model:               {:.3}", score::bits(&model, test, &dev)?);
    for weights in [WeightPrecision::Bf16, WeightPrecision::Int8, WeightPrecision::Int8Dynamic] {
        let mut rounded = model.clone();
        rounded.prepare_for_inference_in(weights);
        let bits = score::bits(&rounded, test, &dev)?;
        println!("  weights in {:<15}{bits:.3}", format!("{weights:?}:"));
    }
    continue_text(&model, prompt, &arguments, &dev)
}

/// Bits per byte of a text, by counts of another one.
fn counted(train: &[u8], test: &[u8]) -> f64 {
    // The nearest first.
    let context = |text: &[u8], i: usize| -> Vec<u8> {
        text[i.saturating_sub(ORDER)..i].iter().rev().copied().collect()
    };
    let mut counts = Counts::new(256);
    (0..train.len()).for_each(|i| counts.add(&context(train, i), train[i]));
    let bits = (0..test.len()).map(|i| -counts.probability(&context(test, i), test[i]).log2());
    bits.sum::<f64>() / test.len() as f64
}

/// Saves the model and loads it into a new one, which predicts the same.
fn reloaded(model: Model, test: &[u8], dev: &AutoDevice) -> Result<Model> {
    let path = std::env::temp_dir().join("perceiver-language.safetensors");
    model.save_checkpoint(&path)?;
    let mut loaded = dev.build_module::<Bytes, f32>();
    loaded.load_checkpoint(&path)?;
    let few = &test[..1000];
    ensure!(
        score::bits(&loaded, few, dev)? == score::bits(&model, few, dev)?,
        "a model loaded from {} predicts other bytes",
        path.display()
    );
    println!("checkpoint: {}; loaded into a new model, it predicts the same", path.display());
    Ok(loaded)
}

/// Draws the bits per held-out byte after each epoch, and those of counts.
fn draw(bits: &[f64], of_counts: f64, path: &Path) -> Result<()> {
    let points: Vec<_> = (1..).map(f64::from).zip(bits.iter().copied()).collect();
    let lines = [
        Line::level(format!("counts of up to {ORDER} bytes"), RED, points.len() as f64, of_counts),
        Line::new("this model", BLUE, points),
    ];
    picture::chart("Bits per held-out byte", ["epoch", "bits"], &lines, path)?;
    println!("picture: {}", path.display());
    Ok(())
}

/// Prints the prompt and what the model adds, byte by byte.
fn continue_text(
    model: &Model,
    prompt: &[u8],
    arguments: &Arguments,
    dev: &AutoDevice,
) -> Result<()> {
    let first = prompt.len().saturating_sub(Bytes::MAX_LEN);
    let ids: Vec<usize> = prompt[first..].iter().map(|byte| usize::from(*byte)).collect();
    let prompts = dev.tensor_from_vec(ids.clone(), (1, ids.len()));
    let options = Options {
        max_new_tokens: arguments.bytes,
        num_latents: ids.len().min(Bytes::NUM_LATENTS / 2),
        sampling: Sampling::Random { temperature: 0.7, top_k: None, top_p: Some(0.95) },
        seed: arguments.seed,
        ..Options::default()
    };
    print!("\n{}", arguments.prompt);
    let start = Instant::now();
    for tokens in model.generation(&prompts, &options)? {
        for byte in tokens?.into_iter().flatten().filter_map(|id| u8::try_from(id).ok()) {
            print!("{}", char::from(byte));
        }
        std::io::stdout().flush()?;
    }
    let speed = arguments.bytes as f32 / start.elapsed().as_secs_f32();
    println!("\n\n{speed:.0} bytes per second");
    Ok(())
}
