//! The steps that make tokens of the numbers of a grid.

use proc_macro2::TokenStream;

use super::input::{Extent, Stem};
use super::section::Section;
use super::value::{self, Scalar};
use crate::messages;
use crate::report::Report;
use crate::schema;

/// What was read of the stem of a grid.
pub struct Read {
    pub stem: Vec<Stem>,
    /// The sizes of the axes after it, if they are fixed, with the numbers of the axes that they come from.
    pub sizes: Option<Vec<(usize, Scalar)>>,
    /// The number of axes after it, if it is known.
    pub axes: Option<u64>,
}

impl Read {
    pub fn new(grid: &Section, extent: &Extent, report: &mut Report) -> Self {
        let steps = match grid.field(&schema::STEM).and_then(|field| field.read.as_ref()) {
            Some(value::Read::List(steps)) => steps.as_slice(),
            _ => &[],
        };
        let mut sizes = extent.sizes();
        let mut stem = Vec::new();
        for step in steps {
            match step {
                value::Read::Values(variant, values) if variant.name == "Patches" => {
                    let Some(after) = patched(grid, sizes.as_deref(), values, report) else {
                        return Self { stem: Vec::new(), sizes: extent.sizes(), axes: None };
                    };
                    sizes = Some(after);
                    stem.push(Stem::Patches(values.clone()));
                }
                value::Read::Values(_, values) => {
                    stem.extend(values.first().cloned().map(Stem::Linear));
                }
                _ => {}
            }
        }
        let axes = sizes.as_ref().map_or(extent.axes(), |sizes| Some(sizes.len() as u64));
        Self { stem, sizes, axes }
    }
}

/// The sizes of the axes after patches; `None` if something is wrong, which is reported.
fn patched(
    grid: &Section,
    sizes: Option<&[(usize, Scalar)]>,
    patch: &[Scalar],
    report: &mut Report,
) -> Option<Vec<(usize, Scalar)>> {
    let Some(sizes) = sizes else {
        if let Some(field) = grid.field(&schema::STEM) {
            report.error(&field.key, messages::needs_shape("Patches"));
        }
        return None;
    };
    if sizes.len() != patch.len() {
        let tokens: TokenStream = patch.iter().map(|size| size.tokens.clone()).collect();
        report.error(&tokens, messages::patch_length(patch.len(), sizes.len()));
        return None;
    }
    let mut after = Vec::new();
    for (axis, ((number, size), patch)) in sizes.iter().zip(patch).enumerate() {
        match (size.count(), patch.count()) {
            (_, Some(1)) => after.push((*number, size.clone())),
            (Some(size), Some(count)) if size % count != 0 => {
                report.error(&patch.tokens, messages::patch_size(axis + 1, count, size));
                return None;
            }
            (Some(size), Some(patch)) if size == patch => {}
            (Some(size), Some(patch)) => {
                after.push((*number, Scalar::literal(&(size / patch).to_string())));
            }
            _ => {
                report.error(&patch.tokens, messages::patch_not_literal(axis + 1));
                return None;
            }
        }
    }
    Some(after)
}
