//! Photographs, made smaller, and crops of them.

use anyhow::Result;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, Rgb32FImage, RgbImage, imageops};
use perceiver::position::Fourier;
use perceiver::prelude::*;

/// The width and height of a crop of a small photograph.
pub const CROP: usize = 8;
/// The pixels on each side of a crop that are there for their surroundings alone.
const MARGIN: usize = 2;
/// The pixels of a crop that are enlarged, along each axis.
pub const CORE: usize = CROP - 2 * MARGIN;
/// What a query has of the place of its point in the crop. The highest frequency has a period of one pixel, and says where in it
/// the point is.
const FEATURES: Fourier = Fourier::linear(4, 2.0 * CROP as f64);
/// The width and height of the pixels around a point that its query has.
const AROUND: usize = 2 * MARGIN + 1;
/// The width of a query.
pub const QUERY: usize = 2 * FEATURES.width() + 3 * AROUND * AROUND;
/// What differences of colours, from 0 to 1, are multiplied by, so that they are about 1.
const COLOUR: f32 = 5.0;
const LACKING: f32 = 20.0;

/// The part that is shown: its left upper corner, width and height.
const CUT_OUT: [u32; 4] = [100, 60, 96, 72];

type Pixels = Tensor<(usize, Const<CROP>, Const<CROP>, Const<3>), f32, AutoDevice>;
type Queries = Tensor<(usize, usize, Const<QUERY>), f32, AutoDevice>;
type Colours = Tensor<(usize, usize, Const<3>), f32, AutoDevice>;

/// The left upper corner of a crop.
pub type Corner = [u32; 2];

pub fn load(jpeg: &[u8]) -> Result<RgbImage> {
    Ok(image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg)?.into_rgb8())
}

/// A photograph, the same made smaller, and that enlarged again.
pub struct Photograph {
    pub scale: u32,
    pub truth: Rgb32FImage,
    pub small: Rgb32FImage,
    pub bicubic: Rgb32FImage,
}

impl Photograph {
    /// Makes a photograph smaller by a factor that its sizes are multiples of.
    pub fn new(truth: &RgbImage, scale: u32) -> Self {
        let (width, height) = truth.dimensions();
        // The mean of each square.
        let small = imageops::thumbnail(truth, width / scale, height / scale);
        let bicubic = imageops::resize(&small, width, height, FilterType::CatmullRom);
        let [truth, small, bicubic] = [truth.clone(), small, bicubic]
            .map(|image| DynamicImage::ImageRgb8(image).into_rgb32f());
        Self { scale, truth, small, bicubic }
    }

    /// The corners of all crops of the small photograph, or of those whose cores are side by side.
    pub fn corners(&self, step: usize) -> Vec<Corner> {
        let (width, height) = self.small.dimensions();
        let last = |size: u32| size.saturating_sub(CROP as u32);
        let rows = (0..=last(height)).step_by(step);
        rows.flat_map(|y| (0..=last(width)).step_by(step).map(move |x| [x, y])).collect()
    }

    /// The colours in crops, and a query for each point of their cores: its place, and the colours around it.
    pub fn input(&self, corners: &[Corner], dev: &AutoDevice) -> (Pixels, Queries) {
        let scale = self.scale as usize;
        let side = CORE * scale;
        let (mut pixels, mut queries) = (Vec::new(), Vec::new());
        for corner in corners {
            let colours = self.colours(*corner);
            for (row, column) in (0..side * side).map(|i| (i / side, i % side)) {
                queries.extend(FEATURES.of_point([row, column].map(|i| place(i, scale))));
                for y in row / scale..row / scale + AROUND {
                    let first = y * CROP + column / scale;
                    queries.extend_from_slice(colours[first..first + AROUND].as_flattened());
                }
            }
            pixels.extend(colours.into_iter().flatten());
        }
        let count = corners.len();
        (
            dev.tensor_from_vec(pixels, (count, Const, Const, Const)),
            dev.tensor_from_vec(queries, (count, side * side, Const)),
        )
    }

