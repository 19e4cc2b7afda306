//! The baseline: nearest neighbours of the clouds as images.

use crate::cloud::Cloud;
use crate::common::digits::SIDE;

/// The neighbours that vote.
const K: usize = 5;

type Image = [f32; SIDE * SIDE];

/// Clouds, binned to images, and their labels.
pub struct Neighbours {
    images: Vec<(Image, usize)>,
    binned: fn(&Cloud) -> Image,
}

impl Neighbours {
    pub fn of(clouds: &[Cloud], binned: fn(&Cloud) -> Image) -> Self {
        let image = |cloud: &Cloud| (normalized(binned(cloud)), cloud.label);
        Self { images: clouds.iter().map(image).collect(), binned }
    }

    /// Predicts the digit that most of the nearest neighbours show.
    pub fn predict(&self, cloud: &Cloud) -> usize {
        let image = normalized((self.binned)(cloud));
        let similarity =
            |other: &Image| -> f32 { image.iter().zip(other).map(|(a, b)| a * b).sum() };
        let mut neighbours: Vec<(f32, usize)> =
            self.images.iter().map(|(other, label)| (similarity(other), *label)).collect();
        neighbours.select_nth_unstable_by(K, |(a, _), (b, _)| b.total_cmp(a));
        let mut votes = [0; 10];
        for (_, label) in neighbours.iter().take(K) {
            votes[*label] += 1;
        }
        (0..10).max_by_key(|&label| votes[label]).unwrap_or(0)
    }
}

/// Scaled to length 1, so that a cloud with half of its points has the same neighbours.
fn normalized(image: Image) -> Image {
    let length = image.iter().map(|pixel| pixel * pixel).sum::<f32>().sqrt();
    image.map(|pixel| pixel / length)
}
