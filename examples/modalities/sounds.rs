//! The recordings of spoken digits, as spectrograms.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// The frames of a spectrogram.
pub const FRAMES: usize = 20;

/// The frequency bands of a frame.
pub const BANDS: usize = 16;

/// A recording and the digit that is spoken.
#[derive(Clone)]
pub struct Sound {
    /// A level in decibels for each band, for each frame, with mean 0 and standard deviation 1 over the recording, since
    /// voices and microphones differ in their levels.
    pub levels: [[f32; BANDS]; FRAMES],
    pub label: usize,
    pub speaker: &'static str,
}

/// Loads all 1,440 recordings.
pub fn load() -> Vec<Sound> {
    let lines = include_str!("sounds.txt").lines().filter(|line| !line.starts_with('#'));
    let sound = |line: &'static str| {
        let mut columns = line.split(' ');
        let mut column = || columns.next().expect("levels, a digit and a speaker");
        let mut levels = column().bytes().map(|byte| f32::from(byte - b'0'));
        let mut level = || levels.next().expect("320 levels");
        Sound {
            levels: standardized([(); FRAMES].map(|()| [(); BANDS].map(|()| level()))),
            label: column().parse().expect("a digit"),
            speaker: column(),
        }
    };
    lines.map(sound).collect()
}

fn standardized(mut levels: [[f32; BANDS]; FRAMES]) -> [[f32; BANDS]; FRAMES] {
    let mean = |values: &[[f32; BANDS]; FRAMES], value: fn(f32) -> f32| {
        values.as_flattened().iter().copied().map(value).sum::<f32>() / (FRAMES * BANDS) as f32
    };
    let shift = mean(&levels, |level| level);
    levels.as_flattened_mut().iter_mut().for_each(|level| *level -= shift);
    let deviation = mean(&levels, |level| level * level).sqrt().max(1e-3);
    levels.as_flattened_mut().iter_mut().for_each(|level| *level /= deviation);
    levels
}

/// Who is heard in the recordings.
pub fn speakers(sounds: &[Sound]) -> Vec<&'static str> {
    let mut speakers: Vec<&str> = sounds.iter().map(|sound| sound.speaker).collect();
    speakers.sort_unstable();
    speakers.dedup();
    speakers
}

/// Splits the recordings into those of the training and those of two speakers who are not heard there.
pub fn split(sounds: Vec<Sound>, rng: &mut StdRng) -> (Vec<Sound>, Vec<Sound>) {
    let mut speakers = speakers(&sounds);
    speakers.shuffle(rng);
    sounds.into_iter().partition(|sound| !speakers[..2].contains(&sound.speaker))
}

impl Sound {
    /// Returns the recording as if another voice had been recorded by another microphone, since a few voices are all
    /// the variety there is in the data.
    pub fn varied(&self, rng: &mut StdRng) -> Self {
        // Faster or slower, earlier or later; a longer or shorter vocal tract moves all bands.
        let (tempo, delay) = (rng.random_range(0.8..1.25), rng.random_range(-2.0..2.0));
        let pitch = rng.random_range(-1.5..1.5);
        // The microphone: more or less treble, and noise below which nothing is heard.
        let (treble, floor) = (rng.random_range(-1.0..1.0), rng.random_range(-2.5..-0.2));
        // Without some of the frames and bands, the model has to use all of the others.
        let lost_frame = rng.random_range(0..FRAMES);
        let lost_band = rng.random_range(0..BANDS);

        let mut varied = self.clone();
        for (i, frame) in varied.levels.iter_mut().enumerate() {
            let middle = FRAMES as f32 / 2.0;
            let source = (i as f32 - middle) * tempo + middle + delay;
            for (j, level) in frame.iter_mut().enumerate() {
                let tilt = treble * (j as f32 / BANDS as f32 - 0.5);
                let heard = self.between(source, j as f32 + pitch) + tilt;
                *level = heard.max(floor) + rng.random_range(-0.4..0.4);
                if i.abs_diff(lost_frame) < 2 || j.abs_diff(lost_band) < 2 {
                    *level = 0.0;
                }
            }
        }
        Self { levels: standardized(varied.levels), ..varied }
    }

    /// The level at a place between frames and bands. Beyond the edge it is that at the edge.
    fn between(&self, frame: f32, band: f32) -> f32 {
        let (frame, band) =
            (frame.clamp(0.0, FRAMES as f32 - 1.001), band.clamp(0.0, BANDS as f32 - 1.001));
        let (i, j) = (frame as usize, band as usize);
        let (down, right) = (frame.fract(), band.fract());
        let row = |i: usize| self.levels[i][j] * (1.0 - right) + self.levels[i][j + 1] * right;
        row(i) * (1.0 - down) + row(i + 1) * down
    }
}
