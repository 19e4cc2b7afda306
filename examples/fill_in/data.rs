//! Windows of text, some of whose bytes are hidden.

use std::ops::RangeInclusive;

use perceiver::prelude::*;
use rand::RngExt;
use rand::rngs::StdRng;

/// The number of ids: those of bytes, and special ones below them, as in `perceiver::presets::Language`.
pub const VOCAB: usize = 262;
/// The id of byte 0.
pub const FIRST_BYTE: usize = 6;
/// The id in place of a hidden byte.
const MASK: usize = 3;

/// The number of bytes in a span that is hidden.
const SPANS: RangeInclusive<usize> = 1..=3;

/// A piece of text, and which of its bytes are hidden.
#[derive(Clone)]
pub struct Window {
    pub bytes: Vec<u8>,
    pub hidden: Vec<bool>,
}

impl Window {
    /// Hides a share of the bytes, in spans of one to three at random places, which may touch.
    pub fn masked(bytes: &[u8], share: f64, rng: &mut StdRng) -> Self {
        let mut hidden = vec![false; bytes.len()];
        let mut left = (share * bytes.len() as f64).round() as usize;
        while left > 0 {
            let start = rng.random_range(0..bytes.len());
            let span = rng.random_range(SPANS).min(left);
            for hidden in hidden[start..].iter_mut().take(span).filter(|hidden| !**hidden) {
                *hidden = true;
                left -= 1;
            }
        }
        Self { bytes: bytes.to_vec(), hidden }
    }

    /// The positions of the hidden bytes.
    pub fn blanks(&self) -> Vec<usize> {
        (0..self.bytes.len()).filter(|&i| self.hidden[i]).collect()
    }

    /// At most `len` bytes with the one at `center` among them, and how many bytes are before them.
    pub fn around(&self, center: usize, len: usize) -> (Self, usize) {
        let len = len.min(self.bytes.len());
        let start = center.saturating_sub(len / 2).min(self.bytes.len() - len);
        let range = start..start + len;
        let bytes = self.bytes[range.clone()].to_vec();
        (Self { bytes, hidden: self.hidden[range].to_vec() }, start)
    }
}

/// The ids of windows of the same length.
pub fn ids(windows: &[Window], dev: &AutoDevice) -> Tensor<(usize, usize), usize, AutoDevice> {
    let len = windows.first().map_or(0, |window| window.bytes.len());
    let bytes = windows.iter().flat_map(|window| window.bytes.iter().zip(&window.hidden));
    let id = |(byte, hidden): (&u8, &bool)| match hidden {
        true => MASK,
        false => FIRST_BYTE + usize::from(*byte),
    };
    dev.tensor_from_vec(bytes.map(id).collect(), (windows.len(), len))
}
