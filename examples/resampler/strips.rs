//! Strips of images, and the tokens made from them.

use perceiver::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::common::digits::{Digit, SIDE, standardized};

/// The number of images in a strip.
pub const IMAGES: usize = 8;
/// The number of tokens of a strip, one for each pixel.
pub const TOKENS: usize = IMAGES * SIDE * SIDE;
/// The numbers in a token: a grey value, and one-hot the image, the row and the column that it is from.
pub const FEATURES: usize = 1 + IMAGES + SIDE + SIDE;

/// Images side by side.
pub type Strip = [Digit; IMAGES];

/// Returns a strip of random images.
pub fn random(digits: &[Digit], rng: &mut StdRng) -> Strip {
    [(); IMAGES].map(|()| digits[rng.random_range(0..digits.len())].clone())
}

/// Returns strips in which each image is as often as any other, but for a few that do not fill a strip.
pub fn shuffled(mut digits: Vec<Digit>, repetitions: usize, rng: &mut StdRng) -> Vec<Strip> {
    let mut strips = Vec::new();
    for _ in 0..repetitions {
        digits.shuffle(rng);
        let (chunks, _) = digits.as_chunks();
        strips.extend_from_slice(chunks);
    }
    strips
}

/// Returns a token for each pixel of each strip.
pub fn tokens(
    strips: &[Strip],
    dev: &AutoDevice,
) -> Tensor<(usize, usize, Const<FEATURES>), f32, AutoDevice> {
    let mut numbers = Vec::with_capacity(strips.len() * TOKENS * FEATURES);
    for strip in strips {
        for (image, digit) in strip.iter().enumerate() {
            for (i, pixel) in digit.pixels.iter().enumerate() {
                let mut token = [0.0; FEATURES];
                token[0] = standardized(*pixel);
                token[1 + image] = 1.0;
                token[1 + IMAGES + i / SIDE] = 1.0;
                token[1 + IMAGES + SIDE + i % SIDE] = 1.0;
                numbers.extend(token);
            }
        }
    }
    dev.tensor_from_vec(numbers, (strips.len(), TOKENS, Const))
}

/// Returns the digit in each image of each strip.
pub fn targets(
    strips: &[Strip],
    dev: &AutoDevice,
) -> Tensor<(usize, Const<IMAGES>), usize, AutoDevice> {
    let labels = strips.iter().flatten().map(|digit| digit.label).collect();
    dev.tensor_from_vec(labels, (strips.len(), Const))
}
