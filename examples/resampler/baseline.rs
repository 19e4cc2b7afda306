//! What is possible without learning to find the images in a strip: each is compared with the training images.

use crate::common::digits::{Digit, SIDE};

type Pixels = [f32; SIDE * SIDE];

/// The share of test images that show the most frequent digit of the training images.
pub fn most_frequent(train: &[Digit], test: &[Digit]) -> f32 {
    let mut counts = [0; 10];
    for digit in train {
        counts[digit.label] += 1;
    }
    let most = (0..10).max_by_key(|&class| counts[class]).unwrap_or(0);
    accuracy(test, |_| most)
}

/// The accuracy of choosing the digit whose mean training image is nearest.
pub fn nearest_mean(train: &[Digit], test: &[Digit]) -> f32 {
    let means: Vec<Digit> = (0..10)
        .map(|label| {
            let mut mean = [0.0; SIDE * SIDE];
            let images: Vec<_> = train.iter().filter(|digit| digit.label == label).collect();
            for digit in &images {
                for (mean, pixel) in mean.iter_mut().zip(digit.pixels) {
                    *mean += pixel / images.len() as f32;
                }
            }
            Digit { pixels: mean, label }
        })
        .collect();
    accuracy(test, |pixels| nearest(&means, pixels))
}

/// The accuracy of choosing the digit of the nearest training image.
pub fn nearest_image(train: &[Digit], test: &[Digit]) -> f32 {
    accuracy(test, |pixels| nearest(train, pixels))
}

fn nearest(digits: &[Digit], pixels: &Pixels) -> usize {
    let distance = |digit: &Digit| -> f32 {
        digit.pixels.iter().zip(pixels).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let nearest = digits.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.map_or(0, |digit| digit.label)
}

fn accuracy(test: &[Digit], predict: impl Fn(&Pixels) -> usize) -> f32 {
    let right = test.iter().filter(|digit| predict(&digit.pixels) == digit.label).count();
    right as f32 / test.len() as f32
}
