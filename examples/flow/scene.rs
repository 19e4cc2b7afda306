//! Rendered scenes: textured objects that move over a textured background that moves, too.

use std::array;
use std::f32::consts::TAU;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::frame::{Frame, Motion, Pair};
use crate::{HEIGHT, WIDTH};

/// The largest motion in pixels.
pub const MAX_MOTION: f32 = 3.0;

/// Standard deviation of the noise of the frames, whose pixels are -1 to 1.
const NOISE: f32 = 0.1;

/// A surface that moves in parallel to the image.
struct Layer {
    waves: [Wave; 8],
    brightness: [f32; 3],
    motion: [f32; 2],
    /// Where the surface is in the first frame; everywhere if absent.
    outline: Option<Ellipse>,
}

/// A part of a texture: a plane wave, which can be evaluated between the pixels.
struct Wave {
    /// Change of the phase per pixel to the right and down.
    frequency: [f32; 2],
    phase: f32,
    /// Amplitudes of the three colours.
    colour: [f32; 3],
}

struct Ellipse {
    centre: [f32; 2],
    radii: [f32; 2],
}

/// Renders a random scene before and after a random motion, and returns the motion of each pixel.
pub fn random(rng: &mut StdRng) -> (Pair, Motion) {
    let mut layers = vec![Layer::random(None, rng)];
    for _ in 0..rng.random_range(1..=2) {
        let outline = Ellipse {
            centre: [rng.random_range(0.0..WIDTH as f32), rng.random_range(0.0..HEIGHT as f32)],
            radii: array::from_fn(|_| rng.random_range(5.0..10.0)),
        };
        layers.push(Layer::random(Some(outline), rng));
    }
    let pair = Pair { first: render(&layers, 0.0, rng), second: render(&layers, 1.0, rng) };
    let motion = Motion::from_fn(HEIGHT, WIDTH, |row, column| {
        let point = [column as f32, row as f32];
        let top = layers.iter().rfind(|layer| layer.cover(point) >= 0.5);
        top.map_or([0.0; 2], |layer| layer.motion)
    });
    (pair, motion)
}

/// Renders the layers, each over those before it, at a time from 0 to 1.
fn render(layers: &[Layer], time: f32, rng: &mut StdRng) -> Frame {
    Frame::from_fn(HEIGHT, WIDTH, |row, column| {
        let mut pixel = [0.0; 3];
        for layer in layers {
            // Where this point of the layer is in the first frame.
            let point =
                [column as f32 - time * layer.motion[0], row as f32 - time * layer.motion[1]];
            let cover = layer.cover(point);
            if cover > 0.0 {
                let colour = layer.colour(point);
                pixel = array::from_fn(|i| pixel[i] + cover * (colour[i] - pixel[i]));
            }
        }
        pixel.map(|value| (value + NOISE * normal(rng)).clamp(-1.0, 1.0))
    })
}

impl Layer {
    fn random(outline: Option<Ellipse>, rng: &mut StdRng) -> Self {
        let motion = polar(MAX_MOTION * rng.random::<f32>().sqrt(), rng);
        Self {
            waves: array::from_fn(|_| Wave::random(rng)),
            brightness: array::from_fn(|_| rng.random_range(-0.3..0.3)),
            motion,
            outline,
        }
    }

    /// The part of a pixel of the first frame that the layer covers.
    fn cover(&self, point: [f32; 2]) -> f32 {
        self.outline.as_ref().map_or(1.0, |outline| (0.5 - outline.distance(point)).clamp(0.0, 1.0))
    }

    fn colour(&self, point: [f32; 2]) -> [f32; 3] {
        let mut colour = self.brightness;
        for wave in &self.waves {
            let [x, y] = wave.frequency;
            let value = (wave.phase + x * point[0] + y * point[1]).sin();
            colour = array::from_fn(|i| colour[i] + wave.colour[i] * value);
        }
        colour
    }
}

impl Wave {
    fn random(rng: &mut StdRng) -> Self {
        let wavelength = rng.random_range(6.0..20.0);
        Self {
            frequency: polar(TAU / wavelength, rng),
            phase: rng.random_range(0.0..TAU),
            colour: array::from_fn(|_| rng.random_range(-0.25..0.25)),
        }
    }
}

impl Ellipse {
    /// Roughly the distance to the outline, in pixels; negative inside.
    fn distance(&self, point: [f32; 2]) -> f32 {
        let offset: [f32; 2] = array::from_fn(|i| (point[i] - self.centre[i]) / self.radii[i]);
        let smaller = self.radii[0].min(self.radii[1]);
        (offset[0].hypot(offset[1]) - 1.0) * smaller
    }
}

/// A vector of this length in a random direction.
fn polar(length: f32, rng: &mut StdRng) -> [f32; 2] {
    let (sin, cos) = rng.random_range(0.0..TAU).sin_cos();
    [length * cos, length * sin]
}

/// A sample of the standard normal distribution, by the method of Box and Muller.
fn normal(rng: &mut StdRng) -> f32 {
    // Above 0, so that the logarithm is finite.
    let uniform = 1.0 - rng.random::<f32>();
    (-2.0 * uniform.ln()).sqrt() * rng.random_range(0.0..TAU).cos()
}
