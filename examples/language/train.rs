//! The training.

use anyhow::Result;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Schedule, Trainer, cross_entropy};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::score::{bits, ids};
use crate::{Bytes, Model};

const BATCH: usize = 12;
const LEARNING_RATE: f64 = 4e-3;
/// The number of bytes that are predicted in a window.
const LATENTS: usize = Bytes::NUM_LATENTS;

/// Trains the model on windows of `text`, and returns the bits per byte of `test` after each epoch.
pub fn learn(
    model: &mut Model,
    text: &[u8],
    test: &[u8],
    epochs: u64,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<Vec<f64>> {
    let config = AdamWConfig { betas: [0.9, 0.98], ..AdamWConfig::default() };
    let steps = epochs * (text.len() / LATENTS / BATCH) as u64;
    let mut trainer = Trainer::new(AdamW::new(model, config)?, LEARNING_RATE)
        .with_schedule(Schedule::cosine(steps))
        .with_progress();
    let mut after_epochs = Vec::new();
    while trainer.epoch() < epochs {
        let mut windows = windows(text.len(), rng);
        windows.shuffle(rng);
        let batches = windows.chunks_exact(BATCH);
        trainer.train_epoch(model, batches, |model, windows, gradients| {
            let (input, targets) = batch(text, windows, dev);
            let prefix = input.shape().1 - LATENTS;
            let logits = model.try_forward_mut((input.traced(gradients), prefix))?;
            Ok(cross_entropy(logits, &targets)?)
        })?;
        let bits = bits(model, test, dev)?;
        after_epochs.push(bits);
        println!("epoch {}/{epochs}: {bits:.3} bits per held-out byte", trainer.epoch());
    }
    Ok(after_epochs)
}

/// The places of the bytes that are predicted, one window after the other from a random start.
fn windows(len: usize, rng: &mut StdRng) -> Vec<usize> {
    let start = PREFIX + 1 + rng.random_range(0..LATENTS);
    (start..len - LATENTS).step_by(LATENTS).collect()
}

/// The number of bytes before the latents.
const PREFIX: usize = Bytes::MAX_LEN - LATENTS;

/// Returns windows of ids, and the byte after each of the latents.
fn batch(
    text: &[u8],
    windows: &[usize],
    dev: &AutoDevice,
) -> (Tensor<(usize, usize), usize, AutoDevice>, Tensor<(usize, usize), usize, AutoDevice>) {
    let inputs = windows.iter().map(|&start| &text[start - PREFIX - 1..start + LATENTS - 1]);
    let targets = windows.iter().map(|&start| &text[start..start + LATENTS]);
    (ids(inputs, dev), ids(targets, dev))
}
