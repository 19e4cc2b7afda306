//! The training.

use anyhow::Result;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Schedule, Trainer, cross_entropy};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::data::{FIRST_BYTE, Window, ids};
use crate::score::score;
use crate::{LEN, Model};

const BATCH: usize = 32;
const LEARNING_RATE: f64 = 5e-3;
/// The share of bytes that are hidden: twice that in testing, so that each window has more to learn from.
const HIDDEN: f64 = 2.0 * crate::HIDDEN;
/// Steps in which the loss counts all bytes: those which are not hidden teach the model where things are.
const FIRST_STEPS: u64 = 100;
/// Steps between two reports, which are an epoch.
const REPORT: u64 = 500;

/// Trains the model on windows of `text`, and returns the bits per hidden byte of the windows `test` after some steps.
pub fn learn(
    model: &mut Model,
    text: &[u8],
    test: &[Window],
    steps: u64,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<Vec<(f64, f64)>> {
    let config = AdamWConfig { weight_decay: 1e-2, ..AdamWConfig::default() };
    let mut trainer = Trainer::new(AdamW::new(model, config)?, LEARNING_RATE)
        .with_schedule(Schedule::cosine(steps))
        .with_progress();
    let mut curve = Vec::new();
    let mut done = 0;
    while done < steps {
        let last = steps.min(done + REPORT);
        trainer.train_epoch(model, done + 1..=last, |model, step, gradients| {
            let windows = sample(text, rng);
            let rows = windows.iter().map(|window| counted(window, step, rng)).collect();
            let (rows, targets) = targets(&windows, rows, dev);
            let logits = model.try_forward_mut(ids(&windows, dev).traced(gradients))?;
            Ok(cross_entropy(logits.gather(rows), &targets)?)
        })?;
        done = last;
        let score = score(model, test, dev)?;
        curve.push((done as f64, score.bits_per_byte()));
        println!("step {done:4}/{steps}: {score}");
    }
    Ok(curve)
}

/// Returns a batch of windows; now and then they are short, as a text to fill in may be.
fn sample(text: &[u8], rng: &mut StdRng) -> Vec<Window> {
    let len = if rng.random_ratio(1, 8) { rng.random_range(LEN / 4..LEN) } else { LEN };
    let mut window = || {
        let start = rng.random_range(0..=text.len() - len);
        Window::masked(&text[start..start + len], HIDDEN, rng)
    };
    (0..BATCH).map(|_| window()).collect()
}

/// Returns the positions that the loss counts: those of the hidden bytes and one other, or all in the first steps.
fn counted(window: &Window, step: u64, rng: &mut StdRng) -> Vec<usize> {
    let (mut hidden, visible): (Vec<_>, Vec<_>) =
        (0..window.bytes.len()).partition(|&i| window.hidden[i]);
    if step <= FIRST_STEPS {
        hidden.extend(visible);
    } else {
        hidden.extend(visible.choose(rng));
    }
    hidden
}

/// Returns the positions as a tensor, and the id of the byte at each one.
fn targets(
    windows: &[Window],
    rows: Vec<Vec<usize>>,
    dev: &AutoDevice,
) -> (Tensor<(usize, usize), usize, AutoDevice>, Tensor<(usize, usize), usize, AutoDevice>) {
    let shape = (windows.len(), rows.first().map_or(0, Vec::len));
    let bytes =
        windows.iter().zip(&rows).flat_map(|(window, rows)| rows.iter().map(|&i| window.bytes[i]));
    let targets = bytes.map(|byte| FIRST_BYTE + usize::from(byte)).collect();
    (dev.tensor_from_vec(rows.concat(), shape), dev.tensor_from_vec(targets, shape))
}
