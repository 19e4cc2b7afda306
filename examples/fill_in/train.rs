//! The training.

use anyhow::Result;
use perceiver::dfdx::optim::{Adam, AdamConfig, Optimizer, WeightDecay};
use perceiver::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::common::{progress_bar, schedule};
use crate::data::{FIRST_BYTE, VOCAB, Window, ids};
use crate::score::score;
use crate::{LEN, Model};

const BATCH: usize = 32;
const LEARNING_RATE: f64 = 5e-3;
/// The share of bytes that are hidden: twice that in testing, so that each window has more to learn from.
const HIDDEN: f64 = 2.0 * crate::HIDDEN;
/// Steps in which the loss counts all bytes: those which are not hidden teach the model where things are.
const FIRST_STEPS: usize = 100;
/// Steps between two reports.
const REPORT: usize = 500;

/// Trains the model on windows of `text`, and reports how it does on the windows `test`.
pub fn learn(
    model: &mut Model,
    text: &[u8],
    test: &[Window],
    steps: usize,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let config =
        AdamConfig { weight_decay: Some(WeightDecay::Decoupled(1e-2)), ..AdamConfig::default() };
    let mut optimizer = Adam::new(model, config);
    let mut grads = model.alloc_grads();
    let bar = progress_bar(steps)?;

    for step in 1..=steps {
        let windows = sample(text, rng);
        let rows = windows.iter().map(|window| counted(window, step, rng)).collect();
        let (rows, targets) = targets(&windows, rows, dev);
        let logits = model.try_forward_mut(ids(&windows, dev).traced(grads))?;
        let loss = cross_entropy_with_logits_loss(logits.gather(rows), targets);
        grads = loss.backward();
        optimizer.cfg.lr = LEARNING_RATE * schedule(step as f64 / steps as f64);
        optimizer.update(model, &grads)?;
        model.zero_grads(&mut grads);
        bar.inc(1);
        if step % REPORT == 0 || step == steps {
            let line = score(model, test, dev)?.to_string();
            bar.set_message(line.clone());
            bar.suspend(|| println!("step {step:4}/{steps}: {line}"));
        }
    }
    bar.finish_and_clear();
    Ok(())
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
fn counted(window: &Window, step: usize, rng: &mut StdRng) -> Vec<usize> {
    let (mut hidden, visible): (Vec<_>, Vec<_>) =
        (0..window.bytes.len()).partition(|&i| window.hidden[i]);
    if step <= FIRST_STEPS {
        hidden.extend(visible);
    } else {
        hidden.extend(visible.choose(rng));
    }
    hidden
}

/// Returns the positions as a tensor, and a one-hot row for the byte at each one.
fn targets(
    windows: &[Window],
    rows: Vec<Vec<usize>>,
    dev: &AutoDevice,
) -> (
    Tensor<(usize, usize), usize, AutoDevice>,
    Tensor<(usize, usize, Const<VOCAB>), f32, AutoDevice>,
) {
    let shape = (windows.len(), rows.first().map_or(0, Vec::len));
    let mut targets = vec![0.0; shape.0 * shape.1 * VOCAB];
    let places =
        windows.iter().zip(&rows).flat_map(|(window, rows)| rows.iter().map(|&i| window.bytes[i]));
    for (target, byte) in targets.chunks_mut(VOCAB).zip(places) {
        target[FIRST_BYTE + usize::from(byte)] = 1.0;
    }
    let rows = dev.tensor_from_vec(rows.concat(), shape);
    (rows, dev.tensor_from_vec(targets, (shape.0, shape.1, Const)))
}
