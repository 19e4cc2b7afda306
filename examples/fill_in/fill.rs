//! Filling in blanks.

use anyhow::{Result, ensure};
use perceiver::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::data::Window;
use crate::score::{best, predict};
use crate::{HIDDEN, LEN, Model};

/// The byte that marks a blank.
const BLANK: u8 = b'_';

/// Reads a text that has a `_` for each byte to fill in.
pub fn parse(text: &str) -> Result<Window> {
    let bytes = text.as_bytes().to_vec();
    let hidden: Vec<bool> = bytes.iter().map(|byte| *byte == BLANK).collect();
    ensure!(
        hidden.contains(&true),
        "`{text}` has nothing to fill in: put `_` in place of each letter to guess"
    );
    Ok(Window { bytes, hidden })
}

/// Returns short paragraphs of a text with bytes hidden.
pub fn examples(text: &str, count: usize, rng: &mut StdRng) -> Vec<Window> {
    let short: Vec<&str> = text.lines().filter(|line| (50..80).contains(&line.len())).collect();
    short.sample(rng, count).map(|line| Window::masked(line.as_bytes(), HIDDEN, rng)).collect()
}

/// The text, with a `_` for each hidden byte.
pub fn blanked(text: &Window) -> String {
    let byte = |(byte, hidden): (&u8, &bool)| if *hidden { BLANK } else { *byte };
    let bytes: Vec<u8> = text.bytes.iter().zip(&text.hidden).map(byte).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Fills in one byte after the other, always the most certain one, since each helps with those next to it.
pub fn fill(model: &Model, mut text: Window, dev: &AutoDevice) -> Result<String> {
    for _ in 0..text.blanks().len() {
        let blanks = text.blanks();
        let (windows, starts): (Vec<_>, Vec<_>) =
            blanks.iter().map(|&i| text.around(i, LEN)).unzip();
        let predicted = predict(model, &windows, dev)?;
        let guesses = predicted.iter().zip(blanks.iter().zip(starts)).map(|(rows, (&i, start))| {
            let row = &rows[i - start];
            let byte = best(row);
            (i, byte, row[usize::from(byte)])
        });
        if let Some((i, byte, _)) = guesses.max_by(|(.., a), (.., b)| a.total_cmp(b)) {
            text.bytes[i] = byte;
            text.hidden[i] = false;
        }
    }
    Ok(String::from_utf8_lossy(&text.bytes).into_owned())
}
