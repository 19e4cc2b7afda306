//! Masks over an input.

use dfdx::prelude::*;

use crate::ops;

/// A mask over an input whose batch and axes are `Positions`: a `bool` tensor `(batch, axis 1, ..)`, true where a position may
/// be attended to, or [`Unmasked`].
pub trait InputMask<Positions, E: Dtype, D: Storage<E>> {
    /// Returns the mask with run-time dimensions; `None` masks nothing.
    fn grid(self) -> Option<ops::AnyRank<bool, D>>
    where
        D: crate::Device<E>;
}

/// The mask of an input that is passed without one: everything may be attended to.
#[derive(Clone, Copy, Debug)]
pub struct Unmasked;

impl<Positions, E: Dtype, D: Storage<E>> InputMask<Positions, E, D> for Unmasked {
    fn grid(self) -> Option<ops::AnyRank<bool, D>>
    where
        D: crate::Device<E>,
    {
        None
    }
}
