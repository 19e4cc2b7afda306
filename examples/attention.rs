//! Draws where the latents of the README's model look in a photo: `cargo run --release --example attention -- PHOTO`; add
//! `--features cuda` to run on a GPU.

mod photo;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Parser;
use image::{Rgb, RgbImage};
use perceiver::prelude::*;

use photo::{ImageNet, Photo, SIZE};

/// Draws the attention of a Perceiver over a photo: a row for each layer, a column for each of some latents, those whose
/// attention has the highest peaks in that layer.
#[derive(Parser)]
struct Arguments {
    /// The photo: JPEG, PNG, GIF, BMP, WebP or TIFF, of any size.
    photo: PathBuf,
    /// A safetensors file with weights for the model; without it, they are random.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The layers to show, from 0 to 5.
    #[arg(long, value_delimiter = ',', default_value = "0,2,5")]
    layers: Vec<usize>,
    /// How many latents to show of each layer.
    #[arg(long, default_value_t = 6)]
    latents: usize,
    /// The picture to write.
    #[arg(long, default_value = "attention.png")]
    output: PathBuf,
}

/// The attention of one latent to all pixels, row by row.
type Map<'a> = &'a [f32];

/// The width of the white lines between pictures.
const GAP: u32 = 6;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(!arguments.layers.is_empty(), "give at least one layer: `--layers 0,2,5`");
    let shown = arguments.latents.min(ImageNet::NUM_LATENTS);
    let dev = photo::device()?;
    let photo = Photo::read(&arguments.photo)?;
    let mut model = dev.build_module::<ImageNet, f32>();
    if let Some(checkpoint) = &arguments.checkpoint {
        model.load_checkpoint(checkpoint)?;
    }

    // (batch, heads, latents, rows, columns) for each layer.
    let maps: Vec<Tensor<Rank5<1, 1, 256, 224, 224>, f32, _>> =
        model.try_attention(photo.tensor(&dev), &arguments.layers)?;

    let picture = photo.image();
    let cell = SIZE + GAP;
    let (columns, rows) = (shown as u32 + 1, maps.len() as u32);
    let mut figure = RgbImage::from_pixel(columns * cell + GAP, rows * cell + GAP, Rgb([255; 3]));
    for (row, (layer, weights)) in (0..).zip(arguments.layers.iter().zip(&maps)) {
        let weights = weights.as_vec();
        let focused = focused(&weights, shown);
        let peak = focused.first().map_or(0.0, |(_, map)| peak(map));
        println!(
            "layer {layer}: latents {:?}; the highest weight is {:.0} times the mean",
            focused.iter().map(|(latent, _)| latent).collect::<Vec<_>>(),
            peak * (SIZE * SIZE) as f32,
        );
        let top = GAP + row * cell;
        place(&mut figure, &picture, (GAP, top));
        for (column, (_, map)) in (1..).zip(&focused) {
            place(&mut figure, &over(&picture, map), (GAP + column * cell, top));
        }
    }
    figure.save(&arguments.output)?;
    println!("attention over the photo: {}", arguments.output.display());
    if arguments.checkpoint.is_none() {
        println!("The weights are random: this is the attention of an untrained model.");
    }
    Ok(())
}

/// The latents with the highest peaks, with their numbers.
fn focused(weights: &[f32], count: usize) -> Vec<(usize, Map<'_>)> {
    let mut latents: Vec<_> = weights.chunks((SIZE * SIZE) as usize).enumerate().collect();
    latents.sort_by(|(_, a), (_, b)| peak(b).total_cmp(&peak(a)));
    latents.truncate(count);
    latents
}

fn peak(map: Map) -> f32 {
    map.iter().copied().fold(0.0, f32::max)
}

/// The photo in grey, coloured from dark blue over red to yellow where a latent attends to it, relative to its peak.
fn over(photo: &RgbImage, map: Map) -> RgbImage {
    let peak = peak(map).max(f32::MIN_POSITIVE);
    let grey = image::imageops::grayscale(photo);
    RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let grey = f32::from(grey.get_pixel(x, y)[0]);
        let weight = (map[(y * SIZE + x) as usize] / peak).sqrt();
        let heat =
            [1.5 * weight, 2.0 * weight - 0.8, 0.5 - weight].map(|c| c.clamp(0.0, 1.0) * 255.0);
        Rgb(heat.map(|colour| (0.45 * grey + 0.55 * colour) as u8))
    })
}

fn place(figure: &mut RgbImage, picture: &RgbImage, (left, top): (u32, u32)) {
    image::imageops::replace(figure, picture, left.into(), top.into());
}