    /// The colours in a crop, row by row, less their mean.
    fn colours(&self, [x, y]: Corner) -> Vec<[f32; 3]> {
        let crop = imageops::crop_imm(&self.small, x, y, CROP as u32, CROP as u32).to_image();
        let mean =
            |i: usize| crop.pixels().map(|pixel| pixel[i]).sum::<f32>() / (CROP * CROP) as f32;
        let means = [0, 1, 2].map(mean);
        crop.pixels().map(|pixel| [0, 1, 2].map(|i| COLOUR * (pixel[i] - means[i]))).collect()
    }

    /// What bicubic interpolation lacks at the points of the cores of crops.
    pub fn lacking(&self, corners: &[Corner], dev: &AutoDevice) -> Colours {
        let side = CORE * self.scale as usize;
        let mut colours = Vec::with_capacity(corners.len() * side * side * 3);
        for corner in corners {
            for i in 0..side * side {
                let (x, y) = self.place(*corner, i);
                let [truth, bicubic] =
                    [&self.truth, &self.bicubic].map(|image| image.get_pixel(x, y).0);
                colours.extend([0, 1, 2].map(|i| LACKING * (truth[i] - bicubic[i])));
            }
        }
        dev.tensor_from_vec(colours, (corners.len(), side * side, Const))
    }

    /// Adds what a model says is lacking at the points of the cores of crops.
    pub fn add(&self, enlarged: &mut Rgb32FImage, corners: &[Corner], lacking: &[f32]) {
        let side = CORE * self.scale as usize;
        for (corner, colours) in corners.iter().zip(lacking.chunks(side * side * 3)) {
            for (i, colour) in colours.chunks(3).enumerate() {
                let (x, y) = self.place(*corner, i);
                let pixel = &mut enlarged.get_pixel_mut(x, y).0;
                pixel
                    .iter_mut()
                    .zip(colour)
                    .for_each(|(value, lacking)| *value += lacking / LACKING);
            }
        }
    }

    /// Where a point of the core of a crop is in the large photograph.
    fn place(&self, [x, y]: Corner, point: usize) -> (u32, u32) {
        let side = CORE * self.scale as usize;
        let at = |corner: u32, i: usize| (corner + MARGIN as u32) * self.scale + i as u32;
        (at(x, point % side), at(y, point / side))
    }

    /// The ratio of the largest possible error to that of an enlargement, in decibels (PSNR); the margins do not count.
    pub fn psnr(&self, enlarged: &Rgb32FImage) -> f32 {
        let margin = CROP as u32 * self.scale;
        let (width, height) = self.truth.dimensions();
        let (mut sum, mut count) = (0.0, 0);
        for (x, y, truth) in self.truth.enumerate_pixels() {
            if x >= margin && y >= margin && x < width - margin && y < height - margin {
                let pixel = enlarged.get_pixel(x, y);
                sum += truth
                    .0
                    .iter()
                    .zip(pixel.0)
                    .map(|(a, b)| (a - b.clamp(0.0, 1.0)).powi(2))
                    .sum::<f32>();
                count += 3;
            }
        }
        -10.0 * (sum / count as f32).log10()
    }

    /// A part of the photograph: made smaller, enlarged by interpolation and as given, and as it is.
    pub fn cut_outs(&self, enlarged: &Rgb32FImage) -> Vec<RgbImage> {
        let (width, height) = self.truth.dimensions();
        let pixels = imageops::resize(&self.small, width, height, FilterType::Nearest);
        let cut_out = |image: &Rgb32FImage| {
            let [x, y, width, height] = CUT_OUT;
            let part = imageops::crop_imm(image, x, y, width, height).to_image();
            DynamicImage::ImageRgb32F(part).into_rgb8()
        };
        [&pixels, &self.bicubic, enlarged, &self.truth].map(cut_out).to_vec()
    }
}

/// The middle of a point in a core, along an axis, from -1 to 1 over the crop.
fn place(point: usize, scale: usize) -> f32 {
    (MARGIN as f32 + (point as f32 + 0.5) / scale as f32) / CROP as f32 * 2.0 - 1.0
}
