//! A classical estimate to compare with: the method of Lucas and Kanade (1981).

use std::array;

use crate::frame::{Frame, Grid, Motion, Pair};
use crate::scene::MAX_MOTION;

/// Windows reach this far from their centre: the radius with the least error on these scenes.
const RADIUS: usize = 3;

const ITERATIONS: usize = 10;

/// The sums of products from which a step is computed, each over the pixels of a window and their colours.
///
/// Windows without texture leave the motion as it is, by way of the small numbers that the sums of squares start from.
struct Sums {
    xx: f32,
    xy: f32,
    yy: f32,
    xt: f32,
    yt: f32,
}

/// Finds for each pixel the motion with which a window around it in the first frame and the window that it moves to
/// differ least, with Newton's method from no motion.
pub fn lucas_kanade(pair: &Pair) -> Motion {
    let (first, second) = (blurred(&pair.first), blurred(&pair.second));
    let gradients = Grid::from_fn(first.height, first.width, |row, column| {
        gradient(&first, row as isize, column as isize)
    });
    Motion::from_fn(first.height, first.width, |row, column| {
        let rows = row.saturating_sub(RADIUS)..(row + RADIUS + 1).min(first.height);
        let columns = column.saturating_sub(RADIUS)..(column + RADIUS + 1).min(first.width);
        let mut motion = [0.0; 2];
        for _ in 0..ITERATIONS {
            let mut sums = Sums { xx: 1e-3, xy: 0.0, yy: 1e-3, xt: 0.0, yt: 0.0 };
            for cell in rows.clone().flat_map(|row| columns.clone().map(move |x| (row, x))) {
                let (x, y) = (cell.1 as f32 + motion[0], cell.0 as f32 + motion[1]);
                if let (Some([right, down]), Some(moved)) = (gradients[cell], sample(&second, x, y))
                {
                    sums.add(right, down, array::from_fn(|i| first[cell][i] - moved[i]));
                }
            }
            let [x, y] = sums.step();
            motion = [motion[0] + x, motion[1] + y];
            // No scene has a larger motion.
            let excess = (motion[0].hypot(motion[1]) / MAX_MOTION).max(1.0);
            motion = motion.map(|value| value / excess);
        }
        motion
    })
}

impl Sums {
    fn add(&mut self, right: [f32; 3], down: [f32; 3], difference: [f32; 3]) {
        for i in 0..3 {
            self.xx += right[i] * right[i];
            self.xy += right[i] * down[i];
            self.yy += down[i] * down[i];
            self.xt += right[i] * difference[i];
            self.yt += down[i] * difference[i];
        }
    }

    fn step(&self) -> [f32; 2] {
        let determinant = self.xx * self.yy - self.xy * self.xy;
        [
            (self.yy * self.xt - self.xy * self.yt) / determinant,
            (self.xx * self.yt - self.xy * self.xt) / determinant,
        ]
    }
}

/// Averages neighbouring pixels, since gradients amplify noise.
fn blurred(frame: &Frame) -> Frame {
    Frame::from_fn(frame.height, frame.width, |row, column| {
        let (mut sum, mut weights) = ([0.0; 3], 0.0);
        for (i, weight) in [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0].into_iter().enumerate() {
            let (i, row, column) = (i as isize, row as isize, column as isize);
            if let Some(pixel) = frame.get(row + i / 3 - 1, column + i % 3 - 1) {
                sum = array::from_fn(|i| sum[i] + weight * pixel[i]);
                weights += weight;
            }
        }
        sum.map(|value| value / weights)
    })
}

/// The changes per pixel to the right and down, unless they reach outside.
fn gradient(frame: &Frame, row: isize, column: isize) -> Option<[[f32; 3]; 2]> {
    let half = |a: [f32; 3], b: [f32; 3]| array::from_fn(|i| (b[i] - a[i]) / 2.0);
    Some([
        half(frame.get(row, column - 1)?, frame.get(row, column + 1)?),
        half(frame.get(row - 1, column)?, frame.get(row + 1, column)?),
    ])
}

/// The colour between four pixels, by bilinear interpolation, unless one of them is outside.
fn sample(frame: &Frame, x: f32, y: f32) -> Option<[f32; 3]> {
    let (row, column) = (y.floor() as isize, x.floor() as isize);
    let (down, right) = (y - y.floor(), x - x.floor());
    let mix = |a: [f32; 3], b: [f32; 3], part: f32| array::from_fn(|i| a[i] + part * (b[i] - a[i]));
    let above = mix(frame.get(row, column)?, frame.get(row, column + 1)?, right);
    let below = mix(frame.get(row + 1, column)?, frame.get(row + 1, column + 1)?, right);
    Some(mix(above, below, down))
}
