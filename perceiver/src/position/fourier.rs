//! Fourier features.

use std::f64::consts::PI;

use dfdx::prelude::*;

use super::Position;
use crate::input::{Input, InputMask, Source};
use crate::ops::{Positioned, Record};
use crate::spec::EncodedWidth;
use crate::{Device, ForwardError, WrongSize};

/// The Fourier features of positions: sines and cosines at several frequencies (section 3.2 of the paper).
///
/// Along each axis, positions `p` are spaced evenly from -1 to 1. The features of a position are
/// `[sin(π·f·p) for each band f.., cos(π·f·p) for each band f.., p]`, [`width`](Self::width) numbers for each axis.
///
/// The first position of an axis is -1 and the last is 1, whatever its size, and padding counts: the same image with a padded
/// border has other positions, and so another result, even if the padding is masked. Where that matters, give all inputs one
/// fixed size.
///
/// [`linear`](Self::linear) and [`log`](Self::log) have the settings that are used most:
///
/// ```
/// use perceiver::position::Fourier;
///
/// let features = Fourier::linear(2, 8.0); // frequencies 1 and 4
/// let of_point: Vec<f64> = features.of_point([0.5]).map(|x: f64| (x * 1e6).round() / 1e6).collect();
/// assert_eq!(of_point, [1.0, 0.0, 0.0, 1.0, 0.5]); // sin π/2, sin 2π, cos π/2, cos 2π, and the position
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fourier {
    /// The number of frequency bands along each axis, at least 1.
    pub bands: usize,
    /// The sampling rate of the encoding along each axis, above 0, usually the size of the axis: the highest frequency is half of
    /// it (Nyquist). A frequency of 1 is one period from -1 to 1.
    pub max_freq: MaxFreq,
    /// How frequencies are spaced: if `None`, evenly from 1 to `max_freq / 2`, as in the paper; if `Some`, logarithmically from
    /// this base, above 0 and not 1, to `max_freq / 2`, as in the TensorFlow package.
    pub base: Option<f64>,
    /// Whether the last position along an axis is 1, as in `linspace(-1, 1, n)`. If not, position `i` of `n` is
    /// `-1 + 2·i/n`.
    pub endpoint: bool,
}

/// The sampling rates of [`Fourier`] features.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxFreq {
    /// The same along all axes.
    Same(f64),
    /// One for each axis.
    PerAxis(&'static [f64]),
}

impl MaxFreq {
    /// The sampling rate along an axis.
    pub(crate) fn at(self, axis: usize) -> f64 {
        match self {
            Self::Same(max_freq) => max_freq,
            Self::PerAxis(max_freqs) => max_freqs[axis],
        }
    }

    const fn check(self, axes: usize) {
        let all = match self {
            Self::Same(max_freq) => &[max_freq],
            Self::PerAxis(max_freqs) => {
                assert!(max_freqs.len() == axes, "`max_freq` must have one number per axis");
                max_freqs
            }
        };
        let mut i = 0;
        while i < all.len() {
            assert!(all[i] > 0.0 && all[i] < f64::INFINITY, "`max_freq` must be a number above 0");
            i += 1;
        }
    }
}

impl Fourier {
    /// Returns features with frequencies spaced evenly from 1 to `max_freq / 2`, the same along all axes, as in the paper.
    #[must_use]
    pub const fn linear(bands: usize, max_freq: f64) -> Self {
        Self { bands, max_freq: MaxFreq::Same(max_freq), base: None, endpoint: true }
    }

    /// Returns features with frequencies spaced logarithmically from `base` to `max_freq / 2`, the same along all axes, as in the
    /// TensorFlow package.
    #[must_use]
    pub const fn log(bands: usize, max_freq: f64, base: f64) -> Self {
        Self { base: Some(base), ..Self::linear(bands, max_freq) }
    }

    /// Returns the features of a point: those of its first coordinate, then those of the others, `AXES ·`
    /// [`width`](Self::width) numbers. Coordinates are usually from -1 to 1, as those of a grid are.
    ///
    /// They are for inputs and queries whose positions are declared as `Given`, such as the points of a cloud:
    ///
    /// ```
    /// use perceiver::{position::Fourier, prelude::*};
    ///
    /// const FEATURES: Fourier = Fourier::linear(4, 8.0);
    ///
    /// perceiver! {
    ///     pub struct Shapes {
    ///         input: Grid { axes: 1, channels: 1, position: Given(3 * FEATURES.width()) },
    ///         num_classes: 5, depth: 1, num_latents: 8, latent_dim: 16,
    ///     }
    /// }
    ///
    /// let points: [[f32; 3]; 2] = [[0.1, -0.8, 0.3], [-0.5, 0.2, 1.0]];
    /// let features = points.into_iter().flat_map(|point| FEATURES.of_point(point)).collect();
    ///
    /// let dev = Cpu::default();
    /// let positions: Tensor<Rank3<1, 2, 27>, f32, _> = dev.tensor_from_vec(features, Default::default());
    /// let brightness: Tensor<Rank3<1, 2, 1>, f32, _> = dev.ones();
    /// let logits = dev.build_module::<Shapes, f32>().forward((brightness, positions));
    /// ```
    ///
    /// # Panics
    /// If [`max_freq`](Self::max_freq) is [`MaxFreq::PerAxis`] with fewer than `AXES` numbers.
    pub fn of_point<E: Dtype, const AXES: usize>(
        self,
        point: [E; AXES],
    ) -> impl Iterator<Item = E> {
        let number = |x: f64| E::from_f64(x).unwrap_or_default();
        point.into_iter().enumerate().flat_map(move |(axis, coordinate)| {
            let position = coordinate.to_f64().unwrap_or(f64::NAN);
            let waves: Vec<f64> = waves(&self.frequencies(axis), position).collect();
            waves.into_iter().map(number).chain([coordinate])
        })
    }

