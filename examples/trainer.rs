//! Trains on handwritten digits, and can be stopped at any time: `cargo run --release --example trainer`. Press ctrl-C, or kill
//! it, and run it again to resume from the last checkpoint; delete `target/trainer` to start over.
//! `tensorboard --logdir target/trainer` shows its losses.

#[path = "common/mod.rs"]
mod common;

use anyhow::Result;
use common::digits::{Digit, SIDE, load, split, standardized};
use perceiver::prelude::*;
use perceiver::train::{AdamW, Batches, BestModels, Schedule, Trainer, accuracy, cross_entropy};
use rand::{SeedableRng, rngs::StdRng};

perceiver! {
    struct Digits {
        input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 2, num_latents: 16, latent_dim: 48,
        latent_heads: 4, latent_dim_head: 12, num_classes: 10, ff_dropout: 0.1,
    }
}

const EPOCHS: u64 = 20;

fn main() -> Result<()> {
    let dev = common::device(1)?;
    let (train, held_out) = split(load(), &mut StdRng::seed_from_u64(1));
    let batch = |digits: &[&Digit]| {
        let pixels = digits.iter().flat_map(|digit| digit.pixels.map(standardized)).collect();
        let shape = (digits.len(), Const::<SIDE>, Const::<SIDE>, Const::<1>);
        let labels = digits.iter().map(|digit| digit.label).collect();
        (dev.tensor_from_vec(pixels, shape), dev.tensor_from_vec(labels, (digits.len(),)))
    };

    let mut model = dev.build_module::<Digits, f32>();
    let batches = Batches::new(train.len(), 16, 1);
    let mut trainer = Trainer::new(AdamW::new(&model, Default::default())?, 3e-3)
        .with_schedule(Schedule::cosine(EPOCHS * batches.per_epoch() as u64))
        .with_ema(0.99)
        .with_checkpoint("target/trainer/digits.training", 100)
        .with_tensorboard("target/trainer")
        .with_progress()
        .stop_on_ctrl_c()?;
    let mut best = BestModels::new("target/trainer/best", 2)?;
    trainer.resume(&mut model)?;
    while trainer.epoch() < EPOCHS && best.evaluations_since() < 5 {
        let batches = batches.epoch(trainer.epoch());
        trainer.train_epoch(&mut model, batches, |model, numbers, gradients| {
            let digits: Vec<_> = numbers.iter().map(|number| &train[*number]).collect();
            let (images, labels) = batch(&digits);
            Ok(cross_entropy(model.try_forward_mut(images.traced(gradients))?, &labels)?)
        })?;
        let averaged = trainer.averaged(&model)?;
        let (images, labels) = batch(&held_out.iter().collect::<Vec<_>>());
        let logits = averaged.try_forward(images)?;
        let right = 100.0 * accuracy(&logits, &labels)?;
        let loss = f64::from(cross_entropy(logits, &labels)?.array());
        println!("epoch {}: {right:.1} % of held-out images, loss {loss:.3}", trainer.epoch());
        best.offer(trainer.epoch(), loss, |path| averaged.save_checkpoint(path))?;
    }
    println!("the best model: {}", best.paths().map(|path| path.display()).next().unwrap());
    Ok(())
}
