//! The training.

use anyhow::Result;
use perceiver::dfdx::optim::{Adam, AdamConfig, Optimizer, WeightDecay};
use perceiver::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::common::{progress_bar, schedule};
use crate::score::{VOCAB, bits, ids};
use crate::{Bytes, Model};

const BATCH: usize = 12;
const LEARNING_RATE: f64 = 4e-3;
/// The number of bytes that are predicted in a window.
const LATENTS: usize = Bytes::NUM_LATENTS;

/// Trains the model on windows of `text`, and reports after each epoch how it does on `test`.
pub fn learn(
    model: &mut Model,
    text: &[u8],
    test: &[u8],
    epochs: usize,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let config = AdamConfig {
        betas: [0.9, 0.98],
        weight_decay: Some(WeightDecay::Decoupled(1e-2)),
        ..AdamConfig::default()
    };
    let mut optimizer = Adam::new(model, config);
    let mut grads = model.alloc_grads();
    let steps = epochs * (text.len() / LATENTS / BATCH);
    let bar = progress_bar(steps)?;
    let mut step = 0;
    for epoch in 1..=epochs {
        let mut windows = windows(text.len(), rng);
        windows.shuffle(rng);
        for windows in windows.chunks_exact(BATCH) {
            optimizer.cfg.lr = LEARNING_RATE * schedule(step as f64 / steps as f64);
            step += 1;
            let (input, targets) = batch(text, windows, dev);
            let prefix = input.shape().1 - LATENTS;
            let logits = model.try_forward_mut((input.traced(grads), prefix))?;
            let loss = cross_entropy_with_logits_loss(logits, targets);
            grads = loss.backward();
            optimizer.update(model, &grads)?;
            model.zero_grads(&mut grads);
            bar.inc(1);
        }
        let line = format!("{:.3} bits per held-out byte", bits(model, test, dev)?);
        bar.set_message(line.clone());
        bar.suspend(|| println!("epoch {epoch}/{epochs}: {line}"));
    }
    bar.finish_and_clear();
    Ok(())
}

/// The places of the bytes that are predicted, one window after the other from a random start.
fn windows(len: usize, rng: &mut StdRng) -> Vec<usize> {
    let start = PREFIX + 1 + rng.random_range(0..LATENTS);
    (start..len - LATENTS).step_by(LATENTS).collect()
}

/// The number of bytes before the latents.
const PREFIX: usize = Bytes::MAX_LEN - LATENTS;

/// Returns windows of ids, and a one-hot row for the byte after each of the latents.
#[allow(clippy::type_complexity)]
fn batch(
    text: &[u8],
    windows: &[usize],
    dev: &AutoDevice,
) -> (
    Tensor<(usize, usize), usize, AutoDevice>,
    Tensor<(usize, usize, Const<VOCAB>), f32, AutoDevice>,
) {
    let inputs = windows.iter().map(|&start| &text[start - PREFIX - 1..start + LATENTS - 1]);
    let mut targets = vec![0.0; windows.len() * LATENTS * VOCAB];
    let bytes = windows.iter().flat_map(|&start| &text[start..start + LATENTS]);
    for (target, byte) in targets.chunks_mut(VOCAB).zip(bytes) {
        target[usize::from(*byte)] = 1.0;
    }
    let shape = (windows.len(), LATENTS, Const);
    (ids(inputs, dev), dev.tensor_from_vec(targets, shape))
}
