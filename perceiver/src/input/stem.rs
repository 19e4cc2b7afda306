//! What the numbers of a grid go through before their positions are encoded.

use crate::nn::conv_pool::size_after;

/// A step that turns a grid into tokens, before their positions are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// Joins the channels of each patch, row by row, into those of one token. There is one size for each axis, which must divide
    /// that axis; an axis that has a single patch is dropped.
    Patches(&'static [usize]),
    /// A linear layer with a bias, to this number of channels.
    Linear(usize),
    /// A convolution of an image to this number of channels, batch normalisation, ReLU and max pooling:
    /// [`ConvPoolView`](crate::nn::ConvPoolView).
    ConvPool(usize),
}

/// The number of channels after a stem.
pub(crate) const fn channels(stem: &[Stem], mut channels: usize) -> usize {
    let mut i = 0;
    while i < stem.len() {
        channels = match stem[i] {
            Stem::Linear(width) | Stem::ConvPool(width) => width,
            Stem::Patches(sizes) => channels.saturating_mul(product(sizes)),
        };
        i += 1;
    }
    channels
}

/// The number of axes after a stem, for an input with `axes` axes, which has a fixed `shape` or an empty one.
pub(crate) const fn axes(stem: &[Stem], shape: &[usize], axes: usize) -> usize {
    if shape.is_empty() {
        return axes;
    }
    let (_, after) = sizes(stem, shape);
    after
}

/// The number of positions after a stem, for an input with axes of these sizes.
pub(crate) const fn positions(stem: &[Stem], shape: &[usize]) -> usize {
    let (sizes, axes) = sizes(stem, shape);
    let (mut i, mut count) = (0, 1_usize);
    while i < axes {
        count = count.saturating_mul(sizes[i]);
        i += 1;
    }
    count
}

/// The sizes of the axes after a stem, for an input with this fixed shape; empty if it has none.
pub(crate) fn shape(stem: &[Stem], shape: &[usize]) -> Vec<usize> {
    if shape.is_empty() {
        return Vec::new();
    }
    let (sizes, axes) = sizes(stem, shape);
    sizes[..axes].to_vec()
}

/// The sizes of the axes after a stem, and their number, for an input with axes of these sizes, of which there are at most 4.
pub(crate) const fn sizes(stem: &[Stem], shape: &[usize]) -> ([usize; 4], usize) {
    let (mut sizes, mut axes) = ([1; 4], 0);
    while axes < shape.len() && axes < sizes.len() {
        sizes[axes] = shape[axes];
        axes += 1;
    }
    let mut i = 0;
    while i < stem.len() {
        let (before, mut axis) = (axes, 0);
        match stem[i] {
            Stem::Linear(_) => {}
            Stem::ConvPool(_) => {
                while axis < axes {
                    sizes[axis] = size_after(sizes[axis]);
                    axis += 1;
                }
            }
            Stem::Patches(patch) => {
                axes = 0;
                while axis < before && axis < patch.len() {
                    if !is_dropped(sizes[axis], patch[axis]) && patch[axis] > 0 {
                        sizes[axes] = sizes[axis] / patch[axis];
                        axes += 1;
                    }
                    axis += 1;
                }
            }
        }
        i += 1;
    }
    (sizes, axes)
}

/// Whether there is one patch along an axis, and it is not one position.
const fn is_dropped(size: usize, patch: usize) -> bool {
    patch > 1 && size == patch
}

/// The sizes of the axes after patches, if they divide the sizes before.
pub(crate) fn patched(axes: &[usize], patches: &[usize]) -> Option<Vec<usize>> {
    let divide = |(size, patch): (&usize, &usize)| size.is_multiple_of(*patch);
    if axes.len() != patches.len() || !axes.iter().zip(patches).all(divide) {
        return None;
    }
    let kept = axes.iter().zip(patches).filter(|(size, patch)| !is_dropped(**size, **patch));
    Some(kept.map(|(size, patch)| size / patch).collect())
}

const fn product(sizes: &[usize]) -> usize {
    let (mut i, mut product) = (0, 1_usize);
    while i < sizes.len() {
        product = product.saturating_mul(sizes[i]);
        i += 1;
    }
    product
}
