//! Trains a declared Perceiver to read digits in clouds of points: `cargo run --release --example points`; add
//! `--features cuda` to run on a GPU.
//!
//! Each image of the example `digits` becomes a cloud: a point for each pixel with ink, somewhere within that pixel. The
//! model gets the ink and the coordinates of each point, `position: Given(..)`, and neither an order nor a grid. It is
//! compared with nearest neighbours of the clouds on the grid of the images.

mod batch;
mod cloud;
#[path = "../common/mod.rs"]
mod common;
mod neighbours;

use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Schedule, Trainer, cross_entropy};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use batch::{Batch, POSITION};
use cloud::Cloud;
use common::digits::{self, Digit};
use neighbours::Neighbours;

perceiver! {
    /// Reads a digit in any number of points.
    pub struct Points {
        input: Grid { axes: 1, channels: 1, position: Given(POSITION) },
        depth: 2,
        num_latents: 16,
        latent_dim: 32,
        cross_heads: 4,
        cross_dim_head: 8,
        latent_heads: 2,
        latent_dim_head: 16,
        output: MeanPool(10),
    }
}

/// Trains a Perceiver on clouds of points and tests it on others.
#[derive(Parser)]
struct Arguments {
    /// The seed for the initial parameters, the clouds, and the choice of test images.
    #[arg(long, default_value_t = 2)]
    seed: u64,
}

const EPOCHS: u64 = 100;
const BATCH: usize = 32;
const LEARNING_RATE: f64 = 4e-3;

/// How many clouds of each training image the baseline has.
const COPIES: usize = 20;

type Model = Points<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    // Matrices this small are multiplied before a second thread has woken up.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (train, test) = digits::split(digits::load(), &mut rng);
    let test: Vec<Cloud> = test.iter().map(|digit| Cloud::of(digit, &mut rng)).collect();
    let sizes = || test.iter().map(|cloud| cloud.points.len());
    let (smallest, largest) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
    println!("{} training images", train.len());
    println!("{} test clouds of {smallest} to {largest} points\n", test.len());

    // The baseline has seen the same turns, scales and missing points as the model.
    let copies: Vec<Cloud> =
        (0..COPIES).flat_map(|_| &train).map(|digit| Cloud::augmented(digit, &mut rng)).collect();
    let neighbours = [Cloud::binned, Cloud::binned_softly].map(|by| Neighbours::of(&copies, by));

    let mut model = dev.build_module::<Points, f32>();
    println!("{}\n", model.summary());
    learn(&mut model, train, &test, &dev, &mut rng)?;
    println!("\ntrained in {:.1} s\n", start.elapsed().as_secs_f32());

    println!("                                      nearest neighbours, points binned to");
    println!("test accuracy            Perceiver    one pixel   four pixels");
    let turned = |degrees| test.iter().map(|cloud| cloud.clone().turned(degrees, 1.0)).collect();
    let halved = test.iter().map(|cloud| cloud.clone().thinned(0.5)).collect();
    let rows: [(&str, Vec<Cloud>); 4] = [
        ("as written", test.clone()),
        ("turned 15° clockwise", turned(15.0)),
        ("turned 15° anticlockwise", turned(-15.0)),
        ("half of the points", halved),
    ];
    for (name, clouds) in rows {
        let model = accuracy(&clouds, predict(&model, &clouds, &dev));
        let [one, four] = neighbours.each_ref().map(|neighbours| {
            accuracy(&clouds, clouds.iter().map(|cloud| neighbours.predict(cloud)))
        });
        println!("{name:25}{model:7.1} %{one:11.1} %{four:11.1} %");
    }
    Ok(())
}

/// Trains the model, with new clouds in each epoch.
fn learn(
    model: &mut Model,
    mut train: Vec<Digit>,
    test: &[Cloud],
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let config = AdamWConfig { weight_decay: 1e-2, ..AdamWConfig::default() };
    let steps = EPOCHS * train.len().div_ceil(BATCH) as u64;
    let mut trainer = Trainer::new(AdamW::new(model, config)?, LEARNING_RATE)
        .with_schedule(Schedule::cosine(steps))
        .with_progress();
    while trainer.epoch() < EPOCHS {
        train.shuffle(rng);
        let mut loss_sum = 0.0;
        trainer.train_epoch(model, train.chunks(BATCH), |model, digits, gradients| {
            let clouds: Vec<Cloud> =
                digits.iter().map(|digit| Cloud::augmented(digit, rng)).collect();
            let Batch { ink, positions, mask, targets } = Batch::of(&clouds, dev);
            let logits = model.try_forward_mut(((ink.traced(gradients), mask), positions))?;
            let loss = cross_entropy(logits, &targets)?;
            loss_sum += loss.array() * digits.len() as f32;
            Ok(loss)
        })?;
        let loss = loss_sum / train.len() as f32;
        let accuracy = accuracy(test, predict(model, test, dev));
        let line = format!("loss {loss:.4}, test accuracy {accuracy:.1} %");
        println!("epoch {:2}/{EPOCHS}: {line}", trainer.epoch());
    }
    Ok(())
}

/// Predicts the digit of each cloud.
fn predict(model: &Model, clouds: &[Cloud], dev: &AutoDevice) -> Vec<usize> {
    let Batch { ink, positions, mask, .. } = Batch::of(clouds, dev);
    let logits = model.forward(((ink, mask), positions));
    common::classes(&logits.as_vec(), 10).collect()
}

/// The share of clouds whose digit is predicted, in percent.
fn accuracy(clouds: &[Cloud], predicted: impl IntoIterator<Item = usize>) -> f32 {
    let right = clouds.iter().zip(predicted).filter(|(cloud, p)| cloud.label == *p).count();
    100.0 * right as f32 / clouds.len() as f32
}
