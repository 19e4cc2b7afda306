//! Windows of the series, and the tokens made from them.

use anyhow::Result;
use perceiver::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;

/// Samples per second, in a window, and in the part of it where some are known.
pub const RATE: usize = 90;
pub const LEN: usize = 225;
pub const PAST: usize = 180;
/// The samples that a token is about, those before and after them that it has as well, and its width: each sample, if it is
/// known, whether it is, and the straight line there.
pub const STEP: usize = 5;
const MARGIN: usize = 10;
pub const WIDTH: usize = 3 * (STEP + 2 * MARGIN);
pub const TOKENS: usize = LEN / STEP;
/// The share of samples that are known.
const KNOWN: f64 = 0.25;

type Tokens = Tensor<(usize, Const<TOKENS>, Const<WIDTH>), f32, AutoDevice>;
type Samples = Tensor<(usize, Const<TOKENS>, Const<STEP>), f32, AutoDevice>;

/// A part of the series, in millivolts, and which of its samples are known.
pub struct Window {
    pub samples: Vec<f32>,
    pub known: Vec<bool>,
}

impl Window {
    pub fn new(samples: &[f32], rng: &mut StdRng) -> Self {
        let known = (0..LEN).map(|i| i < PAST && rng.random_bool(KNOWN)).collect();
        Self { samples: samples.to_vec(), known }
    }

    /// At a random place of a series.
    pub fn random(series: &[f32], rng: &mut StdRng) -> Self {
        let start = rng.random_range(0..=series.len() - LEN);
        Self::new(&series[start..start + LEN], rng)
    }

    /// Straight lines between the samples that are known, and level ones before the first and after the last.
    pub fn straight(&self) -> Vec<f32> {
        let known: Vec<usize> = (0..LEN).filter(|i| self.known[*i]).collect();
        let at = |i: usize| match (
            known[..known.partition_point(|k| *k <= i)].last(),
            known.iter().find(|k| **k > i),
        ) {
            (Some(&a), Some(&b)) => {
                let share = (i - a) as f32 / (b - a) as f32;
                self.samples[a] * (1.0 - share) + self.samples[b] * share
            }
            (Some(&one), None) | (None, Some(&one)) => self.samples[one],
            (None, None) => 0.0,
        };
        (0..LEN).map(at).collect()
    }

    /// What came in the part of a series that is most like what is known.
    pub fn nearest(&self, series: &[f32]) -> Vec<f32> {
        let distance = |other: &[f32]| -> f32 {
            let both = self.samples.iter().zip(other).zip(&self.known);
            both.map(|((a, b), known)| if *known { (a - b).powi(2) } else { 0.0 }).sum()
        };
        let nearest = series.windows(LEN).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.unwrap_or_default().to_vec()
    }
}

/// The electrocardiogram, in millivolts.
pub fn load() -> Result<Vec<f32>> {
    let lines = include_str!("heartbeat.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .flat_map(|line| line.split(' '))
        .map(|sample| Ok(sample.parse::<f32>()? / 100.0))
        .collect()
}

/// The tokens of windows.
pub fn tokens(windows: &[Window], dev: &AutoDevice) -> Tokens {
    let mut numbers = Vec::with_capacity(windows.len() * TOKENS * WIDTH);
    for window in windows {
        let straight = window.straight();
        for i in (0..TOKENS).flat_map(|token| token * STEP..token * STEP + STEP + 2 * MARGIN) {
            // At the ends of the window, the outer samples are repeated.
            let i = i.saturating_sub(MARGIN).min(LEN - 1);
            let known = f32::from(u8::from(window.known[i]));
            numbers.extend([known * window.samples[i], known, straight[i]]);
        }
    }
    dev.tensor_from_vec(numbers, (windows.len(), Const, Const))
}

/// What straight lines lack.
pub fn targets(windows: &[Window], dev: &AutoDevice) -> Samples {
    let lacking = windows.iter().flat_map(|window| {
        window.samples.iter().zip(window.straight()).map(|(sample, straight)| sample - straight)
    });
    dev.tensor_from_vec(lacking.collect(), (windows.len(), Const, Const))
}
