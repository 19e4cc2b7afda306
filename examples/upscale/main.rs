//! Trains a Perceiver IO to enlarge photographs, to any size: `cargo run --release --example upscale`; add `--features cuda` to
//! run on a GPU.
//!
//! The model sees 8 × 8 pixels and is asked for the colours at any points there, `queries: Given(..)`. It learns to enlarge three
//! photographs (see `photographs.md`) two and three times, and enlarges another one two times, and four times, which it has not
//! learned. It is compared with bicubic interpolation.

#[path = "../common/mod.rs"]
mod common;
mod photograph;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use image::Rgb32FImage;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Batches};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use common::picture::Sheet;
use photograph::{CROP, Corner, Photograph, QUERY};

perceiver! {
    /// What bicubic interpolation lacks at each of the given points.
    pub struct Upscale {
        input: Grid { shape: [CROP, CROP, 3], position: Fourier { bands: 4, max_freq: 8.0 } },
        depth: 1,
        self_per_cross_attn: 2,
        num_latents: 32,
        latent_dim: 64,
        cross_heads: 4,
        cross_dim_head: 16,
        latent_heads: 4,
        latent_dim_head: 16,
        output: Queries { queries: Given(QUERY), query_residual: true, feed_forward: Geglu(2), project: 3 },
    }
}

/// Trains a Perceiver on photographs and enlarges another one.
#[derive(Parser)]
struct Arguments {
    /// The number of epochs, of 6,400 crops each.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// The seed for the initial parameters and the crops.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// The picture to write.
    #[arg(long, default_value = "upscale.png")]
    output: PathBuf,
}

const BATCH: usize = 32;
const LEARNING_RATE: f64 = 2e-3;
/// By how much the photographs are enlarged in training.
const SCALES: [u32; 2] = [2, 3];

type Model = Upscale<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let jpegs: [&[u8]; 3] = [
        include_bytes!("astronaut.jpg"),
        include_bytes!("coffee.jpg"),
        include_bytes!("rocket.jpg"),
    ];
    let mut train = Vec::new();
    for jpeg in jpegs {
        let photograph = photograph::load(jpeg)?;
        train.extend(SCALES.map(|scale| Photograph::new(&photograph, scale)));
    }
    let cat = photograph::load(include_bytes!("chelsea.jpg"))?;
    let test = [2, 4].map(|scale| Photograph::new(&cat, scale));

    let mut model = dev.build_module::<Upscale, f32>();
    println!("{}\n", model.summary());
    learn(&mut model, &train, &test, arguments.epochs, &dev, &mut rng)?;
    println!("\ntrained in {:.1} s\n", start.elapsed().as_secs_f32());

    println!("PSNR of the test photograph, enlarged   bicubic     this model");
    let mut rows = Vec::new();
    for photograph in &test {
        let enlarged = enlarge(&model, photograph, &dev)?;
        let (bicubic, ours) = (photograph.psnr(&photograph.bicubic), photograph.psnr(&enlarged));
        println!("  {} times{bicubic:34.2} dB{ours:12.2} dB", photograph.scale);
        rows.push((format!("{} times", photograph.scale), photograph.cut_outs(&enlarged)));
    }
    let headings = ["small", "bicubic", "Perceiver", "truth"].map(String::from).to_vec();
    Sheet { headings, rows }.write(2, &arguments.output)?;
    println!("\npicture: {}", arguments.output.display());
    Ok(())
}

fn learn(
    model: &mut Model,
    train: &[Photograph],
    test: &[Photograph],
    epochs: u64,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let corners: Vec<Vec<Corner>> = train.iter().map(|photograph| photograph.corners(1)).collect();
    let config = AdamWConfig { max_norm: Some(1.0), ..AdamWConfig::default() };
    let optimizer = AdamW::new(model, config)?;
    let batches = Batches::new(6400, BATCH, 1);
    let loss = |model: &mut Model, numbers: Vec<usize>, gradients| {
        let chosen = rng.random_range(0..train.len());
        let crops: Vec<Corner> = corners[chosen].sample(rng, numbers.len()).copied().collect();
        let (pixels, queries) = train[chosen].input(&crops, dev);
        let lacking = model.try_forward_mut((pixels.traced(gradients), queries))?;
        Ok(mse_loss(lacking, train[chosen].lacking(&crops, dev)))
    };
    common::train(model, optimizer, LEARNING_RATE, &batches, epochs, loss, |model| {
        let gains = test.iter().map(|photograph| {
            let gain = photograph.psnr(&enlarge(model, photograph, dev)?)
                - photograph.psnr(&photograph.bicubic);
            Ok(format!("{gain:+.2} dB at {} times", photograph.scale))
        });
        Ok(gains.collect::<Result<Vec<String>>>()?.join(", "))
    })
}

/// Enlarges a small photograph, crop by crop.
fn enlarge(model: &Model, photograph: &Photograph, dev: &AutoDevice) -> Result<Rgb32FImage> {
    let mut enlarged = photograph.bicubic.clone();
    for corners in photograph.corners(photograph::CORE).chunks(BATCH) {
        let lacking = model.try_forward(photograph.input(corners, dev))?.as_vec();
        photograph.add(&mut enlarged, corners, &lacking);
    }
    Ok(enlarged)
}
