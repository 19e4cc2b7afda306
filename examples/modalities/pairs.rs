//! Pairs of an image and a recording of the same digit, and batches of them.

use anyhow::{Context, Result};
use perceiver::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::DigitsInput;
use crate::common::digits::{Digit, SIDE, standardized};
use crate::sounds::{BANDS, FRAMES, Sound};

/// The rows of an image that the model sees: the upper half.
pub const ROWS: usize = SIDE / 2;

/// Which of the two inputs the model gets.
#[derive(Clone, Copy)]
pub enum Given {
    Both,
    Image,
    Sound,
}

impl Given {
    /// In training, half of the pairs lack the image or the sound.
    pub fn random(rng: &mut StdRng) -> Self {
        *[Self::Both, Self::Both, Self::Image, Self::Sound].choose(rng).unwrap_or(&Self::Both)
    }
}

/// An image and a recording of the same digit.
pub struct Pair {
    pub image: Digit,
    pub sound: Sound,
}

impl Pair {
    /// The pair with another variant of the sound.
    pub fn varied(self, rng: &mut StdRng) -> Self {
        Self { sound: self.sound.varied(rng), ..self }
    }
}

/// Images and recordings, by the digit.
pub struct Pairs {
    images: [Vec<Digit>; 10],
    sounds: [Vec<Sound>; 10],
}

impl Pairs {
    pub fn of(images: &[Digit], sounds: &[Sound]) -> Self {
        let mut pairs = Self { images: Default::default(), sounds: Default::default() };
        images.iter().for_each(|image| pairs.images[image.label].push(image.clone()));
        sounds.iter().for_each(|sound| pairs.sounds[sound.label].push(sound.clone()));
        pairs
    }

    /// Draws a digit, and an image and a recording of it.
    pub fn draw(&self, rng: &mut StdRng) -> Result<Pair> {
        let label = rng.random_range(0..10);
        let image = self.images[label].choose(rng);
        let sound = self.sounds[label].choose(rng);
        let (image, sound) = image.zip(sound).context("a digit has no image or no sound")?;
        Ok(Pair { image: image.clone(), sound: sound.clone() })
    }
}

type Image = Tensor<(usize, Const<ROWS>, Const<SIDE>, Const<1>), f32, AutoDevice>;
type ImageMask = Tensor<(usize, Const<ROWS>, Const<SIDE>), bool, AutoDevice>;
type Spectrogram = Tensor<(usize, Const<FRAMES>, Const<BANDS>), f32, AutoDevice>;
type SoundMask = Tensor<(usize, Const<FRAMES>), bool, AutoDevice>;

/// The model's input, with masks for what is not given.
pub fn input(
    pairs: &[Pair],
    given: &[Given],
    dev: &AutoDevice,
) -> DigitsInput<(Image, ImageMask), (Spectrogram, SoundMask)> {
    let image = pairs.iter().flat_map(|pair| &pair.image.pixels[..ROWS * SIDE]);
    let seen = |given: &Given| [!matches!(given, Given::Sound); ROWS * SIDE];
    let levels = pairs.iter().flat_map(|pair| pair.sound.levels.as_flattened());
    let heard = |given: &Given| [!matches!(given, Given::Image); FRAMES];
    let n = pairs.len();
    DigitsInput {
        image: (
            dev.tensor_from_vec(
                image.copied().map(standardized).collect(),
                (n, Const, Const, Const),
            ),
            dev.tensor_from_vec(given.iter().flat_map(seen).collect(), (n, Const, Const)),
        ),
        sound: (
            dev.tensor_from_vec(levels.copied().collect(), (n, Const, Const)),
            dev.tensor_from_vec(given.iter().flat_map(heard).collect(), (n, Const)),
        ),
    }
}

/// The digit of each pair.
pub fn targets(pairs: &[Pair], dev: &AutoDevice) -> Tensor<(usize,), usize, AutoDevice> {
    let labels = pairs.iter().map(|pair| pair.image.label).collect();
    dev.tensor_from_vec(labels, (pairs.len(),))
}
