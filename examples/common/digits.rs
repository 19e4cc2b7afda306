//! The images of handwritten digits.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// The width and height of an image.
pub const SIDE: usize = 8;

/// One image and the digit it shows.
#[derive(Clone)]
pub struct Digit {
    /// Row by row, from 0 (paper) to 16 (ink).
    pub pixels: [f32; SIDE * SIDE],
    pub label: usize,
}

/// Mean and standard deviation of all pixels.
const MEAN: f32 = 4.88;
const DEVIATION: f32 = 6.02;

/// Scales a pixel such that all pixels have mean 0 and standard deviation 1.
pub fn standardized(pixel: f32) -> f32 {
    (pixel - MEAN) / DEVIATION
}

/// Loads all 1,797 images.
pub fn load() -> Vec<Digit> {
    let lines = include_str!("../digits/digits.txt").lines().filter(|line| !line.starts_with('#'));
    let value = |char: char| char.to_digit(17).expect("the file has digits in base 17");
    let digit = |line: &str| {
        let (image, label) = line.split_once(' ').expect("an image and its label");
        let mut image = image.chars().map(value);
        let mut pixel = || image.next().expect("64 pixels") as f32;
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
