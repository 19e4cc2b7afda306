//! Where a token is, as part of it.

mod fourier;

pub use fourier::{Fourier, FourierFeatures};

/// A position encoding. A new one is a file here, a variant of this enum, and its width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Position {
    /// Tokens do not know where they are.
    None,
    /// Fourier features, appended to a token's channels.
    Fourier(Fourier),
}

impl Position {
    /// The width of a token: its channels and what is appended to them.
    #[must_use]
    pub const fn token_dim(self, axes: usize, channels: usize) -> usize {
        match self {
            Self::None => channels,
            Self::Fourier(fourier) => channels + axes * fourier.width(),
        }
    }

    /// For each axis of a grid, what is appended to a token at each position along it, row by row. Empty if nothing is.
    pub(crate) fn tables(self, axes: &[usize]) -> Vec<Vec<f64>> {
        match self {
            Self::None => Vec::new(),
            Self::Fourier(fourier) => axes.iter().map(|&size| fourier.table(size)).collect(),
        }
    }
}
