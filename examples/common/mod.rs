//! What several examples have in common.

// Each example uses a part of it.
#![allow(dead_code)]

pub mod digits;

use std::f64::consts::PI;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use perceiver::prelude::*;

/// Returns the first GPU with the feature `cuda`, otherwise the CPU.
pub fn device(seed: u64) -> Result<AutoDevice> {
    #[cfg(feature = "cuda")]
    let dev = perceiver::cuda::device_from_seed(0, seed)?;
    #[cfg(not(feature = "cuda"))]
    let dev = Cpu::seed_from_u64(seed);
    Ok(dev)
}

/// A progress bar over the steps of the training.
pub fn progress_bar(steps: usize) -> Result<ProgressBar> {
    let style = "{bar:40} step {pos}/{len}, {eta} left {msg}";
    Ok(ProgressBar::new(steps as u64).with_style(ProgressStyle::with_template(style)?))
}

/// The factor of the learning rate: a short warm-up, then cosine decay to zero; `progress` runs from 0 to 1.
pub fn schedule(progress: f64) -> f64 {
    let warm_up = (progress / 0.05).min(1.0);
    warm_up * (1.0 + (PI * progress).cos()) / 2.0
}

/// A one-hot row for each label.
pub fn one_hot(
    labels: impl ExactSizeIterator<Item = usize>,
    dev: &AutoDevice,
) -> Tensor<(usize, Const<10>), f32, AutoDevice> {
    let rows = labels.len();
    let targets = labels
        .flat_map(|label| (0..10).map(move |class| f32::from(u8::from(class == label))))
        .collect();
    dev.tensor_from_vec(targets, (rows, Const))
}

/// The class with the largest logit in each row.
pub fn classes(logits: &[f32]) -> impl Iterator<Item = usize> {
    logits.chunks(10).map(|logits| {
        let classes = 0..logits.len();
        classes.max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0)
    })
}
