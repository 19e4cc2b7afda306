//! What several examples have in common.

// Each example uses a part of it.
#![allow(dead_code)]

pub mod counts;
pub mod digits;
pub mod picture;

use std::error::Error;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use perceiver::dfdx::nn::tensor_collection::TensorCollection;
use perceiver::prelude::*;
use perceiver::train::{AdamW, Batches, Schedule, Trainer};

/// Returns the first GPU with the feature `cuda`, otherwise the CPU.
pub fn device(seed: u64) -> Result<AutoDevice> {
    #[cfg(feature = "cuda")]
    let dev = perceiver::cuda::device_from_seed(0, seed)?;
    #[cfg(not(feature = "cuda"))]
    let dev = Cpu::seed_from_u64(seed);
    Ok(dev)
}

/// A loss that gradients can be computed of.
pub type Loss = Tensor<(), f32, AutoDevice, OwnedTape<f32, AutoDevice>>;

/// Trains a model for so many epochs, in which the learning rate falls to 0, and prints a line about it after each.
///
/// `loss` computes the loss of a batch from the numbers of its examples.
pub fn train<M>(
    model: &mut M,
    optimizer: AdamW<f32, AutoDevice>,
    learning_rate: f64,
    batches: &Batches,
    epochs: u64,
    mut loss: impl FnMut(
        &mut M,
        Vec<usize>,
        Gradients<f32, AutoDevice>,
    ) -> Result<Loss, Box<dyn Error + Send + Sync>>,
    mut line: impl FnMut(&M) -> Result<String>,
) -> Result<()>
where
    M: TensorCollection<f32, AutoDevice> + ZeroGrads<f32, AutoDevice>,
{
    let steps = epochs * batches.per_epoch() as u64;
    let mut trainer = Trainer::new(optimizer, learning_rate)
        .with_schedule(Schedule::cosine(steps))
        .with_progress();
    while trainer.epoch() < epochs {
        trainer.train_epoch(model, batches.epoch(trainer.epoch()), &mut loss)?;
        println!("epoch {:2}/{epochs}: {}", trainer.epoch(), line(model)?);
    }
    Ok(())
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
