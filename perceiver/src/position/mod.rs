//! Where a token is.

mod fourier;

pub use fourier::{Fourier, FourierFeatures, MaxFreq};

/// A position encoding. A new one that is appended to tokens is a file here, a variant of this enum, and its width; one
/// that acts on queries and keys is read by [`AttentionView`](crate::nn::AttentionView) too.
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
            Self::Fourier(fourier) => axes.saturating_mul(fourier.width()).saturating_add(channels),
        }
    }

    /// # Panics
    /// If a number is out of range, or there is not one for each of the `axes`.
    pub(crate) const fn check(self, axes: usize) {
        if let Self::Fourier(fourier) = self {
            fourier.check(axes);
        }
    }

    /// For each axis of a grid, what is appended to a token at each position along it, row by row. Empty if nothing is.
    pub(crate) fn tables(self, axes: &[usize]) -> Vec<Vec<f64>> {
        match self {
            Self::None => Vec::new(),
            Self::Fourier(fourier) => {
                let tables = axes.iter().enumerate();
                tables.map(|(axis, &size)| fourier.table(axis, size)).collect()
            }
        }
    }
}
