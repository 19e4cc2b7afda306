//! Position encodings.

mod fourier;

pub use fourier::{Fourier, FourierFeatures, MaxFreq};

/// A position encoding. A new one that is appended to tokens needs a file here, a variant of this enum, and its width;
/// one that acts on queries and keys must also be handled in [`AttentionView`](crate::nn::AttentionView).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Position {
    /// No position encoding.
    None,
    /// Fourier features, appended to a token's channels.
    Fourier(Fourier),
    /// A learned row for each position of an input of a fixed shape, appended to its channels.
    Learned {
        /// The width of a row.
        channels: usize,
        /// To which a linear layer projects it before it is appended, if it does.
        project: Option<usize>,
    },
    /// So many numbers for each position, which are given with the input and appended to its channels: the coordinates of
    /// the points of a cloud, or their [Fourier features](Fourier::of_point).
    Given(usize),
}

impl Position {
    /// The width of a token: its channels and the features appended to them.
    #[must_use]
    pub const fn token_dim(self, axes: usize, channels: usize) -> usize {
        match self {
            Self::None => channels,
            Self::Given(width) => channels.saturating_add(width),
            Self::Fourier(fourier) => axes.saturating_mul(fourier.width()).saturating_add(channels),
            Self::Learned { channels: width, project: None }
            | Self::Learned { project: Some(width), .. } => channels.saturating_add(width),
        }
    }

    /// # Panics
    /// If a number is out of range, or there is not exactly one for each of the `axes`.
    pub(crate) const fn check(self, axes: usize) {
        if let Self::Fourier(fourier) = self {
            fourier.check(axes);
        }
    }

    /// For each axis of a grid, the features that are appended to a token at each position along it, row by row. Empty
    /// if there are none.
    pub(crate) fn tables(self, axes: &[usize]) -> Vec<Vec<f64>> {
        match self {
            Self::None | Self::Learned { .. } | Self::Given(_) => Vec::new(),
            Self::Fourier(fourier) => {
                let tables = axes.iter().enumerate();
                tables.map(|(axis, &size)| fourier.table(axis, size)).collect()
            }
        }
    }
}