    /// Returns the number of features of one axis, `2 · bands + 1`.
    #[must_use]
    pub const fn width(self) -> usize {
        self.bands.saturating_mul(2).saturating_add(1)
    }

    pub(crate) const fn check(self, axes: usize) {
        assert!(self.bands > 0, "`bands` must be at least 1");
        self.max_freq.check(axes);
        if let Some(base) = self.base {
            let fits = base > 0.0 && base != 1.0 && base < f64::INFINITY;
            assert!(fits, "`base` must be a number above 0 other than 1");
        }
    }

    /// The features of each position along an axis of `size`, row by row.
    pub(super) fn table(self, axis: usize, size: usize) -> Vec<f64> {
        let frequencies = self.frequencies(axis);
        let row = |i| {
            let position = match self.endpoint {
                true => spaced(-1.0, 1.0, size, i),
                false => -1.0 + 2.0 * i as f64 / size as f64,
            };
            waves(&frequencies, position).chain([position])
        };
        // Not collected: without its length, it would be allocated twice as large.
        let mut table = Vec::with_capacity(size * self.width());
        table.extend((0..size).flat_map(row));
        table
    }

    /// The features of some positions of a grid, by their numbers in its order, row by row: `[positions along all axes, sines of axis 1, ..,
    /// cosines of axis 1, ..]`, the order of Transformers.
    pub(crate) fn rows(self, axes: &[usize], positions: &[usize]) -> Vec<f64> {
        let (width, bands) = (self.width(), self.bands);
        let tables: Vec<_> =
            axes.iter().enumerate().map(|(axis, &size)| self.table(axis, size)).collect();
        let mut rows = Vec::with_capacity(positions.len() * axes.len() * width);
        let mut along = vec![[].as_slice(); axes.len()];
        for &position in positions {
            let mut rest = position;
            for ((features, table), &size) in along.iter_mut().zip(&tables).zip(axes).rev() {
                *features = &table[rest % size * width..][..width];
                rest /= size;
            }
            rows.extend(along.iter().map(|features| features[2 * bands]));
            rows.extend(along.iter().flat_map(|features| &features[..bands]));
            rows.extend(along.iter().flat_map(|features| &features[bands..2 * bands]));
        }
        rows
    }

    /// The frequency of each band, in cycles over the axis.
    fn frequencies(self, axis: usize) -> Vec<f64> {
        let highest = self.max_freq.at(axis) / 2.0;
        let frequency = |band| match self.base {
            None => spaced(1.0, highest, self.bands, band),
            Some(base) => base.powf(spaced(1.0, highest.log(base), self.bands, band)),
        };
        (0..self.bands).map(frequency).collect()
    }
}

/// The sines, then the cosines, of a position.
fn waves(frequencies: &[f64], position: f64) -> impl Iterator<Item = f64> {
    let angles = frequencies.iter().map(move |f| f * position * PI);
    angles.clone().map(f64::sin).chain(angles.map(f64::cos))
}

/// Number `index` of `count` numbers spaced evenly from `start` to `end`; `start` if there is only one.
fn spaced(start: f64, end: f64, count: usize, index: usize) -> f64 {
    match count {
        0 | 1 => start,
        _ => start + (end - start) * index as f64 / (count - 1) as f64,
    }
}

/// A layer that appends [`Fourier`] features to an input with `CHANNELS` channels and `AXES` axes, for models of your own.
///
/// A token becomes `[channels.., features of axis 1.., features of axis 2.., ..]`, of width `WIDTH`, which must be
/// `CHANNELS + AXES · (2 · BANDS + 1)`. The encoding has no parameters.
///
/// An inconsistent width is a `cargo check` error, for widths up to 1024:
///
/// ```compile_fail,E0277
/// use perceiver::position::FourierFeatures;
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
/// So attention to encoded tokens is checked, too:
///
/// ```
/// use perceiver::dfdx::nn::BuildModule;
/// use perceiver::{nn::Attention, position::FourierFeatures, prelude::*};
///
/// let dev = Cpu::default();
/// let image: Tensor<Rank4<1, 16, 16, 3>, f32, _> = dev.sample_normal();
/// let features = FourierFeatures::<3, 2, 6, 29>::linear(10.0);
/// let attention = Attention::<32, 29, 1, 64, f32, Cpu>::build(&dev);
///
/// let tokens: Tensor<(Const<1>, usize, Const<29>), f32, _> = features.try_encode(image)?;
/// let latents: Tensor<Rank3<1, 8, 32>, f32, _> = dev.sample_normal();
/// let out = attention.forward((latents, tokens));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FourierFeatures<
    const CHANNELS: usize,
    const AXES: usize,
    const BANDS: usize,
    const WIDTH: usize,
