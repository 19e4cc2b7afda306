//! How well the bytes of a text are predicted.

use anyhow::Result;
use perceiver::prelude::*;

use crate::{Bytes, Model};

pub const VOCAB: usize = Bytes::VOCAB;
/// Windows in a forward pass.
const BATCH: usize = 16;
/// The bytes that are predicted in a window, and those before them.
const LATENTS: usize = Bytes::NUM_LATENTS;
const PREFIX: usize = Bytes::MAX_LEN - LATENTS;

/// The ids of windows of the same length.
pub fn ids<'a>(
    windows: impl Iterator<Item = &'a [u8]>,
    dev: &AutoDevice,
) -> Tensor<(usize, usize), usize, AutoDevice> {
    let windows: Vec<&[u8]> = windows.collect();
    let len = windows.first().map_or(0, |window| window.len());
    let ids = windows.iter().copied().flatten().map(|byte| usize::from(*byte)).collect();
    dev.tensor_from_vec(ids, (windows.len(), len))
}

/// Bits per byte of a text, but for the bytes at its start, before which there are too few, and at its end.
pub fn bits(model: &Model, text: &[u8], dev: &AutoDevice) -> Result<f64> {
    let starts: Vec<usize> =
        (PREFIX + 1..text.len().saturating_sub(LATENTS)).step_by(LATENTS).collect();
    let (mut sum, mut count) = (0.0, 0);
    for starts in starts.chunks(BATCH) {
        let windows = starts.iter().map(|&start| &text[start - PREFIX - 1..start + LATENTS - 1]);
        let logits = model.try_forward((ids(windows, dev), PREFIX))?;
        let log_probabilities = logits.log_softmax::<Axis<2>>().as_vec();
        let bytes = starts.iter().flat_map(|&start| &text[start..start + LATENTS]);
        for (row, byte) in log_probabilities.chunks(VOCAB).zip(bytes) {
            sum -= f64::from(row[usize::from(*byte)]);
            count += 1;
        }
    }
    Ok(sum / f64::from(count) / std::f64::consts::LN_2)
}
