//! Trains a masked language model of bytes on a book, and fills in blanks: `cargo run --release --example fill_in`;
//! add `--features cuda` to run on a GPU, or `-- --text "the cl_ck str_ck t_n"` to fill in your own.
//!
//! The model is a Perceiver IO, as `perceiver::presets::Language` is, and learns from the stories of Sherlock Holmes in
//! `examples/text`. Their last tenth is held out: 15 % of its bytes are hidden, in spans of one to three bytes, which may
//! touch. The model and the baselines predict the same ones.

mod baseline;
#[path = "../common/mod.rs"]
mod common;
mod data;
mod fill;
mod score;
mod start;
#[path = "../text/mod.rs"]
mod text;
mod train;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use perceiver::prelude::*;
use plotters::style::{BLUE, RED};
use rand::SeedableRng;
use rand::rngs::StdRng;

use baseline::{Neighbours, frequencies};
use common::picture::{self, Line};
use data::{VOCAB, Window};
use score::score;

perceiver! {
    /// Predicts the hidden bytes of a text.
    pub struct Masked {
        input: Text { vocab: VOCAB, max_len: LEN, dim: DIM },
        num_latents: 32,
        latent_dim: 128,
        cross_heads: 8,
        cross_dim_head: 16,
        latent_heads: 8,
        latent_dim_head: 16,
        depth: 1,
        self_per_cross_attn: 2,
        feed_forward: Gelu(2),
        output: Queries { queries: Learned([LEN, DIM]), project: Embedding },
    }
}

/// Trains a masked language model, tests it on text that it has not seen, and fills in blanks.
#[derive(Parser)]
struct Arguments {
    /// A text to fill in, with a `_` for each byte to guess.
    #[arg(long)]
    text: Option<String>,
    /// The number of training steps.
    #[arg(long, default_value_t = 4500, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// A checkpoint to use in place of training.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The picture to write, of the training.
    #[arg(long, default_value = "fill_in.png")]
    output: PathBuf,
    /// The seed for the initial parameters, the windows and the hidden bytes.
    #[arg(long, default_value_t = 2)]
    seed: u64,
}

/// The width of a token.
const DIM: usize = 64;
/// The number of bytes in a window.
const LEN: usize = 32;
/// The share of bytes that are hidden in testing.
const HIDDEN: f64 = 0.15;
/// The number of held-out texts whose blanks are filled in at the end.
const EXAMPLES: usize = 5;

type Model = Masked<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let blanks = arguments.text.as_deref().map(fill::parse).transpose()?;
    let start = Instant::now();
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (train, test) = text::split(text::load());
    let windows: Vec<Window> = test
        .as_bytes()
        .chunks_exact(LEN)
        .map(|bytes| Window::masked(bytes, HIDDEN, &mut rng))
        .collect();
    println!("{} bytes to learn from, {} held out\n", train.len(), test.len());
    let neighbours = Neighbours::count(train.as_bytes());
    let [one, two] = [1, 2].map(|side| neighbours.score(&windows, side));
    let baselines = format!(
        "hidden bytes of held-out text, predicted from\n\
        \x20 how frequent bytes are:            {}\n\
        \x20 counts of one byte on each side:   {one}\n\
        \x20 counts of two bytes on each side:  {two}\n",
        frequencies(train.as_bytes(), &windows),
    );
    println!("{baselines}");

    let mut model = dev.build_module::<Masked, f32>();
    if let Some(checkpoint) = &arguments.checkpoint {
        model.load_checkpoint(checkpoint)?;
    } else {
        println!("{}\n", model.summary());
        start::at_places(&mut model);
        let bits = train::learn(
            &mut model,
            train.as_bytes(),
            &windows,
            arguments.steps.into(),
            &dev,
            &mut rng,
        )?;
        println!("\ntrained in {:.1} s", start.elapsed().as_secs_f32());
        draw(bits, two.bits_per_byte(), &arguments.output)?;
        model = reloaded(model, &windows, &dev)?;
    }

    println!("\nblanks in held-out text");
    for example in fill::examples(test, EXAMPLES, &mut rng) {
        println!("  blank:  {}", fill::blanked(&example));
        println!("  truth:  {}", String::from_utf8_lossy(&example.bytes));
        println!("  filled: {}\n", fill::fill(&model, example, &dev)?);
    }
    if let Some(blanks) = blanks {
        println!("your text\n  {}\n", fill::fill(&model, blanks, &dev)?);
    }

    println!("{baselines}  the text around them, this model:  {}", score(&model, &windows, &dev)?);
    Ok(())
}

/// Draws the bits per hidden byte after some steps, and those of counts.
fn draw(bits: Vec<(f64, f64)>, of_counts: f64, path: &Path) -> Result<()> {
    let last = bits.last().map_or(0.0, |(step, _)| *step);
    let lines = [
        Line::level("counts of two bytes on each side", RED, last, of_counts),
        Line::new("this model", BLUE, bits),
    ];
    picture::chart("Bits per hidden byte of held-out text", ["step", "bits"], &lines, path)?;
    println!("picture: {}", path.display());
    Ok(())
}

/// Saves the model and loads it into a new one, which predicts the same.
fn reloaded(model: Model, windows: &[Window], dev: &AutoDevice) -> Result<Model> {
    let path = std::env::temp_dir().join("perceiver-fill-in.safetensors");
    model.save_checkpoint(&path)?;
    let mut loaded = dev.build_module::<Masked, f32>();
    loaded.load_checkpoint(&path)?;
    let same = |model: &Model| score::predict(model, &windows[..1], dev);
    ensure!(
        same(&loaded)? == same(&model)?,
        "a model loaded from {} predicts other bytes",
        path.display()
    );
    println!("checkpoint: {}; loaded into a new model, it predicts the same", path.display());
    Ok(loaded)
}
