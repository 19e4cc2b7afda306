//! Fourier position encoding.

use std::f64::consts::PI;

use dfdx::prelude::*;

use super::Tokens;
use crate::dims::EncodedWidth;

/// How the frequencies of the bands are spaced.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spacing {
    /// Evenly from 1 to `max_freq / 2`.
    Linear,
    /// By powers of a base, from the base itself to `max_freq / 2`.
    Log { base: f64 },
}

/// Fourier features of the position, appended to each token's channels; the paper's section 3.2.
///
/// Along each of the `AXES` a position runs evenly from -1 to 1. Its features are
/// `[sin(π·f·p) for each band f.., cos(π·f·p) for each band f.., p]`, and a token becomes
/// `[channels.., features of axis 1.., features of axis 2.., ..]`: `WIDTH` wide, which has to be
/// `CHANNELS + AXES · (2 · BANDS + 1)`. The frequencies depend only on the declaration and the positions
/// only on the size of the input, so an encoding has no parameters.
///
/// A width that does not follow from the others is an error of `cargo check`, up to a width of 1024:
///
/// ```compile_fail,E0277
/// use perceiver::nn::FourierFeatures;
/// let features = FourierFeatures::<3, 2, 6, 30>::linear(10.0); // 3 + 2 * (2 * 6 + 1) is 29
/// ```
///
/// ```text
/// error[E0277]: `Const<30>` is not the width of 3 channels with 2 axes of 6 frequency bands
///    |
///    | let features = FourierFeatures::<3, 2, 6, 30>::linear(10.0);
///    |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a width of `3 + 2 * (2 * 6 + 1)`, of at most 1024, found `Const<30>`
/// ```
///
/// so that what is encoded fits the attention behind it, which says so if it does not:
///
/// ```
/// use perceiver::dfdx::nn::BuildModule;
/// use perceiver::nn::{Attention, FourierFeatures, Input};
/// use perceiver::prelude::*;
///
/// let dev = Cpu::default();
/// let image: Tensor<Rank4<1, 16, 16, 3>, f32, _> = dev.sample_normal();
/// let features = FourierFeatures::<3, 2, 6, 29>::linear(10.0);
/// let attention = Attention::<32, 29, 1, 64, f32, Cpu>::build(&dev);
///
/// let tokens = features.try_encode(image.into_tokens().unwrap()).unwrap();
/// let latents: Tensor<Rank3<1, 8, 32>, f32, _> = dev.sample_normal();
/// let out = attention.forward((latents, tokens.data));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FourierFeatures<
    const CHANNELS: usize,
    const AXES: usize,
    const BANDS: usize,
    const WIDTH: usize,
> {
    max_freq: f64,
    spacing: Spacing,
}

impl<const CHANNELS: usize, const AXES: usize, const BANDS: usize, const WIDTH: usize>
    FourierFeatures<CHANNELS, AXES, BANDS, WIDTH>
{
    /// Frequencies spaced evenly from 1 to `max_freq / 2`, as in the paper.
    #[must_use]
    pub fn linear(max_freq: f64) -> Self
    where
        Const<WIDTH>: EncodedWidth<CHANNELS, AXES, BANDS>,
    {
        Self::declared(max_freq, None)
    }

    /// Frequencies spaced logarithmically from `base` to `max_freq / 2`, as in the TensorFlow package.
    #[must_use]
    pub fn log(max_freq: f64, base: f64) -> Self
    where
        Const<WIDTH>: EncodedWidth<CHANNELS, AXES, BANDS>,
    {
        Self::declared(max_freq, Some(base))
    }

    /// For `perceiver!`, which works `WIDTH` out itself, from constants of any size.
    #[doc(hidden)]
    #[must_use]
    pub fn declared(max_freq: f64, freq_base: Option<f64>) -> Self {
        let spacing = freq_base.map_or(Spacing::Linear, |base| Spacing::Log { base });
        Self { max_freq, spacing }
    }

    /// Appends the features to each token: `CHANNELS` wide tokens become `WIDTH` wide. The features are
    /// made on the device; only a table for each axis is sent there. A model does not do this, where
    /// [`try_context`](Self::try_context) can do without.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_encode<B: Dim, E: Dtype, D: crate::Device<E>, T: Tape<E, D>>(
        &self,
        tokens: Tokens<B, Const<CHANNELS>, AXES, E, D, T>,
    ) -> Result<Tokens<B, Const<WIDTH>, AXES, E, D, T>, D::Err> {
        let (batch, count, _) = *tokens.data.shape();
        let (axes, mask) = (tokens.axes, tokens.mask.clone());
        let data = tokens.try_positioned(self.tables(&axes))?.try_encode()?;
        Ok(Tokens {
            data: data.try_reshape_like(&(batch, count, Const::<WIDTH>))?,
            axes,
            mask,
        })
    }

    /// For each axis, the features of each of its positions, row by row.
    pub(super) fn tables(&self, axes: &[usize; AXES]) -> Vec<Vec<f64>> {
        axes.iter()
            .map(|&size| self.table(size).collect())
            .collect()
    }

    /// The features of every position of an axis of `size`, row by row.
    fn table(&self, size: usize) -> impl Iterator<Item = f64> {
        let frequencies = self.frequencies();
        (0..size).flat_map(move |i| {
            let position = spaced(-1.0, 1.0, size, i);
            let angles = frequencies.map(|f| f * position * PI);
            let sines = angles.map(f64::sin).into_iter();
            let cosines = angles.map(f64::cos).into_iter();
            sines.chain(cosines).chain([position])
        })
    }

    /// The frequency of each band, in cycles over the axis.
    fn frequencies(&self) -> [f64; BANDS] {
        let highest = self.max_freq / 2.0;
        std::array::from_fn(|band| match self.spacing {
            Spacing::Linear => spaced(1.0, highest, BANDS, band),
            Spacing::Log { base } => base.powf(spaced(1.0, highest.log(base), BANDS, band)),
        })
    }
}

/// Number `index` of `count` numbers spaced evenly from `start` to `end`; of one number, `start`.
fn spaced(start: f64, end: f64, count: usize, index: usize) -> f64 {
    match count {
        0 | 1 => start,
        _ => start + (end - start) * index as f64 / (count - 1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_linear_unless_a_base_is_given() {
        let linear = FourierFeatures::<1, 1, 4, 10>::linear(20.0);
        assert_eq!(linear.frequencies(), [1.0, 4.0, 7.0, 10.0]);
        let log = FourierFeatures::<1, 1, 3, 8>::log(16.0, 2.0);
        for (found, expected) in log.frequencies().into_iter().zip([2.0, 4.0, 8.0]) {
            assert!(
                (found - expected).abs() < 1e-12,
                "{found} is not {expected}"
            );
        }
    }

    #[test]
    fn one_band_has_the_lowest_frequency_and_one_position_is_minus_one() {
        let features = FourierFeatures::<1, 1, 1, 4>::linear(20.0);
        assert_eq!(features.frequencies(), [1.0]);
        let table: Vec<f64> = features.table(1).collect();
        assert_eq!(table[2], -1.0);
    }
}
