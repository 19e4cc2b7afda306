//! The innermost loops, for any instruction set.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::panels::PanelsRef;
use super::rounded::Numbers;
use super::sums::{prefetch, sums};
use super::transpose::interleave;
use super::{Addend, bytes};
use crate::ops::cpu::Scratch;
use crate::ops::cpu::matrix::MatRef;

/// The number of rows that are computed at once with 32 vector registers: 24 hold sums. With 16 registers, it is half of
/// it.
const HEIGHT: usize = 12;
const HALF: usize = HEIGHT / 2;

/// The number of vectors of columns that are computed at once.
pub(super) const VECTORS: usize = 2;

/// The rows and columns of the left-hand side that are multiplied with one panel after another: 576 KiB, which stay in an
/// L2 cache.
pub(super) const ROWS: usize = 24 * HEIGHT;
pub(super) const DEPTH: usize = 512;

/// The largest number of columns of a panel: no vector has more than 16 lanes.
pub(super) const MAX_PANEL_WIDTH: usize = VECTORS * 16;

/// Numbers in a cache line.
pub(super) const LINE: usize = 16;

/// The bytes of a cache line, if it begins with one.
pub(super) type Line = [u8; 4 * LINE];

/// The right-hand side of a product.
#[derive(Clone, Copy)]
pub(super) enum Rhs<'a> {
    /// Laid out.
    Panels(PanelsRef<'a>),
    /// Laid out panel by panel, for each block of rows.
    Matrix(MatRef<'a>),
}

/// A product of all rows of `lhs` and some of the columns of `rhs`.
pub(super) struct Multiply<'a, 'o> {
    /// Its rows have these columns only.
    pub out: &'a mut [&'o mut [f32]],
    pub addend: Addend<'a>,
    pub scale: f32,
    pub lhs: MatRef<'a>,
    pub rhs: Rhs<'a>,
    /// They start with a panel.
    pub columns: Range<usize>,
}

/// The number of columns of a panel for the instructions of this machine.
pub(super) fn panel_width() -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            VECTORS * S::F32_LANES
        }
    }
    Arch::new().dispatch(Width)
}

/// Converts part of a panel to f32.
pub(super) fn widen(numbers: Numbers<'_>, out: &mut [f32]) {
    struct Widen<'a, 'o>(Numbers<'a>, &'o mut [f32]);
    impl WithSimd for Widen<'_, '_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            self.0.widen::<S>(self.1);
        }
    }
    Arch::new().dispatch(Widen(numbers, out));
}

pub(super) fn multiply(multiply: Multiply<'_, '_>) {
    if let Rhs::Panels(panels) = multiply.rhs
        && let Some(bytes) = panels.bytes()
    {
        return bytes::multiply(multiply, bytes);
    }
    Arch::new().dispatch(multiply);
}

impl WithSimd for Multiply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= 32 {
            self.run::<S, HEIGHT>(simd)
        } else {
            self.run::<S, HALF>(simd)
        }
    }
}

impl Multiply<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const H: usize>(self, simd: S) {
        let (depth, rows) = (self.lhs.width(), self.out.len());
        let is_one_tile = rows <= H;
        let block_rows = rows.div_ceil(rows.div_ceil(ROWS)).next_multiple_of(H).min(rows);
        let panel_width = VECTORS * S::F32_LANES;
        let mut packed = Scratch::new(block_rows * DEPTH.min(depth));
        let mut panel = match self.rhs {
            Rhs::Panels(rhs) if rhs.is_f32() => Scratch::new(0),
            _ => Scratch::new(panel_width * DEPTH.min(depth)),
        };
        // With a depth of 0, there is one empty block, so that the sums of nothing are written.
        for first in (0..depth.max(1)).step_by(DEPTH) {
            let depths = first..(first + DEPTH).min(depth);
            let addend = if first == 0 { self.addend } else { Addend::Existing };
            for (i, out) in self.out.chunks_mut(block_rows).enumerate() {
                let rows = i * block_rows..i * block_rows + out.len();
                let packed = &mut packed[..rows.len() * depths.len()];
                pack::<H>(packed, self.lhs.rows(rows).columns(depths.clone()));
                for first in self.columns.clone().step_by(panel_width) {
                    let columns = first..(first + panel_width).min(self.columns.end);
                    let (panel, next) = match self.rhs {
                        Rhs::Matrix(rhs) => {
                            let panel = &mut panel[..depths.len() * panel_width];
                            let columns = rhs.columns(columns.clone()).rows(depths.clone());
                            lay_out(panel, panel_width, columns);
                            (Numbers::F32(panel), Numbers::F32(&[]))
                        }
                        Rhs::Panels(rhs) => {
                            let index = first / panel_width;
                            let next = match columns.end < self.columns.end {
                                true => rhs.panel(index + 1, depths.clone()),
                                false => Numbers::F32(&[]),
                            };
                            let numbers = rhs.panel(index, depths.clone());
                            // Converted once, unless there is but one tile.
                            if rhs.is_f32() || is_one_tile {
                                (numbers, next)
                            } else {
                                let panel = &mut panel[..depths.len() * panel_width];
                                numbers.widen::<S>(panel);
                                (Numbers::F32(panel), next)
                            }
                        }
                    };
                    let block = Block {
                        first: first - self.columns.start,
                        width: columns.len(),
                        addend: match addend {
                            Addend::Row(row) => Addend::Row(&row[columns]),
                            addend => addend,
                        },
                        scale: self.scale,
                        depth: depths.len(),
                        lhs: packed,
                        panel,
                    };
                    block.run::<S, H>(simd, out, next.lines());
                }
            }
        }
    }
}

