//! Drawing with the model.

use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use perceiver::generate::{Options, Sampling};
use perceiver::prelude::*;

use crate::common::digits::{Digit, SIDE};
use crate::common::picture::{self, Sheet};
use crate::{GREYS, Model, PIXELS, Pixels, tokens};

/// Lets the model draw each digit some times, and the lower half of test images, and writes a picture of that.
pub fn draw(model: &Model, test: &[Digit], seed: u64, path: &Path, dev: &AutoDevice) -> Result<()> {
    let finish = |prompts: &[Vec<usize>], seed: u64| -> Result<Vec<RgbImage>> {
        let len = prompts[0].len();
        let ids = dev.tensor_from_vec(prompts.concat(), (prompts.len(), len));
        let options = Options {
            max_new_tokens: PIXELS + 1 - len,
            num_latents: len.min(Pixels::NUM_LATENTS),
            sampling: Sampling::Random { temperature: 0.9, top_k: None, top_p: Some(0.95) },
            seed,
            ..Options::default()
        };
        let drawn = model.generate(&ids, &options)?;
        Ok(prompts.iter().zip(drawn).map(|(prompt, drawn)| image(&[prompt, &drawn])).collect())
    };
    let labels: Vec<Vec<usize>> = (0..10).map(|label| vec![GREYS + label]).collect();
    let first = (0..10).filter_map(|label| test.iter().find(|digit| digit.label == label));
    let written: Vec<Vec<usize>> = first.map(tokens).collect();
    let upper: Vec<Vec<usize>> =
        written.iter().map(|tokens| tokens[..=PIXELS / 2].to_vec()).collect();

    let mut rows = Vec::new();
    for i in 0..5 {
        let label = if i == 0 { "drawn" } else { "" };
        rows.push((label.into(), finish(&labels, seed + i)?));
    }
    rows.push(("held-out digit".into(), written.iter().map(|tokens| image(&[tokens])).collect()));
    rows.push(("upper half".into(), upper.iter().map(|tokens| image(&[tokens])).collect()));
    for i in 0..2 {
        let label = if i == 0 { "lower half drawn" } else { "" };
        rows.push((label.into(), finish(&upper, seed + i)?));
    }
    Sheet { headings: Vec::new(), rows }.write(6, path)?;
    println!("\ndrawings: {}", path.display());
    Ok(())
}

/// The image of some tokens, after the first. What they lack is grey.
fn image(tokens: &[&[usize]]) -> RgbImage {
    let tokens = tokens.concat();
    let pixel = |i: usize| tokens.get(i + 1).map_or(0.75, |pixel| 1.0 - *pixel as f32 / 16.0);
    picture::grey(SIDE, &(0..PIXELS).map(pixel).collect::<Vec<_>>())
}
