//! Position encodings, which tell a model where each token is.
//!
//! Without one, attention sees a set: the order of the tokens makes no difference. [`Position`] is what a
//! [spec](crate::spec::Spec::POSITION) names, [`Fourier`] the features of the paper, and [`FourierFeatures`] the same as a
//! layer for models of your own.

mod fourier;

pub use fourier::{Fourier, FourierFeatures, MaxFreq};

/// The position encoding of a grid: what is appended to the channels of each token.
///
/// ```
/// use perceiver::position::{Fourier, Position};
///
/// // RGB images with 64 frequency bands, as in the paper.
/// let position = Position::Fourier(Fourier::linear(64, 224.0));
/// assert_eq!(position.token_dim(2, 3), 3 + 2 * (2 * 64 + 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Position {
    /// No position encoding.
    None,
    /// Fourier features, which have no parameters and fit inputs of any size.
    Fourier(Fourier),
    /// A learned row for each position of an input of a fixed shape.
    Learned {
        /// The width of a row.
        channels: usize,
        /// The width to which a linear layer projects the rows before they are appended; `None` to append them as they are.
        project: Option<usize>,
    },
    /// This many numbers for each position, which are passed with the input: the coordinates of the points of a cloud, or their
    /// [Fourier features](Fourier::of_point).
    Given(usize),
}

impl Position {
    /// Returns the width of a token: its `channels` and what is appended to them, for a grid with this many `axes`.
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
