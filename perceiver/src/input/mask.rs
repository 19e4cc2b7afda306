//! Masks over an input.

use dfdx::prelude::*;

use crate::ops;

/// A mask over `Positions`, `(batch, axis 1, ..)`: a `bool` tensor, true where a position may be attended to.
pub trait InputMask<Positions, E: Dtype, D: Storage<E>> {
    /// Returns the mask with run-time dimensions; `None` masks nothing.
    fn grid(self) -> Option<ops::AnyRank<bool, D>>
    where
        D: crate::Device<E>;
}

/// The mask of a tensor that is passed without one.
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
