//! What the numbers of a grid go through before their positions are encoded.

/// A step of a stem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// Joins the channels of patches, of these sizes along the axes, row by row. An axis that has one patch is dropped.
    Patches(&'static [usize]),
    /// A linear layer with a bias, to so many channels.
    Linear(usize),
}

/// The number of channels after a stem.
pub(crate) const fn channels(stem: &[Stem], mut channels: usize) -> usize {
    let mut i = 0;
    while i < stem.len() {
        channels = match stem[i] {
            Stem::Linear(width) => width,
            Stem::Patches(sizes) => channels.saturating_mul(product(sizes)),
        };
        i += 1;
    }
    channels
}

/// The number of axes after a stem, for an input with `axes` axes, which has a fixed `shape` or an empty one.
pub(crate) const fn axes(stem: &[Stem], shape: &[usize], axes: usize) -> usize {
    let (mut i, mut left) = (0, axes);
    while i < stem.len() {
        if let Stem::Patches(sizes) = stem[i] {
            let mut axis = 0;
            while axis < sizes.len() && axis < shape.len() {
                if is_dropped(shape[axis], sizes[axis]) {
                    left = left.saturating_sub(1);
                }
                axis += 1;
            }
        }
        i += 1;
    }
    left
}

/// The number of positions after a stem, for an input with this fixed shape.
pub(crate) const fn positions(stem: &[Stem], shape: &[usize]) -> usize {
    let (mut i, mut count) = (0, product(shape));
    while i < stem.len() {
        if let Stem::Patches(sizes) = stem[i]
            && product(sizes) > 0
        {
            count /= product(sizes);
        }
        i += 1;
    }
    count
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
