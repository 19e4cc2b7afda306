//! Trains a Perceiver IO to tag each letter of a text: `cargo run --release --example tagging`; add `--features cuda` to run on a
//! GPU.
//!
//! The model gets the letters of a book, `itismyduty`, and says for each one whether it is a capital and what comes after it, so that
//! the text can be restored: `It is my duty`. The book is in `examples/text`; its last tenth is held out. The model is compared with
//! counts of the letters on both sides.

#[path = "../common/mod.rs"]
mod common;
mod letters;
#[path = "../text/mod.rs"]
mod text;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Batches, cross_entropy};
use plotters::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use common::picture;
use letters::{Letter, TAGS};

/// The letters that the model sees at once, and how many of them are there for the tags of the others alone, on each side.
const LEN: usize = 64;
const MARGIN: usize = 16;
const BATCH: usize = 16;
const LEARNING_RATE: f64 = 3e-3;

perceiver! {
    /// A tag for each letter. A token is a letter with its neighbours.
    pub struct Tagger {
        input: Grid {
            shape: [LEN, letters::TOKEN],
            stem: [Linear(96)],
            position: Fourier { bands: 16, max_freq: 64.0 },
        },
        depth: 2,
        num_latents: 32,
        latent_dim: 64,
        cross_heads: 4,
        cross_dim_head: 16,
        latent_heads: 4,
        latent_dim_head: 16,
        feed_forward: Geglu(2),
        output: Queries { queries: Input, query_residual: true, project: TAGS },
    }
}

/// Trains a Perceiver to restore capitals, spaces and punctuation, and tests it on text that it has not seen.
#[derive(Parser)]
struct Arguments {
    /// The number of epochs, of 6,400 windows each.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// The seed for the initial parameters and the windows.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// The picture to write.
    #[arg(long, default_value = "tagging.png")]
    output: PathBuf,
}

type Model = Tagger<f32, AutoDevice>;
type Tokens = Tensor<(usize, Const<LEN>, Const<{ letters::TOKEN }>), f32, AutoDevice>;
type Tags = Tensor<(usize, Const<LEN>), usize, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (train, test) = text::split(text::load());
    let (train, test) = (letters::of(train), letters::of(test));
    println!("{} letters to learn from, {} held out\n", train.len(), test.len());
    let counted: Vec<Vec<u8>> =
        [1, 2, 3].map(|side| letters::counted(&train, &test, side)).to_vec();

    let mut model = dev.build_module::<Tagger, f32>();
    println!("{}\n", model.summary());
    learn(&mut model, &train, &test, arguments.epochs, &dev, &mut rng)?;
    println!("\ntrained in {:.1} s\n", start.elapsed().as_secs_f32());

    let tagged = tag(&model, &test, &dev)?;
    println!("held-out text                          tags of letters   whole words");
    let row = |name: &str, tags: &[u8]| {
        let (letters, words) = (letters::right(&test, tags), letters::words(&test, tags));
        println!("  {name:<34}{letters:14.1} %{words:12.1} %");
    };
    for (side, tags) in (1..).zip(&counted) {
        row(&format!("counts of {side} letters on each side"), tags);
    }
    row("this model", &tagged);
    draw(&test, &counted[2], &tagged, &arguments)
}

fn learn(
    model: &mut Model,
    train: &[Letter],
    test: &[Letter],
    epochs: u64,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let config = AdamWConfig { max_norm: Some(1.0), ..AdamWConfig::default() };
    let optimizer = AdamW::new(model, config)?;
    let batches = Batches::new(6400, BATCH, 1);
    let loss = |model: &mut Model, numbers: Vec<usize>, gradients| {
        let mut start = || rng.random_range(0..=train.len() - LEN);
        let starts: Vec<usize> = numbers.iter().map(|_| start()).collect();
        let (tokens, tags) = windows(train, &starts, dev);
        let logits = model.try_forward_mut(tokens.traced(gradients))?;
        Ok(cross_entropy(logits, &tags)?)
    };
    common::train(model, optimizer, LEARNING_RATE, &batches, epochs, loss, |model| {
        let share = letters::right(test, &tag(model, test, dev)?);
        Ok(format!("{share:.1} % of held-out tags"))
    })
}

/// The tokens and the tags of windows that begin at these places.
fn windows(text: &[Letter], starts: &[usize], dev: &AutoDevice) -> (Tokens, Tags) {
    let places = || starts.iter().flat_map(|start| *start..start + LEN);
    let tokens = places().flat_map(|i| letters::token(text, i)).collect();
    let tags = places().map(|i| usize::from(text[i].tag)).collect();
    (
        dev.tensor_from_vec(tokens, (starts.len(), Const, Const)),
        dev.tensor_from_vec(tags, (starts.len(), Const)),
    )
}

/// The tags of a text by the model.
fn tag(model: &Model, letters: &[Letter], dev: &AutoDevice) -> Result<Vec<u8>> {
    let last = letters.len() - LEN;
    // The windows overlap, so that no tag but the first and the last ones is near an end. The last window ends with the text.
    let mut starts: Vec<usize> = (0..last).step_by(LEN - 2 * MARGIN).collect();
    starts.push(last);
    let mut tags = vec![0; letters.len()];
    for starts in starts.chunks(BATCH) {
        let logits = model.try_forward(windows(letters, starts, dev).0)?.as_vec();
        let best: Vec<usize> = common::classes(&logits, TAGS).collect();
        for (start, window) in starts.iter().zip(best.chunks(LEN)) {
            let first = if *start == 0 { 0 } else { MARGIN };
            for (i, tag) in window.iter().enumerate().skip(first) {
                tags[start + i] = *tag as u8;
            }
        }
    }
    Ok(tags)
}

/// Writes lines of the held-out text: as the model gets it, and restored, with what is wrong in red.
fn draw(test: &[Letter], counted: &[u8], tagged: &[u8], arguments: &Arguments) -> Result<()> {
    const LINES: usize = 6;
    const LETTERS: usize = 64;
    const HEIGHT: i32 = 24;
    picture::register();
    let size = (1000, (HEIGHT * (4 * LINES as i32 + 1)) as u32);
    let root = BitMapBackend::new(&arguments.output, size).into_drawing_area();
    root.fill(&WHITE)?;
    let from = test.len() / 2;
    for (line, letters) in test[from..].chunks(LETTERS).take(LINES).enumerate() {
        let first = from + line * LETTERS;
        let grey = RGBColor(110, 110, 110);
        let given = letters.iter().map(|letter| (letters::restored(*letter, 0), grey)).collect();
        let restored = |tags: &[u8]| -> Vec<(String, RGBColor)> {
            let pairs = letters.iter().zip(&tags[first..]);
            pairs
                .map(|(letter, tag)| {
                    let colour = if letter.tag == *tag { BLACK } else { RED };
                    (letters::restored(*letter, *tag), colour)
                })
                .collect()
        };
        let rows =
            [("given", given), ("counts", restored(counted)), ("Perceiver", restored(tagged))];
        for (row, (name, text)) in (1..).zip(&rows) {
            let y = HEIGHT * (4 * line as i32 + row);
            picture::write_letters(&root, name, text, y)?;
        }
    }
    root.present()?;
    println!("\npicture: {}", arguments.output.display());
    Ok(())
}
