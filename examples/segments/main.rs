//! Trains a Perceiver IO to segment images: `cargo run --release --example segments`; add `--features cuda` to run on a GPU.
//!
//! An image is a mosaic of photographs of bricks, grass and gravel (see `textures.md`), and the model says for each pixel which of
//! them it is from. It learns from the left three quarters of the photographs, and is compared on mosaics of the rest with nearest
//! neighbours.

#[path = "../common/mod.rs"]
mod common;
mod mosaic;
mod neighbours;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use image::{Rgb, RgbImage};
use perceiver::prelude::*;
use perceiver::train::{AdamW, Batches, cross_entropy};
use rand::SeedableRng;
use rand::rngs::StdRng;

use common::picture::Sheet;
use mosaic::{CLASSES, Mosaic, SIDE, Textures};
use neighbours::Neighbours;

perceiver! {
    /// A class for each pixel. A convolution makes 7 × 7 tokens.
    pub struct Segments {
        input: Grid {
            shape: [32, 32, 1],
            stem: [ConvPool(32)],
            position: Fourier { bands: 4, max_freq: 8.0 },
        },
        depth: 2,
        num_latents: 32,
        latent_dim: 64,
        cross_heads: 4,
        cross_dim_head: 16,
        latent_heads: 4,
        latent_dim_head: 16,
        output: Queries {
            queries: Grid { shape: [32, 32], position: Fourier { bands: 8, max_freq: 32.0 } },
            project: CLASSES,
        },
    }
}

/// Trains a Perceiver on mosaics, and tests it on mosaics of other parts of the photographs.
#[derive(Parser)]
struct Arguments {
    /// The number of epochs, of 1,600 mosaics each.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// The seed for the initial parameters and the mosaics.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// The picture to write.
    #[arg(long, default_value = "segments.png")]
    output: PathBuf,
}

const BATCH: usize = 16;
const LEARNING_RATE: f64 = 3e-3;
/// How many mosaics the model is tested on.
const TEST: usize = 100;
/// The pixels of each batch whose classes are learned: fewer take less time, and others are drawn for the next batch.
const POINTS: usize = 128;

type Model = Segments<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let (train, test) = Textures::load()?;
    let test: Vec<Mosaic> = (0..TEST).map(|_| test.mosaic(&mut rng)).collect();

    let mut model = dev.build_module::<Segments, f32>();
    println!("{}\n", model.summary());
    learn(&mut model, &train, &test, arguments.epochs, &dev, &mut rng)?;
    println!("\ntrained in {:.1} s\n", start.elapsed().as_secs_f32());

    let neighbours = Neighbours::of(&train, &mut rng);
    let segmented = segment(&model, &test, &dev)?;
    let by_neighbours: Vec<_> = test.iter().map(|mosaic| neighbours.segment(mosaic)).collect();
    println!("pixels of test mosaics that are assigned to their texture");
    println!("  nearest neighbours:  {:.1} %", right(&test, &by_neighbours));
    println!("  this model:          {:.1} %", right(&test, &segmented));

    let row = |i: usize| {
        let classes = [&by_neighbours[i], &segmented[i], &test[i].classes];
        let images =
            std::iter::once(test[i].image()).chain(classes.map(|classes| coloured(classes)));
        (String::new(), images.collect())
    };
    let headings = ["mosaic", "neighbours", "Perceiver", "truth"].map(String::from).to_vec();
    Sheet { headings, rows: (0..4).map(row).collect() }.write(5, &arguments.output)?;
    println!("\npicture: {}", arguments.output.display());
    Ok(())
}

fn learn(
    model: &mut Model,
    textures: &Textures,
    test: &[Mosaic],
    epochs: u64,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let optimizer = AdamW::new(model, Default::default())?;
    let batches = Batches::new(1600, BATCH, 1);
    let loss = |model: &mut Model, numbers: Vec<usize>, gradients| {
        let mosaics: Vec<Mosaic> = numbers.iter().map(|_| textures.mosaic(rng)).collect();
        let points = mosaic::points(POINTS, rng);
        let logits = model.try_forward_at_mut(tensor(&mosaics, dev).traced(gradients), &points)?;
        let class =
            |mosaic: &Mosaic, [row, column]: [usize; 2]| mosaic.classes[row * SIDE + column];
        let classes = mosaics.iter().flat_map(|mosaic| points.iter().map(|at| class(mosaic, *at)));
        let classes = dev.tensor_from_vec(classes.collect(), (mosaics.len(), POINTS));
        Ok(cross_entropy(logits, &classes)?)
    };
    common::train(model, optimizer, LEARNING_RATE, &batches, epochs, loss, |model| {
        let share = right(test, &segment(model, test, dev)?);
        Ok(format!("{share:.1} % of the pixels of test mosaics"))
    })
}

fn tensor(
    mosaics: &[Mosaic],
    dev: &AutoDevice,
) -> Tensor<(usize, Const<SIDE>, Const<SIDE>, Const<1>), f32, AutoDevice> {
    let pixels = mosaics.iter().flat_map(|mosaic| mosaic.pixels.iter().copied()).collect();
    dev.tensor_from_vec(pixels, (mosaics.len(), Const, Const, Const))
}

/// The class of each pixel of each mosaic.
fn segment(model: &Model, mosaics: &[Mosaic], dev: &AutoDevice) -> Result<Vec<Vec<usize>>> {
    let logits = model.try_forward(tensor(mosaics, dev))?.as_vec();
    let classes: Vec<usize> = common::classes(&logits, CLASSES).collect();
    Ok(classes.chunks(SIDE * SIDE).map(<[usize]>::to_vec).collect())
}

/// The share of pixels whose class is right, in percent.
fn right(mosaics: &[Mosaic], segmented: &[Vec<usize>]) -> f32 {
    let pairs = mosaics
        .iter()
        .zip(segmented)
        .flat_map(|(mosaic, classes)| mosaic.classes.iter().zip(classes));
    let right = pairs.filter(|(truth, class)| truth == class).count();
    100.0 * right as f32 / (mosaics.len() * SIDE * SIDE) as f32
}

/// Bricks are red, grass is green, gravel is grey.
fn coloured(classes: &[usize]) -> RgbImage {
    let colours = [[190, 90, 70], [110, 160, 80], [150, 150, 165]];
    RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        Rgb(colours[classes[y as usize * SIDE + x as usize]])
    })
}
