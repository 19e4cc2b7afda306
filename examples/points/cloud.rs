//! Clouds of points, and what is done to them.

use std::f32::consts::PI;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::common::digits::{Digit, SIDE};

/// The length of half the side of an image, in pixels: coordinates run from -1 to 1.
const HALF: f32 = SIDE as f32 / 2.0;

/// A point with ink.
#[derive(Clone, Copy)]
pub struct Point {
    /// From 0 (paper) to 16 (ink).
    pub ink: f32,
    /// To the right and down from the centre of the image, which reaches from -1 to 1.
    pub position: [f32; 2],
}

/// The points of an image, in no order, and the digit it shows.
#[derive(Clone)]
pub struct Cloud {
    pub points: Vec<Point>,
    pub label: usize,
}

impl Cloud {
    /// Returns a point for each pixel with ink, somewhere within that pixel.
    pub fn of(digit: &Digit, rng: &mut StdRng) -> Self {
        let mut points = Vec::new();
        for (i, &ink) in digit.pixels.iter().enumerate().filter(|(_, ink)| **ink > 0.0) {
            let mut within = |pixel: usize| (pixel as f32 + rng.random::<f32>()) / HALF - 1.0;
            points.push(Point { ink, position: [within(i % SIDE), within(i / SIDE)] });
        }
        points.shuffle(rng);
        Self { points, label: digit.label }
    }

    /// Turns the cloud about the centre by an angle in degrees, and scales it.
    pub fn turned(mut self, degrees: f32, scale: f32) -> Self {
        let (sin, cos) = (degrees * PI / 180.0).sin_cos();
        for Point { position: [x, y], .. } in &mut self.points {
            (*x, *y) = (scale * (cos * *x - sin * *y), scale * (sin * *x + cos * *y));
        }
        self
    }

    /// Keeps a share of the points, at least one. Since they are in no order, these are as good as random ones.
    pub fn thinned(mut self, share: f32) -> Self {
        let kept = (share * self.points.len() as f32).round() as usize;
        self.points.truncate(kept.max(1));
        self
    }

    /// Returns a new cloud for an image, with a random turn, scale and share of the points, for training.
    pub fn augmented(digit: &Digit, rng: &mut StdRng) -> Self {
        let (degrees, scale) = (rng.random_range(-20.0..20.0), rng.random_range(0.9..1.1));
        // Most clouds that the model is tested on are whole.
        let share = if rng.random_bool(0.5) { 1.0 } else { rng.random_range(0.4..1.0) };
        Self::of(digit, rng).turned(degrees, scale).thinned(share)
    }

    /// Returns the ink of the points in each pixel of an image, row by row.
    pub fn binned(&self) -> [f32; SIDE * SIDE] {
        let mut pixels = [0.0; SIDE * SIDE];
        for point in &self.points {
            let [column, row] = in_pixels(point).map(|x| x.round() as usize);
            pixels[row * SIDE + column] += point.ink;
        }
        pixels
    }

    /// The same, with the ink of a point shared among the four pixels around it, more to the nearer ones, so that a
    /// small movement changes the image little.
    pub fn binned_softly(&self) -> [f32; SIDE * SIDE] {
        let mut pixels = [0.0; SIDE * SIDE];
        for point in &self.points {
            let [x, y] = in_pixels(point);
            for (i, pixel) in pixels.iter_mut().enumerate() {
                let (right, down) = ((i % SIDE) as f32 - x, (i / SIDE) as f32 - y);
                *pixel += point.ink * (1.0 - right.abs()).max(0.0) * (1.0 - down.abs()).max(0.0);
            }
        }
        pixels
    }
}

/// The position in pixels from the centre of the first one; points beyond the outer centres count as on them.
fn in_pixels(point: &Point) -> [f32; 2] {
    point.position.map(|x| ((x + 1.0) * HALF - 0.5).clamp(0.0, SIDE as f32 - 1.0))
}