/// The number of rows of the next tile, when this many are left.
#[inline(always)]
pub(super) const fn height<const H: usize>(rows: usize) -> usize {
    match rows {
        _ if rows >= H => H,
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Packs tile after tile, each with the numbers of one step next to each other.
#[inline(always)]
fn pack<const H: usize>(mut out: &mut [f32], lhs: MatRef<'_>) {
    let (rows, depth) = (lhs.height(), lhs.width());
    let mut first = 0;
    if !lhs.is_row_contiguous() {
        // Step by step, since those are far apart.
        let whole = rows - rows % H;
        let (tiles, rest) = out.split_at_mut(whole * depth);
        let columns = lhs.t();
        for step in 0..depth {
            let (parts, _) = columns.row(step).as_chunks::<H>();
            for (tile, part) in tiles.chunks_exact_mut(H * depth).zip(parts) {
                tile.as_chunks_mut::<H>().0[step] = *part;
            }
        }
        (out, first) = (rest, whole);
    }
    while first < rows {
        let height = height::<H>(rows - first);
        let (tile, rest) = out.split_at_mut(height * depth);
        let rows = lhs.rows(first..first + height);
        match height {
            _ if height == H => interleave::<H>(tile, rows),
            8 => interleave::<8>(tile, rows),
            4 => interleave::<4>(tile, rows),
            2 => interleave::<2>(tile, rows),
            _ => interleave::<1>(tile, rows),
        }
        (out, first) = (rest, first + height);
    }
}

/// Lays out the columns of a panel.
#[inline(always)]
pub(super) fn lay_out(panel: &mut [f32], panel_width: usize, columns: MatRef<'_>) {
    let columns = columns.t();
    match panel_width {
        2 => interleave::<2>(panel, columns),
        8 => interleave::<8>(panel, columns),
        16 => interleave::<16>(panel, columns),
        32 => interleave::<32>(panel, columns),
        _ => unreachable!("vectors have 1, 4, 8 or 16 lanes"),
    }
}

/// A packed block of rows of the left-hand side, and a panel.
struct Block<'a> {
    /// The first column in the destination.
    first: usize,
    /// The number of columns that are not padding.
    width: usize,
    addend: Addend<'a>,
    scale: f32,
    depth: usize,
    lhs: &'a [f32],
    panel: Numbers<'a>,
}

impl Block<'_> {
    /// Computes the product, and prefetches what is read `next`.
    #[inline(always)]
    fn run<S: Simd, const H: usize>(self, simd: S, out: &mut [&mut [f32]], next: &[Line]) {
        let share = next.len().div_ceil(out.len().div_ceil(H)).max(1);
        let mut next = next.chunks(share);
        let mut first = 0;
        while first < out.len() {
            let next = next.next().unwrap_or(&[]);
            let height = height::<H>(out.len() - first);
            match height {
                _ if height == H => self.tile::<S, H>(simd, out, first, next),
                8 => self.tile::<S, 8>(simd, out, first, next),
                4 => self.tile::<S, 4>(simd, out, first, next),
                2 => self.tile::<S, 2>(simd, out, first, next),
                _ => self.tile::<S, 1>(simd, out, first, next),
            }
            first += height;
        }
    }

    /// Computes the `H` rows from `first` on.
    #[inline(always)]
    fn tile<S: Simd, const H: usize>(
        &self,
        simd: S,
        out: &mut [&mut [f32]],
        first: usize,
        next: &[Line],
    ) {
        let columns = self.first..self.first + self.width;
        let out = &mut out[first..first + H];
        for row in &*out {
            let row = &row[columns.clone()];
            prefetch(row);
            prefetch(&row[row.len() / 2..]);
        }
        let lhs = &self.lhs[first * self.depth..][..H * self.depth];
        let sums = sums::<S, H>(simd, lhs, self.panel, next);

        let scale = simd.splat_f32s(self.scale);
        if columns.len() < VECTORS * S::F32_LANES {
            return self.store_narrow(simd, out, columns, scale, sums);
        }
        // Short loops of a constant length, so that the sums need not leave their registers.
        match self.addend {
            Addend::Nothing => {
                for i in 0..H {
                    if let ([one, two], _) = S::as_mut_simd_f32s(&mut out[i][columns.clone()]) {
                        *one = simd.mul_f32s(sums[i][0], scale);
                        *two = simd.mul_f32s(sums[i][1], scale);
                    }
                }
            }
            Addend::Existing => {
                for i in 0..H {
                    if let ([one, two], _) = S::as_mut_simd_f32s(&mut out[i][columns.clone()]) {
                        *one = simd.mul_add_f32s(sums[i][0], scale, *one);
                        *two = simd.mul_add_f32s(sums[i][1], scale, *two);
                    }
                }
            }
            Addend::Row(row) => {
                let ([first, second], _) = S::as_simd_f32s(row) else { return };
                for i in 0..H {
                    if let ([one, two], _) = S::as_mut_simd_f32s(&mut out[i][columns.clone()]) {
                        *one = simd.mul_add_f32s(sums[i][0], scale, *first);
                        *two = simd.mul_add_f32s(sums[i][1], scale, *second);
                    }
                }
            }
        }
    }

    /// Stores sums for a panel that is partly padding.
    #[inline(always)]
    fn store_narrow<S: Simd, const H: usize>(
        &self,
        simd: S,
        out: &mut [&mut [f32]],
        columns: Range<usize>,
        scale: S::f32s,
        sums: [[S::f32s; VECTORS]; H],
    ) {
        // Here they may leave their registers, but not before they are complete.
        for (sums, row) in std::hint::black_box(sums).into_iter().zip(out) {
            let row = &mut row[columns.clone()];
            for (vector, sum) in sums.into_iter().enumerate() {
                let start = (vector * S::F32_LANES).min(row.len());
                let end = (start + S::F32_LANES).min(row.len());
                let base = match self.addend {
                    Addend::Nothing => simd.splat_f32s(0.0),
                    Addend::Existing => simd.partial_load_f32s(&row[start..end]),
                    Addend::Row(row) => simd.partial_load_f32s(&row[start..end]),
                };
                let value = simd.mul_add_f32s(sum, scale, base);
                simd.partial_store_f32s(&mut row[start..end], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::matrix::MatMut;

    #[test]
    fn all_instruction_sets_are_right() {
        // Tiles of every height, a panel that is partly padding, and rows and steps in several blocks.
        for (rows, cols, depth) in [(23, 37, 19), (ROWS + 3, 5, 7), (2, 70, DEPTH + 9)] {
            let numbers = |len: usize| (0..len).map(|i| (i * 7919 % 17) as f32 - 8.0);
            let (lhs, rhs): (Vec<f32>, Vec<f32>) =
                (numbers(rows * depth).collect(), numbers(depth * cols).collect());
            // Small whole numbers, whose products and sums are exact.
            let expected: Vec<f32> = (0..rows * cols)
                .map(|i| {
                    let (row, col) = (i / cols, i % cols);
                    (0..depth).map(|k| lhs[row * depth + k] * rhs[k * cols + col]).sum()
                })
                .collect();
            let check = |run: &dyn Fn(Multiply<'_, '_>)| {
                let mut out = vec![0.0; rows * cols];
                run(Multiply {
                    out: MatMut::new(&mut out, rows, cols).rows_mut(),
                    addend: Addend::Nothing,
                    scale: 1.0,
                    lhs: MatRef::new(&lhs, rows, depth),
                    rhs: Rhs::Matrix(MatRef::new(&rhs, depth, cols)),
                    columns: 0..cols,
                });
                assert_eq!(out, expected, "{rows} × {cols} × {depth}");
            };
            check(&|multiply| multiply.with_simd(pulp::Scalar));
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = pulp::x86::V3::try_new() {
                check(&|multiply| Simd::vectorize(simd, multiply));
            }
            check(&|multiply| Arch::new().dispatch(multiply));
        }
    }
}
