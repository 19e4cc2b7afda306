//! Trains on handwritten digits in several processes, which share each batch:
//!
//! ```console
//! $ cargo build --release -p perceiver-examples --features mpi --example distributed
//! $ RAYON_NUM_THREADS=1 mpirun -np 4 target/release/examples/distributed
//! ```
//!
//! Stop it with ctrl-C or kill a process, and start it again: it goes on. To begin anew, remove `distributed.training`.
//! Needs `libopenmpi-dev`, `openmpi-bin` and `libclang-dev`, as Debian calls them.

#[path = "common/mod.rs"]
mod common;

use std::process::ExitCode;
use std::time::Instant;

use common::digits::{self, SIDE};
use perceiver::prelude::*;
use perceiver::train::{
    AdamW, AdamWConfig, Schedule, Trainer, accuracy, cross_entropy, distributed,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

perceiver! {
    /// Reads a handwritten digit.
    struct Digits {
        input_shape: [8, 8, 1],
        num_freq_bands: 4,
        max_freq: 8.0,
        depth: 2,
        num_latents: 8,
        latent_dim: 32,
        cross_heads: 4,
        cross_dim_head: 8,
        latent_heads: 2,
        latent_dim_head: 16,
        num_classes: 10,
    }
}

const EPOCHS: u64 = 30;

fn main() -> ExitCode {
    distributed::run(|world| {
        let dev = Cpu::seed_from_u64(1);
        let (train, test) = digits::split(digits::load(), &mut StdRng::seed_from_u64(1));
        let batch_of = |digits: &[&digits::Digit]| {
            let pixels = digits.iter().flat_map(|digit| digit.pixels.map(digits::standardized));
            let images: Tensor<(usize, Const<SIDE>, Const<SIDE>, Const<1>), f32, _> =
                dev.tensor_from_vec(pixels.collect(), (digits.len(), Const, Const, Const));
            let labels = digits.iter().map(|digit| digit.label).collect();
            (images, dev.tensor_from_vec(labels, (digits.len(),)))
        };

        let mut model = dev.build_module::<Digits, f32>();
        let batches = world.batches(train.len(), 16, 1)?;
        let steps = EPOCHS * batches.per_epoch() as u64;
        let optimizer = AdamW::new(&model, AdamWConfig::default())?;
        let mut trainer = Trainer::new(optimizer, 3e-3)
            .with_schedule(Schedule::cosine(steps))
            .with_checkpoint("distributed.training", 100)
            .with_world(world);
        if trainer.resume(&mut model)? && world.rank() == 0 {
            println!("goes on after step {}", trainer.optimizer.steps());
        }
        let (start, first) = (Instant::now(), trainer.optimizer.steps());
        while trainer.epoch() < EPOCHS {
            let batches = batches.epoch(trainer.epoch());
            let loss = trainer.train_epoch(&mut model, batches, |model, batch, gradients| {
                let digits: Vec<_> = batch.iter().map(|i| &train[*i]).collect();
                let (images, targets) = batch_of(&digits);
                Ok(cross_entropy(model.try_forward_mut(images.traced(gradients))?, &targets)?)
            })?;
            if world.rank() == 0 {
                println!("epoch {:2}/{EPOCHS}: loss {loss:.4}", trainer.epoch());
            }
        }
        if world.rank() == 0 {
            let seconds = start.elapsed().as_secs_f64();
            let steps = trainer.optimizer.steps() - first;
            let (images, targets) = batch_of(&test.iter().collect::<Vec<_>>());
            let right = 100.0 * accuracy(&model.try_forward(images)?, &targets)?;
            println!("{steps} steps with {} ranks in {seconds:.1} s", world.size());
            println!("test accuracy: {right:.1} %");
        }
        Ok(())
    })
}
