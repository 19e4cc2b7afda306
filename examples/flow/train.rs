//! Training the model on rendered scenes, and running it.

use anyhow::Result;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Schedule, Trainer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use crate::frame::{Motion, Pair};
use crate::{HEIGHT, Model, PATCH, WIDTH, scene};

const STEPS: u64 = 4000;
const BATCH: usize = 8;
const LEARNING_RATE: f64 = 3e-3;
/// A line with the loss is printed after so many steps, which are an epoch.
const REPORT: u64 = STEPS / 10;

type Patches = Tensor<(usize, Const<2>, Const<HEIGHT>, Const<WIDTH>, Const<27>), f32, AutoDevice>;

/// A row for each pixel, in the order of the model's output.
type Rows<T = NoneTape> = Tensor<(usize, usize, Const<2>), f32, AutoDevice, T>;

/// Trains the model on scenes that it sees only once.
pub fn train(model: &mut Model, dev: &AutoDevice, rng: &mut StdRng) -> Result<()> {
    let config = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
    let mut trainer = Trainer::new(AdamW::new(model, config)?, LEARNING_RATE)
        .with_schedule(Schedule::cosine(STEPS))
        .with_progress();
    for first in (0..STEPS).step_by(REPORT as usize) {
        let steps = first..first + REPORT;
        let error = trainer.train_epoch(model, steps.clone(), |model, _, gradients| {
            let scenes = render(rng);
            let (pairs, truth): (Vec<_>, Vec<_>) = scenes.into_iter().unzip();
            let estimate = model.try_forward_mut(patches(&pairs, dev).traced(gradients))?;
            let estimate: Rows<_> = estimate.reshape_like(&(BATCH, HEIGHT * WIDTH, Const));
            Ok(end_point_error(estimate, rows(&truth, dev)))
        })?;
        println!("step {:4}/{STEPS}: end-point error {error:.2} pixels", steps.end);
    }
    Ok(())
}

/// Renders the scenes of a batch, on all cores.
fn render(rng: &mut StdRng) -> Vec<(Pair, Motion)> {
    let seeds: [u64; BATCH] = rng.random();
    seeds.into_par_iter().map(|seed| scene::random(&mut StdRng::seed_from_u64(seed))).collect()
}

/// The mean distance between the ends of estimated and true motion vectors, in pixels.
fn end_point_error<T: Tape<f32, AutoDevice>>(
    estimate: Rows<T>,
    truth: Rows,
) -> Tensor<Rank0, f32, AutoDevice, T> {
    let squares = (estimate - truth).square().sum::<_, Axis<2>>();
    // The root has no derivative at 0.
    (squares + 1e-4).sqrt().mean()
}

/// Estimates the motion of each pair.
pub fn estimate(model: &Model, pairs: &[Pair], dev: &AutoDevice) -> Result<Vec<Motion>> {
    let mut estimates = Vec::new();
    for pairs in pairs.chunks(BATCH) {
        let rows = model.try_forward(patches(pairs, dev))?.as_vec();
        let (rows, _) = rows.as_chunks();
        for rows in rows.chunks_exact(HEIGHT * WIDTH) {
            let mut motion = Motion::from_fn(HEIGHT, WIDTH, |_, _| [0.0; 2]);
            pixels().zip(rows).for_each(|(pixel, row)| motion[pixel] = *row);
            estimates.push(motion);
        }
    }
    Ok(estimates)
}

/// The rows and columns of the pixels in the order of the model's output: patch by patch.
fn pixels() -> impl Iterator<Item = (usize, usize)> {
    (0..HEIGHT * WIDTH).map(|i| {
        let (patch, pixel) = (i / (PATCH * PATCH), i % (PATCH * PATCH));
        let (row, column) = (patch / (WIDTH / PATCH), patch % (WIDTH / PATCH));
        (row * PATCH + pixel / PATCH, column * PATCH + pixel % PATCH)
    })
}

fn patches(pairs: &[Pair], dev: &AutoDevice) -> Patches {
    let values = pairs.iter().flat_map(Pair::patches).collect();
    dev.tensor_from_vec(values, (pairs.len(), Const, Const, Const, Const))
}

fn rows(motions: &[Motion], dev: &AutoDevice) -> Rows {
    let rows = motions.iter().flat_map(|motion| pixels().flat_map(|pixel| motion[pixel]));
    dev.tensor_from_vec(rows.collect(), (motions.len(), HEIGHT * WIDTH, Const))
}
