//! Training the model on rendered scenes, and running it.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Schedule};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use crate::frame::{Motion, Pair};
use crate::{HEIGHT, Model, PATCH, WIDTH, scene};

const STEPS: u64 = 4000;
const BATCH: usize = 8;
const LEARNING_RATE: f64 = 3e-3;
/// A line with the loss is printed after so many steps.
const REPORT: u64 = STEPS / 10;

type Patches = Tensor<(usize, Const<2>, Const<HEIGHT>, Const<WIDTH>, Const<27>), f32, AutoDevice>;

/// A row for each pixel, in the order of the model's output.
type Rows<T = NoneTape> = Tensor<(usize, usize, Const<2>), f32, AutoDevice, T>;

/// Trains the model on scenes that it sees only once.
pub fn train(model: &mut Model, dev: &AutoDevice, rng: &mut StdRng) -> Result<()> {
    let config = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
    let mut optimizer = AdamW::new(model, config)?;
    let mut grads = model.alloc_grads();
    let schedule = Schedule::cosine(STEPS);
    let style = "{bar:40} step {pos}/{len}, {eta} left {msg}";
    let bar = ProgressBar::new(STEPS).with_style(ProgressStyle::with_template(style)?);

    let mut loss_sum = 0.0;
    for step in 1..=STEPS {
        optimizer.config.learning_rate = LEARNING_RATE * schedule.factor(optimizer.steps());
        let scenes = render(rng);
        let (pairs, truth): (Vec<_>, Vec<_>) = scenes.into_iter().unzip();
        let estimate = model.forward_mut(patches(&pairs, dev).traced(grads));
        let estimate: Rows<_> = estimate.reshape_like(&(BATCH, HEIGHT * WIDTH, Const));
        let loss = end_point_error(estimate, rows(&truth, dev));
        loss_sum += loss.array();
        grads = optimizer.step(model, loss.backward())?;

        bar.inc(1);
        if step.is_multiple_of(REPORT) {
            let line = format!("end-point error {:.2} pixels", loss_sum / REPORT as f32);
            loss_sum = 0.0;
            bar.set_message(line.clone());
            bar.suspend(|| println!("step {step:4}/{STEPS}: {line}"));
        }
    }
    bar.finish_and_clear();
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
