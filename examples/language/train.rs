//! The training.

use anyhow::Result;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Schedule, cross_entropy};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::common::progress_bar;
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
    epochs: usize,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<Vec<f64>> {
    let config = AdamWConfig { betas: [0.9, 0.98], ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(model, config)?;
    let mut grads = model.alloc_grads();
    let steps = (epochs * (text.len() / LATENTS / BATCH)) as u64;
    let schedule = Schedule::cosine(steps);
    let bar = progress_bar(steps)?;
    let mut after_epochs = Vec::new();
    for epoch in 1..=epochs {
        let mut windows = windows(text.len(), rng);
        windows.shuffle(rng);
        for windows in windows.chunks_exact(BATCH) {
            optimizer.config.learning_rate = LEARNING_RATE * schedule.factor(optimizer.steps());
            let (input, targets) = batch(text, windows, dev);
            let prefix = input.shape().1 - LATENTS;
            let logits = model.try_forward_mut((input.traced(grads), prefix))?;
            let loss = cross_entropy(logits, &targets)?;
            grads = optimizer.step(model, loss.backward())?;
            bar.inc(1);
        }
        let bits = bits(model, test, dev)?;
        after_epochs.push(bits);
        let line = format!("{bits:.3} bits per held-out byte");
        bar.set_message(line.clone());
        bar.suspend(|| println!("epoch {epoch}/{epochs}: {line}"));
    }
    bar.finish_and_clear();
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
