//! The images: loading, splitting and batching them.

use perceiver::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// The width and height of an image.
const SIDE: usize = 8;

/// One image and the digit it shows.
#[derive(Clone)]
pub struct Digit {
    /// Row by row, with mean 0 and standard deviation 1 over all images.
    pub pixels: [f32; SIDE * SIDE],
    pub label: usize,
}

/// Mean and standard deviation of all pixels, which are 0 (paper) to 16 (ink).
const MEAN: f32 = 4.88;
const DEVIATION: f32 = 6.02;

/// The value of a pixel without ink.
const BLANK: f32 = -MEAN / DEVIATION;

/// Loads all 1,797 images.
pub fn load() -> Vec<Digit> {
    let lines = include_str!("digits.txt").lines().filter(|line| !line.starts_with('#'));
    let value = |char: char| char.to_digit(17).expect("the file has digits in base 17");
    let digit = |line: &str| {
        let (image, label) = line.split_once(' ').expect("an image and its label");
        let mut image = image.chars().map(value);
        let mut pixel = || (image.next().expect("64 pixels") as f32 - MEAN) / DEVIATION;
        Digit {
            pixels: [(); SIDE * SIDE].map(|()| pixel()),
            label: label.chars().map(value).sum::<u32>() as usize,
        }
    };
    lines.map(digit).collect()
}

/// Splits the images into training and test images: every fifth of the shuffled images of each digit is a test image.
pub fn split(mut digits: Vec<Digit>, rng: &mut StdRng) -> (Vec<Digit>, Vec<Digit>) {
    digits.shuffle(rng);
    let mut seen = [0; 10];
    digits.into_iter().partition(|digit| {
        seen[digit.label] += 1;
        seen[digit.label] % 5 != 0
    })
}

impl Digit {
    /// Returns the image, half the time shifted by up to one pixel in each direction, so that the model sees more
    /// variety than there is in the data.
    pub fn shifted(&self, rng: &mut StdRng) -> Self {
        if rng.random_bool(0.5) {
            return self.clone();
        }
        let (down, right) = (rng.random_range(0..3), rng.random_range(0..3));
        let mut pixels = [BLANK; SIDE * SIDE];
        for (i, pixel) in pixels.iter_mut().enumerate() {
            // One more than the source position, to stay above zero.
            let (row, column) = (i / SIDE + down, i % SIDE + right);
            if (1..=SIDE).contains(&row) && (1..=SIDE).contains(&column) {
                *pixel = self.pixels[(row - 1) * SIDE + column - 1];
            }
        }
        Self { pixels, ..*self }
    }
}

/// Images, and a one-hot row for the digit that each one shows.
pub struct Batch {
    pub images: Tensor<(usize, Const<SIDE>, Const<SIDE>, Const<1>), f32, AutoDevice>,
    pub targets: Tensor<(usize, Const<10>), f32, AutoDevice>,
}

impl Batch {
    pub fn of(digits: &[Digit], dev: &AutoDevice) -> Self {
        let pixels = digits.iter().flat_map(|digit| digit.pixels).collect();
        let targets = digits
            .iter()
            .flat_map(|digit| (0..10).map(|class| f32::from(u8::from(class == digit.label))))
            .collect();
        Self {
            images: dev.tensor_from_vec(pixels, (digits.len(), Const, Const, Const)),
            targets: dev.tensor_from_vec(targets, (digits.len(), Const)),
        }
    }
}
