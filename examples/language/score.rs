//! How well the bytes of a text are predicted.

use anyhow::Result;
use perceiver::prelude::*;
use perceiver::train::cross_entropy;

use crate::{Bytes, Model};

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
    let mut sum = 0.0;
    for starts in starts.chunks(BATCH) {
        let inputs = starts.iter().map(|&start| &text[start - PREFIX - 1..start + LATENTS - 1]);
        let targets = starts.iter().map(|&start| &text[start..start + LATENTS]);
        let logits = model.try_forward((ids(inputs, dev), PREFIX))?;
        let loss = cross_entropy(logits, &ids(targets, dev))?;
        sum += f64::from(loss.array()) * starts.len() as f64;
    }
    Ok(sum / starts.len() as f64 / std::f64::consts::LN_2)
}
