//! Products of bytes: rows are rounded too, and sums are whole numbers. For the instructions of AVX-512 VNNI, which multiply
//! four times as many numbers at once.
//!
//! A weight is stored as a byte without a sign, 128 more than its own number. What that adds to a sum is the same for all
//! columns, and is subtracted from it.

use pulp::bytemuck::cast_slice_mut;

use super::kernel::{self, Multiply};
use crate::ops::cpu::matrix::MatRef;

/// The columns of a panel: two vectors of as many sums.
const WIDTH: usize = 32;

/// The rows that are multiplied at once by one instruction.
const STEP: usize = 4;

/// The longest sums that cannot overflow: of products of 255 and 127.
const LONGEST: usize = 1 << 16;

/// A step of a panel, two vectors: for each column, the weights of its rows.
type Step = [[u8; 64]; 2];

/// A matrix, panel by panel.
#[derive(Debug)]
pub(super) struct Bytes {
    steps: Vec<Step>,
    /// For each column, padding included.
    scales: Vec<f32>,
    /// The number of steps of a panel.
    depth: usize,
}

impl Bytes {
    /// Lays out a matrix, if this machine has the instructions and its columns are not too long.
    pub fn new(matrix: MatRef<'_>) -> Option<Self> {
        let (rows, columns) = (matrix.height(), matrix.width());
        if !is_available() || kernel::panel_width() != WIDTH || rows > LONGEST {
            return None;
        }
        let (panels, depth) = (columns.div_ceil(WIDTH), rows.div_ceil(STEP));
        let mut bytes = Self {
            steps: vec![[[128; 64]; 2]; panels * depth],
            scales: vec![0.0; panels * WIDTH],
            depth,
        };
        let mut panel = vec![0.0; rows * WIDTH];
        for index in 0..panels {
            let first = index * WIDTH;
            let columns = matrix.columns(first..(first + WIDTH).min(columns));
            kernel::lay_out(&mut panel, WIDTH, columns);
            let scales = &mut bytes.scales[first..][..WIDTH];
            super::rounded::set_scales(scales, &panel);
            let steps = bytes.steps[index * depth..].iter_mut().zip(panel.chunks(STEP * WIDTH));
            for (step, rows) in steps {
                let numbers = step.as_flattened_mut();
                for (i, row) in rows.chunks(WIDTH).enumerate() {
                    for (column, (x, scale)) in row.iter().zip(&*scales).enumerate() {
                        let number = super::rounded::to_int8(*x, *scale);
                        numbers[column * STEP + i] = number.cast_unsigned() ^ 128;
                    }
                }
            }
        }
        Some(bytes)
    }

    /// A weight, as it is multiplied with.
    pub fn at(&self, row: usize, column: usize) -> f32 {
        let step = &self.steps[column / WIDTH * self.depth + row / STEP];
        let byte = step.as_flattened()[column % WIDTH * STEP + row % STEP];
        f32::from((byte ^ 128).cast_signed()) * self.scales[column]
    }

    fn panel(&self, index: usize) -> (&[Step], &[f32; WIDTH]) {
        let steps = &self.steps[index * self.depth..][..self.depth];
        (steps, &self.scales.as_chunks().0[index])
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn is_available() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn multiply(_: Multiply<'_, '_>, _: &Bytes) {
    unreachable!("there are no bytes without the instructions");
}

/// Rounds a row to numbers from -127 to 127. Returns what they are to be multiplied with, and their sum.
#[inline(always)]
fn round(row: &[f32], numbers: &mut [i8]) -> (f32, i32) {
    const INFINITE: u32 = f32::INFINITY.to_bits();
    // As whole numbers, whose order is the same, and which the compiler compares side by side.
    let bits = row.iter().fold(0, |largest, x| (x.to_bits() & !(1 << 31)).max(largest));
    let inverse = 127.0 / f32::from_bits(bits);
    numbers.fill(0);
    if bits >= INFINITE {
        return (f32::NAN, 0);
    }
    if inverse.is_infinite() {
        // Zeros, or so close to it that there is no number to multiply them with.
        return (0.0, 0);
    }
    // The sum has the nearest whole number, of two the even one, in its lowest bits.
    const SHIFT: f32 = 1.5 * (1 << 23) as f32;
    for (number, x) in numbers.iter_mut().zip(row) {
        *number = (x * inverse + SHIFT).to_bits() as i8;
    }
    let sum = numbers.iter().map(|number| i32::from(*number)).sum();
    (f32::from_bits(bits) / 127.0, sum)
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::multiply;

#[cfg(target_arch = "x86_64")]
use x86::is_available;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512i, _mm512_dpbusd_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    };

    use pulp::cast;

    use super::super::transpose::interleave;
    use super::*;
    use crate::ops::cpu::Scratch;
    use crate::ops::cpu::product::Addend;

    const HEIGHT: usize = 12;

    /// What a row is multiplied with, and what is too much in its sums.
    type Row = (f32, i32);

    pub(super) fn is_available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
    }

