//! Weights that are stored with fewer bits than they are computed with.

use pulp::Simd;
use pulp::bytemuck::cast_slice;

use super::kernel::{Line, VECTORS};
use crate::ops::WeightPrecision;

/// A part of a panel, as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbers<'a> {
    F32(&'a [f32]),
    /// The upper halves of f32.
    Bf16(&'a [u16]),
    /// To be multiplied with the scale of their column.
    Int8 {
        numbers: &'a [i8],
        scales: &'a [f32],
    },
}

impl<'a> Numbers<'a> {
    /// Some of the numbers of a panel, from `start` on; whole rows.
    #[inline(always)]
    pub fn part(self, start: usize, len: usize) -> Self {
        match self {
            Self::F32(numbers) => Self::F32(&numbers[start..][..len]),
            Self::Bf16(numbers) => Self::Bf16(&numbers[start..][..len]),
            Self::Int8 { numbers, scales } => {
                Self::Int8 { numbers: &numbers[start..][..len], scales }
            }
        }
    }

    /// All of it, to be prefetched.
    #[inline(always)]
    pub fn lines(self) -> &'a [Line] {
        let bytes = match self {
            Self::F32(numbers) => cast_slice(numbers),
            Self::Bf16(numbers) => cast_slice(numbers),
            Self::Int8 { numbers, .. } => cast_slice(numbers),
        };
        bytes.as_chunks().0
    }

    /// Converts as many numbers to f32: the numbers that are multiplied with, and those of a tensor that is made again.
    #[inline(always)]
    pub fn widen<S: Simd>(self, out: &mut [f32]) {
        match self {
            Self::F32(numbers) => out.copy_from_slice(numbers),
            Self::Bf16(numbers) => {
                for (out, number) in out.iter_mut().zip(numbers) {
                    *out = f32::from_bits(u32::from(*number) << 16);
                }
            }
            Self::Int8 { numbers, scales } => {
                let width = VECTORS * S::F32_LANES;
                let scales = &scales[..width];
                let rows = out.chunks_exact_mut(width).zip(numbers.chunks_exact(width));
                for (out, numbers) in rows {
                    for ((out, number), scale) in out.iter_mut().zip(numbers).zip(scales) {
                        *out = f32::from(*number) * scale;
                    }
                }
            }
        }
    }
}

/// Numbers that own their memory.
#[derive(Debug)]
pub(super) enum Rounded {
    Bf16(Vec<u16>),
    Int8 { numbers: Vec<i8>, scales: Vec<f32> },
}

impl Rounded {
    /// Memory for panels, or `None` if this precision is not a rounded one.
    pub fn zeros(precision: WeightPrecision, len: usize, columns: usize) -> Option<Self> {
        match precision {
            WeightPrecision::F32 => None,
            WeightPrecision::Bf16 => Some(Self::Bf16(vec![0; len])),
            WeightPrecision::Int8 | WeightPrecision::Int8Dynamic => {
                Some(Self::Int8 { numbers: vec![0; len], scales: vec![0.0; columns] })
            }
        }
    }

    /// Rounds a panel of this width: the one with this index.
    pub fn set(&mut self, index: usize, panel: &[f32], width: usize) {
        let start = index * panel.len();
        match self {
            Self::Bf16(numbers) => {
                for (number, x) in numbers[start..].iter_mut().zip(panel) {
                    *number = to_bf16(*x);
                }
            }
            Self::Int8 { numbers, scales } => {
                let scales = &mut scales[index * width..][..width];
                set_scales(scales, panel);
                let rows = numbers[start..].chunks_mut(width).zip(panel.chunks(width));
                for (numbers, row) in rows {
                    for ((number, x), scale) in numbers.iter_mut().zip(row).zip(&*scales) {
                        *number = to_int8(*x, *scale);
                    }
                }
            }
        }
    }

    /// The panel with this index, of so many numbers.
    pub fn panel(&self, index: usize, len: usize, width: usize) -> Numbers<'_> {
        match self {
            Self::Bf16(numbers) => Numbers::Bf16(&numbers[index * len..][..len]),
            Self::Int8 { numbers, scales } => Numbers::Int8 {
                numbers: &numbers[index * len..][..len],
                scales: &scales[index * width..][..width],
            },
        }
    }
}

/// The nearest bf16, the even one of two. What is not a number stays so.
fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The nearest multiple of a scale. 0 where that is 0: a conversion from NaN is.
pub(super) fn to_int8(x: f32, scale: f32) -> i8 {
    (x / scale).round_ties_even() as i8
}

/// Computes the scales of the columns of a panel.
pub(super) fn set_scales(scales: &mut [f32], panel: &[f32]) {
    let width = scales.len();
    for (column, scale) in scales.iter_mut().enumerate() {
        *scale = scale_of(panel.iter().skip(column).step_by(width));
    }
}

/// What 127 stands for, divided by it. If a number is not finite, no result of its column is.
fn scale_of<'a>(column: impl Iterator<Item = &'a f32> + Clone) -> f32 {
    if column.clone().any(|x| !x.is_finite()) {
        return f32::NAN;
    }
    column.fold(0.0_f32, |largest, x| largest.max(x.abs())) / 127.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_the_nearest() {
        let widened = |x: f32| f32::from_bits(u32::from(to_bf16(x)) << 16);
        for x in [0.0, -0.0, 1.0, -1.5, f32::INFINITY, f32::NEG_INFINITY, 3.0e38, 1e-30] {
            assert!((widened(x) - x).abs() <= x.abs() / 256.0 || widened(x) == x, "{x}");
        }
        // One and 1/128 are neighbours: what is between goes to the nearest, and to the even one from half way.
        assert_eq!(widened(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(widened(1.0 + 1.1 / 256.0), 1.0 + 1.0 / 128.0);
        assert_eq!(widened(1.0 + 3.0 / 256.0), 1.0 + 2.0 / 128.0);
        assert!(widened(f32::NAN).is_nan());
        assert!(widened(f32::from_bits(0x7f80_0001)).is_nan());
    }

    #[test]
    fn a_column_with_a_number_that_is_not_finite_gives_none() {
        assert_eq!(scale_of([1.0, -254.0].iter()), 2.0);
        assert_eq!(scale_of([0.0].iter()), 0.0);
        assert!(scale_of([1.0, f32::NAN, 2.0].iter()).is_nan());
        assert!(scale_of([1.0, f32::INFINITY].iter()).is_nan());
    }
}
