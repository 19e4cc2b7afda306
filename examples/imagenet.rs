//! Runs the README's model on a photo: `cargo run --release --example imagenet -- PHOTO`; add `--features cuda` to run
//! on a GPU.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use image::imageops::FilterType;
use perceiver::prelude::*;

perceiver! {
    /// The ImageNet model of the README: 45,187,140 parameters.
    pub struct ImageNet {
        input_shape: [224, 224, 3],
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_latents: 256,
        latent_dim: 512,
        cross_heads: 1,
        latent_heads: 8,
        cross_dim_head: 64,
        latent_dim_head: 64,
        num_classes: 1000,
    }
}

/// Runs a Perceiver on a photo and prints the five classes with the largest logits.
#[derive(Parser)]
struct Arguments {
    /// The photo: JPEG, PNG, GIF, BMP, WebP or TIFF, of any size.
    photo: PathBuf,
    /// A safetensors file with weights for the model; without it, they are random.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
}

/// Mean and standard deviation of ImageNet's red, green and blue, from 0 to 1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let dev = device()?;
    let image = read(&arguments.photo, &dev)?;

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

/// Returns the first GPU with the feature `cuda`, otherwise the CPU.
fn device() -> Result<AutoDevice> {
    #[cfg(feature = "cuda")]
    let dev = perceiver::cuda::device(0)?;
    #[cfg(not(feature = "cuda"))]
    let dev = Cpu::default();
    Ok(dev)
}

/// Reads the photo's largest centred square, scaled to 224 × 224 and normalised as ImageNet is.
fn read(
    path: &PathBuf,
    dev: &AutoDevice,
) -> Result<Tensor<Rank4<1, 224, 224, 3>, f32, AutoDevice>> {
    let photo = image::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let pixels = photo.resize_to_fill(224, 224, FilterType::Triangle).to_rgb32f();
    let values = pixels
        .pixels()
        .flat_map(|pixel| std::array::from_fn::<_, 3, _>(|i| (pixel[i] - MEAN[i]) / DEVIATION[i]))
        .collect();
    Ok(dev.tensor_from_vec(values, Default::default()))
}
