//! Trains a Perceiver AR to draw handwritten digits, pixel by pixel: `cargo run --release --example pixels`; add
//! `--features cuda` to run on a GPU.
//!
//! An image is a text of 64 grey values, whose first token says which digit follows. The model predicts each grey value from
//! those before it, and is compared with counts. It writes a picture of digits that it has drawn, and of held-out ones whose lower
//! half it has drawn.

#[path = "../common/mod.rs"]
mod common;
mod draw;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Batches, cross_entropy};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use common::counts::Counts;
use common::digits::{self, Digit, SIDE};

/// Grey values from 0 (paper) to 16 (ink), and a token for each of the ten digits.
const GREYS: usize = 17;
const VOCAB: usize = GREYS + 10;
const PIXELS: usize = SIDE * SIDE;
const BATCH: usize = 32;
const LEARNING_RATE: f64 = 3e-3;

perceiver! {
    /// Predicts the next pixel.
    pub struct Pixels {
        family: PerceiverAr,
        input: Text { vocab: VOCAB, max_len: PIXELS, dim: 64 },
        latents: Last(32),
        depth: 1,
        self_per_cross_attn: 2,
        cross_heads: 4,
        latent_heads: 4,
        prefix_dropout: 0.0,
        ff_dropout: 0.1,
        output: Embedding,
    }
}

/// Trains a Perceiver AR on images of handwritten digits, tests it on others, and lets it draw.
#[derive(Parser)]
struct Arguments {
    /// The number of passes over the images.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// The seed for the initial parameters, the choice of test images, and the drawings.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// The picture to write.
    #[arg(long, default_value = "pixels.png")]
    output: PathBuf,
}

type Model = Pixels<f32, AutoDevice>;
type Ids = Tensor<(usize, usize), usize, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (train, test) = digits::split(digits::load(), &mut rng);
    println!("{} training images, {} test images\n", train.len(), test.len());

    let mut model = dev.build_module::<Pixels, f32>();
    println!("{}\n", model.summary());
    learn(&mut model, &train, &test, arguments.epochs, &dev, &mut rng)?;
    println!("\ntrained in {:.1} s\n", start.elapsed().as_secs_f32());

    println!("bits per pixel of the test images");
    println!("  counts of the same pixel:              {:.3}", counted(&train, &test, place));
    println!("  counts of it and of those beside it:   {:.3}", counted(&train, &test, beside));
    println!("  this model:                            {:.3}", bits(&model, &test, &dev)?);
    draw::draw(&model, &test, arguments.seed, &arguments.output, &dev)
}

fn learn(
    model: &mut Model,
    train: &[Digit],
    test: &[Digit],
    epochs: u64,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
    let optimizer = AdamW::new(model, config)?;
    let batches = Batches::new(train.len(), BATCH, 1);
    let loss = |model: &mut Model, numbers: Vec<usize>, gradients| {
        let digits: Vec<&Digit> = numbers.iter().map(|number| &train[*number]).collect();
        // As in drawing, the latents often begin with the image, and otherwise are at any place.
        let end = match rng.random_bool(0.5) {
            true => Pixels::NUM_LATENTS,
            false => rng.random_range(Pixels::NUM_LATENTS..=PIXELS),
        };
        let (ids, targets) = window(&digits, end, dev);
        let prefix = end - Pixels::NUM_LATENTS;
        let logits = model.try_forward_mut((ids.traced(gradients), prefix))?;
        Ok(cross_entropy(logits, &targets)?)
    };
    common::train(model, optimizer, LEARNING_RATE, &batches, epochs, loss, |model| {
        Ok(format!("{:.3} bits per pixel of test images", bits(model, test, dev)?))
    })
}

/// The tokens of an image: its digit, and then its pixels.
fn tokens(digit: &Digit) -> Vec<usize> {
    let pixels = digit.pixels.iter().map(|pixel| *pixel as usize);
    std::iter::once(GREYS + digit.label).chain(pixels).collect()
}

/// The tokens before the pixel number `end`, and the pixels that the latents, which are the last of these tokens, predict.
fn window(digits: &[&Digit], end: usize, dev: &AutoDevice) -> (Ids, Ids) {
    let (mut ids, mut targets) = (Vec::new(), Vec::new());
    for tokens in digits.iter().map(|digit| tokens(digit)) {
        ids.extend_from_slice(&tokens[..end]);
        targets.extend_from_slice(&tokens[end + 1 - Pixels::NUM_LATENTS..=end]);
    }
    (
        dev.tensor_from_vec(ids, (digits.len(), end)),
        dev.tensor_from_vec(targets, (digits.len(), Pixels::NUM_LATENTS)),
    )
}

/// Bits per pixel that the model needs: of the upper and the lower half of the images.
fn bits(model: &Model, test: &[Digit], dev: &AutoDevice) -> Result<f64> {
    let test: Vec<&Digit> = test.iter().collect();
    let mut nats = 0.0;
    for end in [PIXELS / 2, PIXELS] {
        let (ids, targets) = window(&test, end, dev);
        let logits = model.try_forward((ids, end - Pixels::NUM_LATENTS))?;
        nats += f64::from(cross_entropy(logits, &targets)?.array()) / 2.0;
    }
    Ok(nats / std::f64::consts::LN_2)
}

/// Bits per pixel that counts of training images need, by what is known of a pixel.
fn counted(train: &[Digit], test: &[Digit], context: fn(&Digit, usize) -> Vec<u8>) -> f64 {
    let mut counts = Counts::new(GREYS);
    for digit in train {
        (0..PIXELS).for_each(|i| counts.add(&context(digit, i), digit.pixels[i] as u8));
    }
    let bits = test.iter().flat_map(|digit| {
        let counts = &counts;
        (0..PIXELS)
            .map(move |i| -counts.probability(&context(digit, i), digit.pixels[i] as u8).log2())
    });
    bits.sum::<f64>() / (test.len() * PIXELS) as f64
}

/// The place of a pixel, and the digit.
fn place(digit: &Digit, pixel: usize) -> Vec<u8> {
    vec![pixel as u8, digit.label as u8]
}

/// The same, and the pixels above and to the left.
fn beside(digit: &Digit, pixel: usize) -> Vec<u8> {
    let above = pixel.checked_sub(SIDE).map_or(0, |above| digit.pixels[above] as u8);
    let left = if pixel.is_multiple_of(SIDE) { 0 } else { digit.pixels[pixel - 1] as u8 };
    vec![pixel as u8, digit.label as u8, above, left]
}
