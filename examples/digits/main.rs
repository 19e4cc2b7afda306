//! Trains a declared Perceiver to read handwritten digits: `cargo run --release --example digits`; add
//! `--features cuda` to run on a GPU.
//!
//! There are 1,797 images of 8 × 8 grey values (Alpaydin and Kaynak 1998; see `digits.txt`). A fifth of the images of
//! each digit, the same ones every time, is held out for testing.

#[path = "../common/mod.rs"]
mod common;
mod data;
mod report;
mod step;

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use perceiver::WeightPrecision;
use perceiver::prelude::*;
use perceiver::train::Schedule;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use common::digits::{self, Digit};
use data::Batch;
use step::{Precision, Trainer};

perceiver! {
    /// Reads a handwritten digit.
    pub struct Digits {
        input_shape: [8, 8, 1],
        num_freq_bands: 4,
        max_freq: 8.0,
        depth: 2,
        num_latents: 8,
        latent_dim: 32,
        cross_heads: 4,
        cross_dim_head: 8,
        latent_heads: 2,
        latent_dim_head: 16,
        num_classes: 10,
    }
}

/// Trains a Perceiver on handwritten digits and tests it on others.
#[derive(Parser)]
struct Arguments {
    /// The seed for the initial parameters, the shifts of the images, and the choice of test images.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// The precision to compute in; `mixed` needs the feature `f16`.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
}

const EPOCHS: usize = 28;
const BATCH: usize = 16;
const LEARNING_RATE: f64 = 3e-3;

type Model = Digits<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    // Matrices this small are multiplied before a second thread has woken up.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (train, test) = digits::split(digits::load(), &mut rng);
    println!("{} training images, {} test images\n", train.len(), test.len());

    let mut model = dev.build_module::<Digits, f32>();
    println!("{}\n", model.summary());

    let losses = learn(&mut model, train, arguments.precision, &dev, &mut rng)?;
    println!("\ntrained in {:.1} s", start.elapsed().as_secs_f32());

    let predict = |model: &Model| predict_in(arguments.precision, model, &test, &dev);
    let predicted = predict(&model);
    println!("\n{}", report::confusion(&test, &predicted));
    report::loss_curve(&losses, "digits-loss.png".as_ref())?;
    println!("loss curve: digits-loss.png");

    let checkpoint = "digits.safetensors";
    model.save_checkpoint(checkpoint)?;
    let mut loaded = dev.build_module::<Digits, f32>();
    loaded.load_checkpoint(checkpoint)?;
    ensure!(
        predict(&loaded) == predicted,
        "a model loaded from {checkpoint} predicts different digits"
    );
    println!("checkpoint: {checkpoint}; loaded into a new model, it predicts the same");

    let accuracy = |predicted: &[usize]| {
        let right = predicted.iter().zip(&test).filter(|(p, digit)| **p == digit.label).count();
        100.0 * right as f32 / test.len() as f32
    };
    let rounded = [WeightPrecision::Bf16, WeightPrecision::Int8, WeightPrecision::Int8Dynamic];
    for weights in rounded {
        let mut rounded = model.clone();
        rounded.prepare_for_inference_in(weights);
        println!("with weights in {weights:?}: {:.1} %", accuracy(&predict(&rounded)));
    }
    println!("test accuracy: {:.1} %", accuracy(&predicted));
    Ok(())
}

/// Trains the model and returns the mean loss of each epoch.
fn learn(
    model: &mut Model,
    mut train: Vec<Digit>,
    precision: Precision,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<Vec<f32>> {
    let mut trainer = Trainer::new(model, precision)?;
    let steps = (EPOCHS * train.len().div_ceil(BATCH)) as u64;
    let schedule = Schedule::cosine(steps);
    let bar = common::progress_bar(steps)?;

    let mut losses = Vec::new();
    for epoch in 1..=EPOCHS {
        train.shuffle(rng);
        let (mut loss_sum, mut right) = (0.0, 0.0);
        for digits in train.chunks(BATCH) {
            let shifted: Vec<Digit> =
                digits.iter().map(|digit| data::shifted(digit, rng)).collect();
            let rate = LEARNING_RATE * schedule.factor(bar.position());
            let (accuracy, loss) = trainer.step(model, Batch::of(&shifted, dev), rate)?;
            right += accuracy * digits.len() as f64;
            loss_sum += loss * digits.len() as f32;
            bar.inc(1);
        }
        let loss = loss_sum / train.len() as f32;
        let accuracy = 100.0 * right / train.len() as f64;
        let line = format!("loss {loss:.4}, accuracy {accuracy:.1} %");
        bar.set_message(line.clone());
        bar.suspend(|| println!("epoch {epoch:2}/{EPOCHS}: {line}"));
        losses.push(loss);
    }
    bar.finish_and_clear();
    Ok(losses)
}

/// Predicts the digit in each image.
fn predict_in(
    precision: Precision,
    model: &Model,
    digits: &[Digit],
    dev: &AutoDevice,
) -> Vec<usize> {
    let images = Batch::of(digits, dev).images;
    let logits = match precision {
        Precision::F32 => model.forward(images),
        #[cfg(feature = "f16")]
        Precision::Mixed => {
            let logits = step::half(model).forward(images.to_dtype());
            logits.to_dtype()
        }
    };
    common::classes(&logits.as_vec(), 10).collect()
}
