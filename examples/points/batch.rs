//! Batches of clouds as tensors.

use std::f32::consts::PI;

use perceiver::prelude::*;

use crate::cloud::{Cloud, Point};
use crate::common::digits::standardized;

/// Frequencies of the Fourier features of a coordinate, in half cycles over its unit. The highest has a period of two
/// pixels.
const FREQUENCIES: [f32; 4] = [1.0, 2.0, 3.0, 4.0];

/// The width of a position: both coordinates, and a sine and a cosine of each at each frequency.
pub const POSITION: usize = 2 * (1 + 2 * FREQUENCIES.len());

/// Clouds of different sizes, and the digit that each one shows.
pub struct Batch {
    pub ink: Tensor<(usize, usize, Const<1>), f32, AutoDevice>,
    pub positions: Tensor<(usize, usize, Const<POSITION>), f32, AutoDevice>,
    /// `false` for what only pads a cloud to the size of the largest.
    pub mask: Tensor<(usize, usize), bool, AutoDevice>,
    pub targets: Tensor<(usize,), usize, AutoDevice>,
}

impl Batch {
    pub fn of(clouds: &[Cloud], dev: &AutoDevice) -> Self {
        let largest = clouds.iter().map(|cloud| cloud.points.len()).max().unwrap_or(0);
        let labels = clouds.iter().map(|cloud| cloud.label).collect();
        let (mut ink, mut positions, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        for cloud in clouds {
            for i in 0..largest {
                let point = cloud.points.get(i);
                mask.push(point.is_some());
                let point = point.unwrap_or(&Point { ink: 0.0, position: [0.0; 2] });
                ink.push(standardized(point.ink));
                positions.extend(point.position.iter().copied().flat_map(features));
            }
        }
        Self {
            ink: dev.tensor_from_vec(ink, (clouds.len(), largest, Const)),
            positions: dev.tensor_from_vec(positions, (clouds.len(), largest, Const)),
            mask: dev.tensor_from_vec(mask, (clouds.len(), largest)),
            targets: dev.tensor_from_vec(labels, (clouds.len(),)),
        }
    }
}

/// The coordinate and its Fourier features, since a linear layer of the coordinate alone cannot single out a place.
fn features(x: f32) -> impl Iterator<Item = f32> {
    let waves = FREQUENCIES.into_iter().flat_map(move |frequency| {
        let (sin, cos) = (PI * frequency * x).sin_cos();
        [sin, cos]
    });
    std::iter::once(x).chain(waves)
}
