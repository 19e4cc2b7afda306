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
                value::Read::Values(variant, values) if variant.name == "ConvPool" => {
                    let axes =
                        sizes.as_ref().map_or(extent.axes(), |sizes| Some(sizes.len() as u64));
                    if let Some(after) = convolved(grid, axes, sizes.as_deref(), report) {
                        sizes = after;
                        stem.extend(values.first().cloned().map(Stem::ConvPool));
                    } else {
                        return Self { stem: Vec::new(), sizes: extent.sizes(), axes: None };
                    }
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

/// The sizes of the axes after a convolution, if they are fixed; `None` if something is wrong, which is reported.
fn convolved(
    grid: &Section,
    axes: Option<u64>,
    sizes: Option<&[(usize, Scalar)]>,
    report: &mut Report,
) -> Option<Option<Vec<(usize, Scalar)>>> {
    let mut wrong = |message| {
        if let Some(field) = grid.field(&schema::STEM) {
            report.error(&field.key, message);
        }
        None
    };
    match axes {
        Some(2) => {}
        Some(axes) => return wrong(messages::needs_image(axes)),
        None => return wrong(messages::needs_shape("ConvPool")),
    }
    let Some(sizes) = sizes else {
        return Some(None);
    };
    let mut after = Vec::new();
    for (axis, (number, size)) in sizes.iter().enumerate() {
        let Some(count) = size.count() else {
            return wrong(messages::size_not_literal(axis + 1));
        };
        // A window of 7 with stride 2 and padding 3, then one of 3 with stride 2.
        let halved = (count.saturating_sub(1)) / 2 + 1;
        let Some(rest) = halved.checked_sub(3) else {
            return wrong(messages::too_small(axis + 1, count));
        };
        after.push((*number, Scalar::literal(&(rest / 2 + 1).to_string())));
    }
    Some(Some(after))
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
