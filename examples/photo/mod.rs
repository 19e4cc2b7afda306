//! The model of the README, and photos as it takes them.

use std::path::Path;

use anyhow::{Context, Result};
use image::imageops::FilterType;
use image::{Rgb32FImage, RgbImage};
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

/// The width and height that photos are scaled to.
pub const SIZE: u32 = 224;

/// Mean and standard deviation of ImageNet's red, green and blue, from 0 to 1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// A photo's largest centred square, scaled to 224 × 224.
pub struct Photo(Rgb32FImage);

impl Photo {
    /// Reads a photo of any size.
    pub fn read(path: &Path) -> Result<Self> {
        let photo = image::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self(photo.resize_to_fill(SIZE, SIZE, FilterType::Triangle).to_rgb32f()))
    }

    /// The pixels, normalised as ImageNet is.
    pub fn tensor(&self, dev: &AutoDevice) -> Tensor<Rank4<1, 224, 224, 3>, f32, AutoDevice> {
        let normalised = |pixel: &image::Rgb<f32>| {
            std::array::from_fn::<_, 3, _>(|i| (pixel[i] - MEAN[i]) / DEVIATION[i])
        };
        dev.tensor_from_vec(self.0.pixels().flat_map(normalised).collect(), Default::default())
    }

    /// The pixels, as they are shown.
    #[allow(dead_code, reason = "`imagenet` shows no photo")]
    pub fn image(&self) -> RgbImage {
        image::DynamicImage::ImageRgb32F(self.0.clone()).to_rgb8()
    }
}

/// Returns the first GPU with the feature `cuda`, otherwise the CPU.
pub fn device() -> Result<AutoDevice> {
    #[cfg(feature = "cuda")]
    let dev = perceiver::cuda::device(0)?;
    #[cfg(not(feature = "cuda"))]
    let dev = Cpu::default();
    Ok(dev)
}
