//! Batches of clouds as tensors.

use perceiver::position::Fourier;
use perceiver::prelude::*;

use crate::cloud::{Cloud, Point};
use crate::common::digits::standardized;

/// What the model is given of a coordinate, since a linear layer of the coordinate alone cannot single out a place: half as
/// many cycles per unit as a number from 1 to 4, so that the highest frequency has a period of two pixels.
const FEATURES: Fourier = Fourier::linear(4, 8.0);

/// The width of a position.
pub const POSITION: usize = 2 * FEATURES.width();

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
                positions.extend(FEATURES.of_point(point.position));
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
