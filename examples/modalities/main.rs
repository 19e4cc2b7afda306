//! Trains a declared Perceiver with two inputs: `cargo run --release --example modalities`; add `--features cuda` to run
//! on a GPU.
//!
//! One is the upper half of the image of a handwritten digit, the other a noisy recording of the same digit, spoken by
//! one of twelve voices of a speech synthesizer, as a spectrogram (see `sounds.txt`). A fifth of the images and all
//! recordings of two voices are held out for testing. In training either input is masked at times, so that one model can be tested with both and with each
//! alone.

#[path = "../common/mod.rs"]
mod common;
mod pairs;
mod sounds;

use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Schedule, accuracy, cross_entropy};
use rand::SeedableRng;
use rand::rngs::StdRng;

use common::digits::{self, SIDE};
use pairs::{Given, Pair, Pairs, ROWS};
use sounds::{BANDS, FRAMES};

perceiver! {
    /// Reads and hears a digit: the pixels and the frames are the tokens.
    pub struct Digits {
        input: Modalities {
            image: Grid { shape: [ROWS, SIDE, 1], position: Fourier { bands: 4, max_freq: 8.0 } },
            sound: Grid { shape: [FRAMES, BANDS], position: Fourier { bands: 6, max_freq: 20.0 } },
        },
        depth: 2,
        num_latents: 16,
        latent_dim: 32,
        cross_heads: 4,
        cross_dim_head: 8,
        latent_heads: 2,
        latent_dim_head: 16,
        output: MeanPool(10),
        ff_dropout: 0.1,
    }
}

/// Trains a Perceiver on images and sounds of digits, and tests it on others.
#[derive(Parser)]
struct Arguments {
    /// The seed for the initial parameters, the pairs, and the choice of test images and speakers.
    #[arg(long, default_value_t = 2)]
    seed: u64,
}

const STEPS: u64 = 3000;
const REPORT_EVERY: u64 = 250;
const BATCH: usize = 32;
const LEARNING_RATE: f64 = 3e-3;

/// How many pairs the model is tested on.
const TEST: usize = 1000;

type Model = Digits<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    // Matrices this small are multiplied before a second thread has woken up.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (images, test_images) = digits::split(digits::load(), &mut rng);
    let (sounds, test_sounds) = sounds::split(sounds::load(), &mut rng);
    println!(
        "training: {} images, sounds of {}",
        images.len(),
        sounds::speakers(&sounds).join(", ")
    );
    let (test, speakers) = (test_images.len(), sounds::speakers(&test_sounds).join(", "));
    println!("test: {test} images, sounds of {speakers}\n");
    let train = Pairs::of(&images, &sounds);
    let test = Pairs::of(&test_images, &test_sounds);
    let test = (0..TEST).map(|_| test.draw(&mut rng)).collect::<Result<Vec<Pair>>>()?;

    let mut model = dev.build_module::<Digits, f32>();
    println!("{}\n", model.summary());
    learn(&mut model, &train, &test, &dev, &mut rng)?;
    println!("\ntrained in {:.1} s\n", start.elapsed().as_secs_f32());

    println!("test accuracy");
    let [both, image, sound] = accuracies(&model, &test, &dev)?;
    println!("image and sound  {both:5.1} %");
    println!("image alone      {image:5.1} %");
    println!("sound alone      {sound:5.1} %");
    Ok(())
}

/// Trains the model on random pairs.
fn learn(
    model: &mut Model,
    train: &Pairs,
    test: &[Pair],
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let config = AdamWConfig { weight_decay: 1e-2, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(model, config)?;
    let mut grads = model.alloc_grads();
    let schedule = Schedule::cosine(STEPS);
    let bar = common::progress_bar(STEPS)?;

    let mut loss_sum = 0.0;
    for step in 1..=STEPS {
        let batch = (0..BATCH).map(|_| Ok(train.draw(rng)?.varied(rng)));
        let batch = batch.collect::<Result<Vec<Pair>>>()?;
        let given: Vec<Given> = batch.iter().map(|_| Given::random(rng)).collect();
        let DigitsInput { image: (image, seen), sound } = pairs::input(&batch, &given, dev);
        let logits = model.forward_mut(DigitsInput { image: (image.traced(grads), seen), sound });
        let loss = cross_entropy(logits, &pairs::targets(&batch, dev))?;
        loss_sum += loss.array();
        optimizer.config.learning_rate = LEARNING_RATE * schedule.factor(optimizer.steps());
        grads = optimizer.step(model, loss.backward())?;
        bar.inc(1);
        if step % REPORT_EVERY == 0 {
            let [both, image, sound] = accuracies(model, test, dev)?;
            let loss = std::mem::take(&mut loss_sum) / REPORT_EVERY as f32;
            bar.suspend(|| {
                print!("step {step:4}/{STEPS}: loss {loss:.4}, test accuracy {both:.1} %, ");
                println!("image alone {image:.1} %, sound alone {sound:.1} %");
            });
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The share of pairs whose digit is predicted from both inputs, from the image and from the sound, in percent.
fn accuracies(model: &Model, pairs: &[Pair], dev: &AutoDevice) -> Result<[f64; 3]> {
    let targets = pairs::targets(pairs, dev);
    let percent = |given| -> Result<f64> {
        let logits = model.forward(pairs::input(pairs, &vec![given; pairs.len()], dev));
        Ok(100.0 * accuracy(&logits, &targets)?)
    };
    Ok([percent(Given::Both)?, percent(Given::Image)?, percent(Given::Sound)?])
}
