//! Runs the README's model on a photo: `cargo run --release --example imagenet -- PHOTO`; add `--features cuda` to run
//! on a GPU.

mod photo;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use perceiver::prelude::*;

use photo::{ImageNet, Photo};

/// Runs a Perceiver on a photo and prints the five classes with the largest logits.
#[derive(Parser)]
struct Arguments {
    /// The photo: JPEG, PNG, GIF, BMP, WebP or TIFF, of any size.
    photo: PathBuf,
    /// A safetensors file with weights for the model; without it, they are random.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let dev = photo::device()?;
    let image = Photo::read(&arguments.photo)?.tensor(&dev);

    let mut model = dev.build_module::<ImageNet, f32>();
    println!("{}\n", model.summary());
    if let Some(checkpoint) = &arguments.checkpoint {
        model.load_checkpoint(checkpoint)?;
    }

    let start = Instant::now();
    let logits: Tensor<Rank2<1, 1000>, f32, _> = model.try_forward(image)?;
    println!("forward pass: {:.2} s", start.elapsed().as_secs_f32());

    let mut classes: Vec<(usize, f32)> = logits.as_vec().into_iter().enumerate().collect();
    classes.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    for (class, logit) in &classes[..5] {
        println!("class {class:3}: logit {logit:.4}");
    }
    if arguments.checkpoint.is_none() {
        println!("The weights are random: these are the predictions of an untrained model.");
    }
    Ok(())
}