>(Fourier);

impl<const CHANNELS: usize, const AXES: usize, const BANDS: usize, const WIDTH: usize>
    FourierFeatures<CHANNELS, AXES, BANDS, WIDTH>
{
    /// Returns features with frequencies spaced evenly from 1 to `max_freq / 2`, as in the paper.
    #[must_use]
    pub fn linear(max_freq: f64) -> Self
    where
        Const<WIDTH>: EncodedWidth<CHANNELS, AXES, BANDS>,
    {
        Self(Fourier::linear(BANDS, max_freq))
    }

    /// Returns features with frequencies spaced logarithmically from `base` to `max_freq / 2`, as in the TensorFlow package.
    #[must_use]
    pub fn log(max_freq: f64, base: f64) -> Self
    where
        Const<WIDTH>: EncodedWidth<CHANNELS, AXES, BANDS>,
    {
        Self(Fourier::log(BANDS, max_freq, base))
    }

    /// Flattens the axes of an input, `(batch, axis 1, .., CHANNELS)`, and appends its features to each token; returns
    /// `(batch, tokens, WIDTH)`. A mask is checked, but has no effect on the result.
    ///
    /// Only a table for each axis is copied to the device, which expands it. A declared model does not even do that where it
    /// can compute with the tables.
    ///
    /// # Errors
    /// If the batch or an axis is empty, if the mask and the input differ in size, or if the device runs out of memory.
    pub fn try_encode<E: Dtype, D: Device<E>, I: Input<AXES, E, D, Channels = Const<CHANNELS>>>(
        &self,
        input: I,
    ) -> Result<Tensor<(I::Batch, usize, Const<WIDTH>), E, D, I::Tape>, ForwardError<D::Err>>
    where
        I::Mask: InputMask<I::Positions, E, D>,
    {
        let tokens = input.into_tokens()?;
        let mut record = Record::for_tape::<I::Tape>();
        let Source::Grid(grid, _) = tokens.source else {
            return Err(D::Err::wrong_size().into());
        };
        let axes = grid.axes();
        let tokens_in_parts = Positioned {
            features: Position::Fourier(self.0).tables(&axes),
            channels: D::try_flatten(&mut record, grid)?,
            axes,
            mask: None,
        };
        let encoded = tokens_in_parts.try_encode(&mut record)?;
        let mut tape = tokens.tape;
        record.put_on(&mut tape);
        Ok(crate::ops::typed(encoded, tape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_linear_unless_a_base_is_given() {
        let linear = Fourier::linear(4, 20.0);
        assert_eq!(linear.frequencies(0), [1.0, 4.0, 7.0, 10.0]);
        let log = Fourier::log(3, 16.0, 2.0);
        for (found, expected) in log.frequencies(0).into_iter().zip([2.0, 4.0, 8.0]) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }

    #[test]
    fn rows_are_those_of_the_tables() {
        let features = Fourier::linear(2, 8.0);
        let (first, second) = (features.table(0, 3), features.table(1, 4));
        let [a, b] = [&first[5..10], &second[15..20]];
        let expected = [a[4], b[4], a[0], a[1], b[0], b[1], a[2], a[3], b[2], b[3]];
        assert_eq!(features.rows(&[3, 4], &[7]), expected);
        let open = Fourier { endpoint: false, ..features };
        assert_eq!(open.rows(&[4], &[3])[0], 0.5);
    }

    #[test]
    fn points_of_a_grid_have_its_features() {
        let features = Fourier {
            base: Some(3.0),
            max_freq: MaxFreq::PerAxis(&[8.0, 5.0]),
            ..Fourier::linear(3, 1.0)
        };
        let expected = [&features.table(0, 5)[7..14], &features.table(1, 3)[14..21]].concat();
        assert_eq!(features.of_point([-0.5, 1.0]).collect::<Vec<f64>>(), expected);
        let rounded: Vec<f32> = expected.into_iter().map(|x| x as f32).collect();
        assert_eq!(features.of_point([-0.5_f32, 1.0]).collect::<Vec<_>>(), rounded);
    }

    #[test]
    fn one_band_has_the_lowest_frequency_and_one_position_is_minus_one() {
        let features = Fourier::linear(1, 20.0);
        assert_eq!(features.frequencies(0), [1.0]);
        assert_eq!(features.table(0, 1)[2], -1.0);
    }
}
