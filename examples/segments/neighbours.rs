//! The baseline: nearest neighbours of the surroundings of a pixel.

use rand::RngExt;
use rand::rngs::StdRng;

use crate::mosaic::{CLASSES, Mosaic, SIDE, Textures};

/// The neighbours that vote.
const K: usize = 7;
/// The pixels on each side that count as surroundings.
const REACH: usize = 3;
/// How many mosaics, and pixels of each, are compared with.
const MOSAICS: usize = 400;
const PIXELS: usize = 10;

/// Mean, deviation, and mean steps to the right and down.
type Features = [f32; 4];

/// Surroundings of pixels of mosaics, and the textures there.
pub struct Neighbours(Vec<(Features, usize)>);

impl Neighbours {
    pub fn of(textures: &Textures, rng: &mut StdRng) -> Self {
        let mut neighbours = Vec::new();
        for _ in 0..MOSAICS {
            let mosaic = textures.mosaic(rng);
            for _ in 0..PIXELS {
                let pixel = rng.random_range(0..SIDE * SIDE);
                neighbours.push((features(&mosaic, pixel), mosaic.classes[pixel]));
            }
        }
        Self(neighbours)
    }

    /// The class of each pixel.
    pub fn segment(&self, mosaic: &Mosaic) -> Vec<usize> {
        (0..SIDE * SIDE).map(|pixel| self.class(&features(mosaic, pixel))).collect()
    }

    /// The class that most of the nearest neighbours have.
    fn class(&self, features: &Features) -> usize {
        let distance = |other: &Features| -> f32 {
            features.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum()
        };
        let mut neighbours: Vec<(f32, usize)> =
            self.0.iter().map(|(other, class)| (distance(other), *class)).collect();
        neighbours.select_nth_unstable_by(K, |(a, _), (b, _)| a.total_cmp(b));
        let mut votes = [0; CLASSES];
        neighbours.iter().take(K).for_each(|(_, class)| votes[*class] += 1);
        (0..CLASSES).max_by_key(|class| votes[*class]).unwrap_or(0)
    }
}

fn features(mosaic: &Mosaic, pixel: usize) -> Features {
    let around = |at: usize| at.saturating_sub(REACH)..(at + REACH + 1).min(SIDE);
    let at =
        |row: usize, column: usize| mosaic.pixels[row.min(SIDE - 1) * SIDE + column.min(SIDE - 1)];
    let (mut count, mut sums) = (0.0, Features::default());
    for row in around(pixel / SIDE) {
        for column in around(pixel % SIDE) {
            let here = at(row, column);
            let numbers = [
                here,
                here * here,
                (at(row, column + 1) - here).abs(),
                (at(row + 1, column) - here).abs(),
            ];
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
            count += 1.0;
        }
    }
    let [mean, square, right, down] = sums.map(|sum| sum / count);
    [mean, (square - mean * mean).max(0.0).sqrt(), right, down]
}
