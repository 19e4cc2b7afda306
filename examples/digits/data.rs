//! Shifting and batching the images.

use perceiver::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::common::digits::{Digit, SIDE, standardized};

/// Returns the image, half the time shifted by up to one pixel in each direction, so that the model sees more variety
/// than there is in the data.
pub fn shifted(digit: &Digit, rng: &mut StdRng) -> Digit {
    if rng.random_bool(0.5) {
        return digit.clone();
    }
    let (down, right) = (rng.random_range(0..3), rng.random_range(0..3));
    let mut pixels = [0.0; SIDE * SIDE];
    for (i, pixel) in pixels.iter_mut().enumerate() {
        // One more than the source position, to stay above zero.
        let (row, column) = (i / SIDE + down, i % SIDE + right);
        if (1..=SIDE).contains(&row) && (1..=SIDE).contains(&column) {
            *pixel = digit.pixels[(row - 1) * SIDE + column - 1];
        }
    }
    Digit { pixels, ..*digit }
}

/// Images, and the digit that each one shows.
pub struct Batch {
    pub images: Tensor<(usize, Const<SIDE>, Const<SIDE>, Const<1>), f32, AutoDevice>,
    pub targets: Tensor<(usize,), usize, AutoDevice>,
}

impl Batch {
    pub fn of(digits: &[Digit], dev: &AutoDevice) -> Self {
        let pixels = digits.iter().flat_map(|digit| digit.pixels.map(standardized)).collect();
        let labels = digits.iter().map(|digit| digit.label).collect();
        Self {
            images: dev.tensor_from_vec(pixels, (digits.len(), Const, Const, Const)),
            targets: dev.tensor_from_vec(labels, (digits.len(),)),
        }
    }
}
