//! Trains on handwritten digits, and can be stopped at any time: `cargo run --release --example trainer`. Press ctrl-C, or kill
//! it, and run it again to resume from the last checkpoint; delete `target/trainer` to start over.
//! `tensorboard --logdir target/trainer` shows its losses.

#[path = "common/mod.rs"]
mod common;

use std::sync::atomic::Ordering;

use anyhow::Result;
use common::digits::{Digit, load, split, standardized};
use perceiver::prelude::*;
use perceiver::train::{AdamW, Batches, BestModels, Schedule, TrainError, Trainer};
use perceiver::train::{accuracy, cross_entropy};
use rand::{SeedableRng, rngs::StdRng};

perceiver! {
    struct Digits {
        input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 2, num_latents: 16, latent_dim: 48,
        latent_heads: 4, latent_dim_head: 12, num_classes: 10, ff_dropout: 0.1,
    }
}

/// Images, and the digits that they show.
type Batch = (
    Tensor<(usize, Const<8>, Const<8>, Const<1>), f32, AutoDevice>,
    Tensor<(usize,), usize, AutoDevice>,
);

fn batch<'a>(dev: &AutoDevice, digits: impl Iterator<Item = &'a Digit>) -> Batch {
    let (pixels, labels): (Vec<_>, Vec<_>) =
        digits.map(|digit| (digit.pixels, digit.label)).unzip();
    let numbers = pixels.as_flattened().iter().map(|pixel| standardized(*pixel)).collect();
    let images = dev.tensor_from_vec(numbers, (labels.len(), Const, Const, Const));
    let count = labels.len();
    (images, dev.tensor_from_vec(labels, (count,)))
}

fn main() -> Result<()> {
    let dev = common::device(1)?;
    let (train, held_out) = split(load(), &mut StdRng::seed_from_u64(1));
    let mut model = dev.build_module::<Digits, f32>();
    let batches = Batches::new(train.len(), 16, 1);
    let epochs = 20;
    let steps = epochs * batches.per_epoch() as u64;

    let bar = common::progress_bar(steps)?;
    let on_step = bar.clone();
    let mut trainer = Trainer::new(AdamW::new(&model, Default::default())?, 3e-3)
        .with_schedule(Schedule::cosine(steps))
        .with_checkpoint("target/trainer/digits.training", 100)
        .with_tensorboard("target/trainer")
        .on_step(move |report| on_step.set_position(report.step));
    let stop = trainer.stop_flag();
    ctrlc::set_handler(move || stop.store(true, Ordering::Relaxed))?;
    let mut best = BestModels::new("target/trainer/best", 2)?;
    if trainer.resume(&mut model)? {
        println!("goes on after step {} in epoch {}", trainer.optimizer.steps(), trainer.epoch());
    }
    while trainer.epoch() < epochs && best.evaluations_since() < 5 {
        let trained = trainer.train_epoch(
            &mut model,
            batches.epoch(trainer.epoch()),
            |model, numbers, gradients| {
                let (images, labels) = batch(&dev, numbers.iter().map(|number| &train[*number]));
                let logits = model.try_forward_mut(images.traced(gradients))?;
                Ok(cross_entropy(logits, &labels)?)
            },
        );
        match trained {
            Err(TrainError::Stopped { .. }) => {
                println!("stopped; run again to go on");
                return Ok(());
            }
            other => other?,
        };
        let (images, labels) = batch(&dev, held_out.iter());
        let logits = model.try_forward(images)?;
        let right = 100.0 * accuracy(&logits, &labels)?;
        let loss = f64::from(cross_entropy(logits, &labels)?.array());
        let line =
            format!("epoch {}: {right:.1} % of held-out images, loss {loss:.3}", trainer.epoch());
        bar.suspend(|| println!("{line}"));
        best.offer(trainer.epoch(), loss, |path| model.save_checkpoint(path))?;
    }
    bar.finish_and_clear();
    println!("the best model: {}", best.paths().map(|path| path.display()).next().unwrap());
    Ok(())
}
