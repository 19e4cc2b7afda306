//! What several examples have in common.

// Each example uses a part of it.
#![allow(dead_code)]

pub mod counts;
pub mod digits;
pub mod picture;

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
pub fn progress_bar(steps: u64) -> Result<ProgressBar> {
    let style = "{bar:40} step {pos}/{len}, {eta} left {msg}";
    Ok(ProgressBar::new(steps).with_style(ProgressStyle::with_template(style)?))
}

/// The class with the largest logit in each row of so many.
pub fn classes(logits: &[f32], count: usize) -> impl Iterator<Item = usize> {
    logits.chunks(count).map(|logits| {
        let classes = 0..logits.len();
        classes.max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0)
    })
}
