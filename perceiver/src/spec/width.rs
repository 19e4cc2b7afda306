//! The dimensions of parameters.

use std::fmt;

use dfdx::shapes::{ConstDim, Dim};

/// A dimension of a parameter, as a run-time size.
///
/// The widths of a model are part of its type, but not of the types of its parameters: those are matrices
/// `(Width, Width)` and vectors `(Width,)` in every model, so that dfdx's code for parameters is compiled once per
/// program and not again for each width of each model. dfdx's `realize` converts a tensor to these dimensions and back.
#[derive(Clone, Copy, Default)]
pub struct Width {
    size: usize,
    fan_in: usize,
}

impl Width {
    /// A dimension of `size`.
    #[must_use]
    pub const fn new(size: usize) -> Self {
        Self { size, fan_in: size }
    }

    /// The dimension of a bias that is added to sums of `fan_in` terms.
    pub(crate) const fn of_sums(size: usize, fan_in: usize) -> Self {
        Self { size, fan_in }
    }

    /// How many terms are in the sums that a bias is added to, which determines its initialisation.
    pub(crate) const fn fan_in(self) -> usize {
        self.fan_in
    }
}

impl PartialEq for Width {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size
    }
}
impl Eq for Width {}

impl fmt::Debug for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.size)
    }
}

impl Dim for Width {
    fn size(&self) -> usize {
        self.size
    }
    fn from_size(size: usize) -> Option<Self> {
        Some(Self::new(size))
    }
}

/// dfdx creates the options of a parameter only for shapes that it considers constant, so a width claims to be
/// constant. The options get their real shape right after they are created, and nothing else uses `SIZE`.
impl ConstDim for Width {
    const SIZE: usize = 0;
}
