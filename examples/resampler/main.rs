//! Trains a resampler, a part of a dfdx module, to keep what strips of eight handwritten digits show:
//! `cargo run --release --example resampler`; add `--features cuda` to run on a GPU.
//!
//! A strip has 512 pixels, each of which is a token. The resampler makes 16 latents of them, and a linear layer reads
//! all eight digits from these. The images are those of the example `digits`; strips for testing consist of images that
//! no strip for training has.

mod baseline;
#[path = "../common/mod.rs"]
mod common;
mod model;
mod strips;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use image::RgbImage;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Schedule, Trainer, cross_entropy};
use rand::SeedableRng;
use rand::rngs::StdRng;

use common::digits::{self, Digit, SIDE};
use common::picture::{self, Sheet};
use model::{Reader, Resampler};
use strips::{IMAGES, Strip, TOKENS};

/// Trains a resampler on strips of handwritten digits and tests it on strips of others.
#[derive(Parser)]
struct Arguments {
    /// The seed for the initial parameters, the strips, and the choice of test images.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// The number of training steps.
    #[arg(long, default_value_t = 6000, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    /// The picture to write.
    #[arg(long, default_value = "resampler.png")]
    output: PathBuf,
}

const BATCH: usize = 8;
const LEARNING_RATE: f64 = 2e-3;
/// Steps between two reports, which are an epoch.
const REPORT: u64 = 200;
/// How often each test image is in a strip.
const REPETITIONS: usize = 8;

type Model = Reader<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (train, test) = digits::split(digits::load(), &mut rng);
    let test_strips = strips::shuffled(test.clone(), REPETITIONS, &mut rng);
    println!(
        "strips of {} training images, {} strips of {} test images\n",
        train.len(),
        test_strips.len(),
        test.len()
    );

    let mut model = dev.build_module::<Reader<f32, Cpu>, f32>();
    sharpen(&mut model.resampler);
    println!("{}\n", model.resampler.summary());

    learn(&mut model, &train, arguments.steps.into(), &dev, &mut rng)?;
    println!("\ntrained in {:.1} s", start.elapsed().as_secs_f32());

    let (digits, strips) = accuracy(&model, &test_strips, &dev);
    println!("\ntest accuracy                     | digits  | whole strips");
    println!("----------------------------------+---------+-------------");
    let row = |name: &str, digits: f32, strips: f32| {
        println!("{name:<33} | {:5.1} % | {:5.1} %", 100.0 * digits, 100.0 * strips);
    };
    let all = |digits: f32| digits.powi(IMAGES as i32);
    // A baseline reads images one by one, so its mistakes in a strip are independent.
    let baselines = [
        ("most frequent digit", baseline::most_frequent(&train, &test)),
        ("nearest mean of training images", baseline::nearest_mean(&train, &test)),
        ("nearest training image", baseline::nearest_image(&train, &test)),
    ];
    for (name, digits) in baselines {
        row(name, digits, all(digits));
    }
    row(&format!("{TOKENS} tokens through 16 latents"), digits, strips);
    draw(&model, &test_strips[0], &arguments.output, &dev)
}

/// Draws a strip, and which of its pixels some of the latents attend to in the last layer.
fn draw(model: &Model, strip: &Strip, path: &Path, dev: &AutoDevice) -> Result<()> {
    const SHOWN: usize = 8;
    let tokens = model.embedding.forward(strips::tokens(std::slice::from_ref(strip), dev));
    let last = Resampler::<f32, Cpu>::DEPTH - 1;
    // (batch, heads, latents, tokens)
    let maps = model.resampler.try_attention(tokens, &[last])?;
    let weights = maps[0].clone().mean::<_, Axis<1>>().as_vec();
    let ink: Vec<f32> = strip.iter().flat_map(|digit| digit.pixels.map(|ink| ink / 16.0)).collect();
    let mut rows = vec![("strip".to_string(), vec![image(&ink)])];
    for (latent, weights) in weights.chunks(TOKENS).take(SHOWN).enumerate() {
        let largest = weights.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let relative: Vec<f32> = weights.iter().map(|weight| weight / largest).collect();
        rows.push((format!("latent {latent}"), vec![image(&relative)]));
    }
    Sheet { headings: Vec::new(), rows }.write(8, path)?;
    println!("\nattention in the last layer: {}", path.display());
    Ok(())
}

/// Numbers from 0, white, to 1, black, in the order of the tokens, as the images of a strip.
fn image(numbers: &[f32]) -> RgbImage {
    let pixel = |row: usize, column: usize| {
        1.0 - numbers[column / SIDE * SIDE * SIDE + row * SIDE + column % SIDE]
    };
    let places = (0..TOKENS).map(|i| (i / (SIDE * IMAGES), i % (SIDE * IMAGES)));
    let pixels: Vec<f32> = places.map(|(row, column)| pixel(row, column)).collect();
    picture::grey(SIDE * IMAGES, &pixels)
}

/// Multiplies the initial queries of the cross attentions by eight.
///
/// As they are, each latent attends to all 512 tokens about equally and becomes their mean, in which no image stands out;
/// training would take many times as long to get away from that.
fn sharpen(resampler: &mut Resampler<f32, AutoDevice>) {
    for layer in resampler.layers.view_mut() {
        if let Some(cross) = layer.cross {
            let weight = cross.attention.to_q.weight;
            *weight = weight.clone() * 8.0;
        }
    }
}

fn learn(
    model: &mut Model,
    train: &[Digit],
    steps: u64,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let config = AdamWConfig { weight_decay: 1e-2, ..AdamWConfig::default() };
    let mut trainer = Trainer::new(AdamW::new(model, config)?, LEARNING_RATE)
        .with_schedule(Schedule::cosine(steps))
        .with_progress();
    let mut done = 0;
    while done < steps {
        let last = steps.min(done + REPORT);
        let loss = trainer.train_epoch(model, done..last, |model, _, gradients| {
            let batch: Vec<Strip> = (0..BATCH).map(|_| strips::random(train, rng)).collect();
            let logits = model.forward(strips::tokens(&batch, dev).traced(gradients));
            Ok(cross_entropy(logits, &strips::targets(&batch, dev))?)
        })?;
        done = last;
        println!("step {done:4}/{steps}: loss {loss:.4}");
    }
    Ok(())
}

/// The shares of digits and of whole strips that are read correctly.
fn accuracy(model: &Model, strips: &[Strip], dev: &AutoDevice) -> (f32, f32) {
    let (mut digits, mut whole) = (0, 0);
    for strips in strips.chunks(BATCH) {
        let logits = model.forward(strips::tokens(strips, dev)).as_vec();
        for (logits, strip) in logits.chunks(10 * IMAGES).zip(strips) {
            let right = common::classes(logits, 10)
                .zip(strip)
                .filter(|(p, digit)| *p == digit.label)
                .count();
            digits += right;
            whole += usize::from(right == IMAGES);
        }
    }
    let count = strips.len() as f32;
    (digits as f32 / (count * IMAGES as f32), whole as f32 / count)
}