    #[allow(unsafe_code)]
    pub(in super::super) fn multiply(multiply: Multiply<'_, '_>, panels: &Bytes) {
        assert!(is_available());
        // SAFETY: it was just asked whether the machine has the instructions.
        unsafe { run(multiply, panels) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn run(multiply: Multiply<'_, '_>, panels: &Bytes) {
        let Multiply { out, addend, scale, lhs, columns, .. } = multiply;
        let block = kernel::ROWS.min(out.len());
        let mut packed = Scratch::new(block * panels.depth);
        let packed = cast_slice_mut::<f32, i32>(&mut packed);
        let mut own = vec![(0.0, 0); block];
        for (i, out) in out.chunks_mut(block).enumerate() {
            let rows = i * block..i * block + out.len();
            pack(packed, &mut own, lhs.rows(rows), scale);
            for first in columns.clone().step_by(WIDTH) {
                let panel = panels.panel(first / WIDTH);
                let last = (first + WIDTH).min(columns.end);
                let addend = match addend {
                    Addend::Row(row) => Addend::Row(&row[first..last]),
                    addend => addend,
                };
                let place = first - columns.start..last - columns.start;
                let (mut out, mut lhs, mut own) = (&mut *out, &*packed, &*own);
                while !out.is_empty() {
                    let height = kernel::height::<HEIGHT>(out.len());
                    let (tile, rest) = out.split_at_mut(height);
                    let (numbers, more) = lhs.split_at(height * panels.depth);
                    let place = place.clone();
                    match height {
                        HEIGHT => store::<HEIGHT>(tile, place, addend, numbers, own, panel),
                        8 => store::<8>(tile, place, addend, numbers, own, panel),
                        4 => store::<4>(tile, place, addend, numbers, own, panel),
                        2 => store::<2>(tile, place, addend, numbers, own, panel),
                        _ => store::<1>(tile, place, addend, numbers, own, panel),
                    }
                    (out, lhs, own) = (rest, more, &own[height..]);
                }
            }
        }
    }

    /// Rounds rows, and packs them tile by tile, each with the numbers of one step next to each other.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn pack(out: &mut [i32], own: &mut [Row], lhs: MatRef<'_>, scale: f32) {
        let (rows, depth) = (lhs.height(), lhs.width().div_ceil(STEP));
        let mut copy = vec![0.0; if lhs.is_row_contiguous() { 0 } else { lhs.width() }];
        let mut rounded = vec![0; depth];
        let mut first = 0;
        while first < rows {
            let height = kernel::height::<HEIGHT>(rows - first);
            let tile = &mut out[first * depth..][..height * depth];
            for row in 0..height {
                let lhs = lhs.rows(first + row..first + row + 1);
                let numbers = match copy.is_empty() {
                    true => lhs.row(0),
                    false => {
                        interleave::<1>(&mut copy, lhs);
                        &copy
                    }
                };
                let (factor, sum) = round(numbers, cast_slice_mut(&mut rounded));
                own[first + row] = (scale * factor, 128 * sum);
                for (step, numbers) in tile.chunks_exact_mut(height).zip(&rounded) {
                    step[row] = *numbers;
                }
            }
            first += height;
        }
    }

    /// Computes a tile, in these columns of its rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn store<const H: usize>(
        out: &mut [&mut [f32]],
        columns: std::ops::Range<usize>,
        addend: Addend<'_>,
        lhs: &[i32],
        own: &[Row],
        (panel, scales): (&[Step], &[f32; WIDTH]),
    ) {
        let sums = sums::<H>(lhs.as_chunks().0, panel);
        for ((sums, (factor, excess)), row) in sums.into_iter().zip(own).zip(out) {
            let sums: [i32; WIDTH] = cast(sums);
            let products: [f32; WIDTH] =
                std::array::from_fn(|i| (sums[i] - excess) as f32 * (factor * scales[i]));
            let row = &mut row[columns.clone()];
            match (row.first_chunk_mut::<WIDTH>(), addend) {
                (Some(row), Addend::Nothing) => *row = products,
                (Some(row), Addend::Row(addend)) if addend.len() == WIDTH => {
                    for i in 0..WIDTH {
                        row[i] = addend[i] + products[i];
                    }
                }
                (_, Addend::Nothing) => row.copy_from_slice(&products[..row.len()]),
                (_, Addend::Existing) => {
                    for (out, product) in row.iter_mut().zip(products) {
                        *out += product;
                    }
                }
                (_, Addend::Row(addend)) => {
                    for ((out, product), x) in row.iter_mut().zip(products).zip(addend) {
                        *out = product + x;
                    }
                }
            }
        }
    }

    /// The sums of `H` packed rows with a panel.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[inline]
    fn sums<const H: usize>(lhs: &[[i32; H]], panel: &[Step]) -> [[__m512i; 2]; H] {
        let mut sums = [[_mm512_setzero_si512(); 2]; H];
        for (lhs, step) in lhs.iter().zip(panel) {
            let step: [__m512i; 2] = step.map(cast);
            for (sums, numbers) in sums.iter_mut().zip(lhs) {
                let numbers = _mm512_set1_epi32(*numbers);
                for (sum, weights) in sums.iter_mut().zip(step) {
                    *sum = _mm512_dpbusd_epi32(*sum, weights, numbers);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_rounded_to_the_nearest() {
        let mut numbers = [0; 5];
        let (factor, sum) = round(&[-254.0, 1.1, 3.0, 5.0, 0.9], &mut numbers);
        assert_eq!((numbers, factor, sum), ([-127, 1, 2, 2, 0], 2.0, -122));
        assert_eq!(round(&[0.0, -0.0], &mut numbers), (0.0, 0));
        assert_eq!(round(&[1e-44, 0.0], &mut numbers), (0.0, 0));
        assert!(round(&[1.0, f32::NAN], &mut numbers).0.is_nan());
        assert!(round(&[f32::NEG_INFINITY, 1.0], &mut numbers).0.is_nan());
        assert_eq!(numbers, [0; 5]);
    }
}
