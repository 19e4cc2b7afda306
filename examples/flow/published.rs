//! The published model, run on two images that may be larger than the frames it takes.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use perceiver::prelude::*;
use perceiver::presets::Flow;

use crate::frame::{Frame, Grid, Motion, Pair};
use crate::picture;

/// The size of the frames that the model takes.
const HEIGHT: usize = 368;
const WIDTH: usize = 496;

/// The least number of pixels that neighbouring tiles share.
const OVERLAP: usize = 20;

/// The model's output is in units of this many pixels.
const UNIT: f32 = 20.0;

/// Estimates the motion between two images with the weights of `deepmind/optical-flow-perceiver` and draws it.
pub fn run(frames: [&Path; 2], checkpoint: &Path, output: &Path, dev: &AutoDevice) -> Result<()> {
    let pair = Pair { first: read(frames[0])?, second: read(frames[1])? };
    check(&pair)?;
    let mut model = dev.build_module::<Flow, f32>();
    model.load_checkpoint(checkpoint)?;

    let start = Instant::now();
    let motion = estimate(&model, &pair, dev)?;
    let lengths = || motion.values.iter().map(|[right, down]| right.hypot(*down));
    let largest = lengths().fold(0.0, f32::max);
    let mean = lengths().sum::<f32>() / motion.values.len() as f32;
    println!(
        "motion estimated in {:.1} s: {mean:.2} pixels on average, {largest:.2} at most",
        start.elapsed().as_secs_f32()
    );

    let panels = vec![
        pair.first.panel("frame 1"),
        pair.second.panel("frame 2"),
        motion.panel(largest, "estimated motion"),
    ];
    picture::write(&[panels], 1, largest, output)?;
    println!("picture: {}", output.display());
    Ok(())
}

fn read(path: &Path) -> Result<Frame> {
    let image = image::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let image = image.to_rgb32f();
    Ok(Frame {
        height: image.height() as usize,
        width: image.width() as usize,
        values: image.pixels().map(|pixel| pixel.0.map(|value| 2.0 * value - 1.0)).collect(),
    })
}

fn check(Pair { first, second }: &Pair) -> Result<()> {
    let size = |frame: &Frame| format!("{} × {}", frame.width, frame.height);
    ensure!(
        (first.height, first.width) == (second.height, second.width),
        "the frames have different sizes, {} and {}: scale or crop them to the same size",
        size(first),
        size(second)
    );
    ensure!(
        first.height >= HEIGHT && first.width >= WIDTH,
        "the frames have {} pixels, but the model needs {WIDTH} × {HEIGHT} or more: enlarge them",
        size(first)
    );
    Ok(())
}

/// Estimates the motion in tiles of the size that the model takes, and averages them where they overlap.
fn estimate(model: &Flow<f32, AutoDevice>, pair: &Pair, dev: &AutoDevice) -> Result<Motion> {
    let Frame { height, width, .. } = pair.first;
    let corners: Vec<(usize, usize)> = starts(height, HEIGHT)
        .flat_map(|top| starts(width, WIDTH).map(move |left| (top, left)))
        .collect();
    let style = ProgressStyle::with_template("{bar:40} tile {pos}/{len}, {eta} left")?;
    let bar = ProgressBar::new(corners.len() as u64).with_style(style);
    bar.tick();

    let mut sums = Grid::from_fn(height, width, |_, _| ([0.0; 2], 0.0));
    for (top, left) in corners {
        let crop = |frame: &Frame| {
            Frame::from_fn(HEIGHT, WIDTH, |row, column| frame[(top + row, left + column)])
        };
        let tile = Pair { first: crop(&pair.first), second: crop(&pair.second) };
        let patches: Tensor<Rank5<1, 2, HEIGHT, WIDTH, 27>, f32, _> =
            dev.tensor_from_vec(tile.patches().collect(), Default::default());
        let rows: Tensor<Rank4<1, HEIGHT, WIDTH, 2>, f32, _> = model.try_forward(patches)?;
        for (i, motion) in rows.as_vec().chunks_exact(2).enumerate() {
            let (row, column) = (i / WIDTH, i % WIDTH);
            let weight = weight(row, HEIGHT).min(weight(column, WIDTH));
            let (sum, weights) = &mut sums[(top + row, left + column)];
            *sum = [sum[0] + weight * motion[0], sum[1] + weight * motion[1]];
            *weights += weight;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mean = |(sum, weights): &([f32; 2], f32)| sum.map(|value| UNIT * value / weights);
    Ok(Motion { height, width, values: sums.values.iter().map(mean).collect() })
}

/// Where tiles start that cover a length; the last one ends at its end.
fn starts(length: usize, tile: usize) -> impl Iterator<Item = usize> {
    let last = length - tile;
    (0..last).step_by(tile - OVERLAP).chain([last])
}

/// How much a tile counts at a pixel: less near its edges, where the model sees less of the surroundings.
fn weight(position: usize, tile: usize) -> f32 {
    (position + 1).min(tile - position) as f32
}
