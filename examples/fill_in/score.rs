//! How well hidden bytes are predicted.

use std::fmt;

use anyhow::Result;
use perceiver::prelude::*;

use crate::Model;
use crate::data::{FIRST_BYTE, VOCAB, Window, ids};

/// Windows in a forward pass.
const BATCH: usize = 32;

/// The accuracy of predictions, and the bits that they leave unknown.
#[derive(Default)]
pub struct Score {
    right: usize,
    bits: f64,
    count: usize,
}

impl Score {
    /// Adds a prediction: a probability for each byte.
    pub fn add(&mut self, probabilities: &[f32], truth: u8) {
        self.right += usize::from(best(probabilities) == truth);
        // The logarithm of 0 is infinite.
        self.bits -= f64::from(probabilities[usize::from(truth)].max(1e-9)).log2();
        self.count += 1;
    }

    pub fn bits_per_byte(&self) -> f64 {
        self.bits / self.count as f64
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count as f64;
        let accuracy = 100.0 * self.right as f64 / count;
        write!(f, "accuracy {accuracy:.1} %, {:.2} bits per hidden byte", self.bits_per_byte())
    }
}

/// The byte with the largest probability.
pub fn best(probabilities: &[f32]) -> u8 {
    let bytes = 0..=u8::MAX;
    let probability = |byte: &u8| probabilities[usize::from(*byte)];
    bytes.max_by(|a, b| probability(a).total_cmp(&probability(b))).unwrap_or(0)
}

/// Scores the model's predictions of the hidden bytes of windows, all of the same length.
pub fn score(model: &Model, windows: &[Window], dev: &AutoDevice) -> Result<Score> {
    let mut score = Score::default();
    for windows in windows.chunks(BATCH) {
        for (window, rows) in windows.iter().zip(predict(model, windows, dev)?) {
            for i in window.blanks() {
                score.add(&rows[i], window.bytes[i]);
            }
        }
    }
    Ok(score)
}

/// For each window, of the same length, and each of its positions: a probability for each byte.
pub fn predict(model: &Model, windows: &[Window], dev: &AutoDevice) -> Result<Vec<Vec<Vec<f32>>>> {
    let logits = model.try_forward(ids(windows, dev))?;
    let rows = logits.shape().1.size();
    let probabilities = logits.softmax::<Axis<2>>().as_vec();
    let bytes = |row: &[f32]| row[FIRST_BYTE..].to_vec();
    let window = |window: &[f32]| window.chunks(VOCAB).map(bytes).collect();
    Ok(probabilities.chunks(rows * VOCAB).map(window).collect())
}
