//! Mosaics of photographs of textures.

use anyhow::Result;
use image::{GrayImage, ImageFormat, RgbImage, imageops};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::common::picture;

/// The textures: bricks, grass and gravel.
pub const CLASSES: usize = 3;
/// The width and height of a mosaic.
pub const SIDE: usize = 32;
/// The number of pieces of a mosaic.
const PIECES: usize = 4;

/// An image, row by row, and the texture that each of its pixels is from.
pub struct Mosaic {
    pub pixels: Vec<f32>,
    pub classes: Vec<usize>,
}

impl Mosaic {
    pub fn image(&self) -> RgbImage {
        let grey = |pixel: &f32| (0.5 + pixel / 5.0).clamp(0.0, 1.0);
        picture::grey(SIDE, &self.pixels.iter().map(grey).collect::<Vec<_>>())
    }
}

/// A part of the photograph of each texture.
pub struct Textures(Vec<GrayImage>);

impl Textures {
    /// Loads the left three quarters of the photographs, to learn from, and the others, for testing.
    pub fn load() -> Result<(Self, Self)> {
        let photographs: [&[u8]; CLASSES] = [
            include_bytes!("brick.jpg"),
            include_bytes!("grass.jpg"),
            include_bytes!("gravel.jpg"),
        ];
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for bytes in photographs {
            let photograph = image::load_from_memory_with_format(bytes, ImageFormat::Jpeg)?;
            let photograph = photograph.into_luma8();
            let (width, height) = photograph.dimensions();
            let left = width / 4 * 3;
            let part = |x, width| imageops::crop_imm(&photograph, x, 0, width, height).to_image();
            train.push(part(0, left));
            test.push(part(left, width - left));
        }
        Ok((Self(train), Self(test)))
    }

    /// Returns four pieces of random textures: each pixel belongs to the nearest of four random points.
    pub fn mosaic(&self, rng: &mut StdRng) -> Mosaic {
        let mut number = || rng.random_range(0.0..SIDE as f32);
        let centres = [(); PIECES].map(|()| [number(), number()]);
        let textures = [(); PIECES].map(|()| rng.random_range(0..CLASSES));
        let crops = textures.map(|texture| crop(&self.0[texture], rng));
        let nearest = |i: usize| {
            let (row, column) = ((i / SIDE) as f32, (i % SIDE) as f32);
            let distance =
                |piece: usize| (centres[piece][0] - row).hypot(centres[piece][1] - column);
            (0..PIECES).min_by(|a, b| distance(*a).total_cmp(&distance(*b))).unwrap_or(0)
        };
        let pieces: Vec<usize> = (0..SIDE * SIDE).map(nearest).collect();
        Mosaic {
            pixels: pieces.iter().enumerate().map(|(i, piece)| crops[*piece][i]).collect(),
            classes: pieces.iter().map(|piece| textures[*piece]).collect(),
        }
    }
}

/// Some random pixels: the row and the column of each.
pub fn points(count: usize, rng: &mut StdRng) -> Vec<[usize; 2]> {
    (0..count).map(|_| [rng.random_range(0..SIDE), rng.random_range(0..SIDE)]).collect()
}

/// A random crop, half the time mirrored, with mean 0 and standard deviation 1, so that brightness and contrast do not tell a
/// texture.
fn crop(photograph: &GrayImage, rng: &mut StdRng) -> Vec<f32> {
    let side = SIDE as u32;
    let x = rng.random_range(0..=photograph.width() - side);
    let y = rng.random_range(0..=photograph.height() - side);
    let mut crop = imageops::crop_imm(photograph, x, y, side, side).to_image();
    if rng.random_bool(0.5) {
        imageops::flip_horizontal_in_place(&mut crop);
    }
    let mut pixels: Vec<f32> = crop.pixels().map(|pixel| f32::from(pixel[0])).collect();
    let count = pixels.len() as f32;
    let mean = pixels.iter().sum::<f32>() / count;
    pixels.iter_mut().for_each(|pixel| *pixel -= mean);
    let deviation = (pixels.iter().map(|pixel| pixel * pixel).sum::<f32>() / count).sqrt();
    pixels.iter_mut().for_each(|pixel| *pixel /= deviation.max(1.0));
    pixels
}
