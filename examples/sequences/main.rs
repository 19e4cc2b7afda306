//! Sequences of several lengths, with a mask for their padding: `cargo run --release --example sequences`.
//!
//! A sequence is one to twelve images of handwritten digits, and the model says which digit is the largest. Batches are made of
//! sequences of similar lengths, so that little is padding.

#[path = "../common/mod.rs"]
mod common;

use anyhow::Result;
use common::digits::{Digit, load, split, standardized};
use perceiver::prelude::*;
use perceiver::train::{AdamW, Batches, Schedule, Trainer, accuracy, cross_entropy};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

const LONGEST: usize = 12;
const BATCH: usize = 32;
const EPOCHS: u64 = 12;

perceiver! {
    /// Reads a set of images, each of which is a token.
    struct Largest {
        input: Tokens(64), depth: 2, num_latents: 8, latent_dim: 64, latent_heads: 4, latent_dim_head: 16,
        cross_dim_head: 32, num_classes: 10,
    }
}

/// Images, which of them are not padding, and the largest digits.
struct Batch {
    tokens: Tensor<(usize, usize, Const<64>), f32, AutoDevice>,
    mask: Tensor<(usize, usize), bool, AutoDevice>,
    largest: Tensor<(usize,), usize, AutoDevice>,
}

fn batch(dev: &AutoDevice, sequences: &[&Vec<Digit>]) -> Batch {
    let (count, length) =
        (sequences.len(), sequences.iter().map(|digits| digits.len()).max().unwrap_or(0));
    // What stands in masked tokens does not matter.
    let mut tokens = vec![f32::NAN; count * length * 64];
    let mut mask = vec![false; count * length];
    for (i, digits) in sequences.iter().enumerate() {
        let start = i * length;
        mask[start..start + digits.len()].fill(true);
        let pixels = digits.iter().flat_map(|digit| digit.pixels).map(standardized);
        for (token, pixel) in tokens[start * 64..].iter_mut().zip(pixels) {
            *token = pixel;
        }
    }
    let largest =
        sequences.iter().map(|digits| digits.iter().map(|digit| digit.label).max().unwrap_or(0));
    Batch {
        tokens: dev.tensor_from_vec(tokens, (count, length, Const)),
        mask: dev.tensor_from_vec(mask, (count, length)),
        largest: dev.tensor_from_vec(largest.collect(), (count,)),
    }
}

/// Sequences of some of the images.
fn sequences(digits: &[Digit], count: usize, rng: &mut impl Rng) -> Vec<Vec<Digit>> {
    let mut sequence = || {
        let length = rng.random_range(1..=LONGEST);
        digits.sample(rng, length).cloned().collect()
    };
    (0..count).map(|_| sequence()).collect()
}

fn main() -> Result<()> {
    let dev = common::device(1)?;
    let rng = &mut StdRng::seed_from_u64(1);
    let (train, test) = split(load(), rng);
    let (train, test) = (sequences(&train, 8_000, rng), sequences(&test, 1_000, rng));
    let lengths: Vec<usize> = train.iter().map(Vec::len).collect();
    let batches = Batches::new(train.len(), BATCH, 1).by_length(&lengths, 50);
    let padded = |batches: &Batches| {
        let tokens =
            |batch: Vec<usize>| batch.len() * batch.iter().map(|i| lengths[*i]).max().unwrap_or(0);
        let all: usize = batches.epoch(0).map(tokens).sum();
        100.0 * (1.0 - lengths.iter().sum::<usize>() as f64 / all as f64)
    };
    let any = padded(&Batches::new(train.len(), BATCH, 1));
    println!("{:.0} % of the tokens are padding; without sorting, {any:.0} %", padded(&batches));

    let mut model = dev.build_module::<Largest, f32>();
    let steps = EPOCHS * batches.per_epoch() as u64;
    let mut trainer = Trainer::new(AdamW::new(&model, Default::default())?, 2e-3)
        .with_schedule(Schedule::cosine(steps))
        .with_progress();
    while trainer.epoch() < EPOCHS {
        let numbers = batches.epoch(trainer.epoch());
        let loss = trainer.train_epoch(&mut model, numbers, |model, numbers, gradients| {
            let sequences: Vec<_> = numbers.iter().map(|i| &train[*i]).collect();
            let Batch { tokens, mask, largest } = batch(&dev, &sequences);
            let logits = model.try_forward_mut((tokens.traced(gradients), mask))?;
            Ok(cross_entropy(logits, &largest)?)
        })?;
        println!("epoch {}/{EPOCHS}: loss {loss:.3}", trainer.epoch());
    }

    println!("\nlength  largest digit found");
    for length in 1..=LONGEST {
        let of_length: Vec<_> = test.iter().filter(|digits| digits.len() == length).collect();
        let Batch { tokens, mask, largest } = batch(&dev, &of_length);
        let logits = model.try_forward((tokens, mask))?;
        println!(
            "{length:6}  {:.1} % of {}",
            100.0 * accuracy(&logits, &largest)?,
            of_length.len()
        );
    }
    Ok(())
}
