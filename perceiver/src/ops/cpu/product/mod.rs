//! Matrix products.
//!
//! The right-hand side is first laid out in [`Panels`]: strips of as many columns as the kernel computes at once, each
//! contiguous. That takes a pass over it, so what is multiplied again and again, the weights of a model, keeps its panels.
//! What the kernel reads next is prefetched while it computes, which is a fifth of the time where weights come from beyond
//! the L2 cache.

mod bytes;
mod kernel;
mod panels;
mod rounded;
mod sums;
mod transpose;

use super::matrix::{MatMut, MatRef};
use super::threads;
use kernel::{Multiply, Rhs};
pub(in crate::ops) use panels::Panels;

/// Below this many multiplications, a second thread costs more than it saves. Lower in tests, whose matrices are small.
const PARALLEL: usize = if cfg!(test) { 1 << 9 } else { 1 << 20 };

/// As many multiplications as take as long as reading a number of the right-hand side, if it comes from far away.
const READ: usize = if cfg!(test) { 0 } else { 12 };

/// With fewer rows for each thread, each is given panels instead: it packs all rows, but reads only its part of the
/// panels.
const ROWS_OF_THREAD: usize = 64;

/// With up to so many rows, which are multiplied in two blocks, a panel is laid out right before it is multiplied, and is
/// then still in a cache.
const MANY_ROWS: usize = 2 * kernel::ROWS;

/// What a product is added to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) enum Addend<'a> {
    /// Nothing: it replaces the elements of its destination.
    Nothing,
    /// The elements of its destination.
    Existing,
    /// To each row, this one.
    Row(&'a [f32]),
}

/// Whether a product may use all threads, or is itself a part of the work of one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) enum Threads {
    One,
    All,
}

/// The right-hand side of a product.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) enum Factor<'a> {
    Matrix(MatRef<'a>),
    Panels(&'a Panels),
}

impl<'a> From<MatRef<'a>> for Factor<'a> {
    fn from(matrix: MatRef<'a>) -> Self {
        Self::Matrix(matrix)
    }
}

impl<'a> From<&'a Panels> for Factor<'a> {
    fn from(panels: &'a Panels) -> Self {
        Self::Panels(panels)
    }
}

/// Computes `addend + scale · lhs · rhs` into `out`.
///
/// # Panics
/// If the shapes do not match.
pub(in crate::ops) fn product<'a>(
    out: MatMut<'_>,
    addend: Addend<'_>,
    scale: f32,
    lhs: MatRef<'_>,
    rhs: impl Into<Factor<'a>>,
    threads: Threads,
) {
    let operations = (lhs.height() + READ) * lhs.width() * out.width();
    let threads = if operations < PARALLEL { Threads::One } else { threads };
    match rhs.into() {
        Factor::Panels(panels) => {
            assert_eq!((panels.depth(), panels.width()), (lhs.width(), out.width()));
            run(out, addend, scale, lhs, Rhs::Panels(panels.view()), threads);
        }
        Factor::Matrix(rhs) => {
            assert_eq!((rhs.height(), rhs.width()), (lhs.width(), out.width()));
            if lhs.height() <= MANY_ROWS {
                return run(out, addend, scale, lhs, Rhs::Matrix(rhs), threads);
            }
            let panels = Panels::in_scratch(rhs, threads);
            run(out, addend, scale, lhs, Rhs::Panels(panels.view()), threads);
        }
    }
}

/// The numbers in the buffers of the calling thread in a product of `rows` with a matrix: its panels, and the rows and the panel
/// that are multiplied at once.
pub(crate) const fn buffers(rows: usize, inputs: usize, outputs: usize) -> [usize; 2] {
    let depth = if inputs < kernel::DEPTH { inputs } else { kernel::DEPTH };
    let at_once = if rows < kernel::ROWS { rows } else { kernel::ROWS };
    let columns = outputs.saturating_add(kernel::MAX_PANEL_WIDTH - 1);
    match rows > MANY_ROWS {
        true => [
            inputs.saturating_mul(columns).saturating_add(kernel::LINE),
            at_once.saturating_mul(depth),
        ],
        false => [kernel::MAX_PANEL_WIDTH * depth, at_once.saturating_mul(depth)],
    }
}

fn run(
    mut out: MatMut<'_>,
    addend: Addend<'_>,
    scale: f32,
    lhs: MatRef<'_>,
    rhs: Rhs<'_>,
    threads: Threads,
) {
    let (rows, cols) = (out.height(), out.width());
    assert_eq!(lhs.height(), rows);
    if let Addend::Row(row) = addend {
        assert_eq!(row.len(), cols);
    }
    if rows == 0 || cols == 0 {
        return;
    }
    let multiply = |out: &mut [&mut [f32]], lhs, columns| {
        kernel::multiply(Multiply { out, addend, scale, lhs, rhs, columns });
    };
    let count = if threads == Threads::All { threads::all() } else { 1 };
    let panel_width = kernel::panel_width();
    let panels = cols.div_ceil(panel_width);
    let split_rows = match rhs {
        Rhs::Panels(_) => rows >= ROWS_OF_THREAD * count,
        // Each thread lays out all columns, or packs all rows.
        Rhs::Matrix(_) => rows >= cols,
    };
    if count == 1 {
        multiply(out.rows_mut(), lhs, 0..cols);
    } else if split_rows || panels < count {
        let height = rows.div_ceil(count).next_multiple_of(4);
        threads::for_each(out.rows_mut().chunks_mut(height).enumerate(), |(i, out)| {
            let rows = i * height..i * height + out.len();
            multiply(out, lhs.rows(rows), 0..cols);
        });
    } else {
        let width = panels.div_ceil(count) * panel_width;
        let parts = out.split_columns(width);
        threads::for_each(parts.into_iter().enumerate(), |(i, mut out)| {
            let columns = i * width..i * width + out.width();
            multiply(out.rows_mut(), lhs, columns);
        });
    }
}

/// Adds the sum of each column of a matrix, whose rows are contiguous, to `sums`.
pub(in crate::ops) fn add_column_sums(sums: &mut [f32], matrix: MatRef<'_>) {
    for row in 0..matrix.height() {
        for (sum, term) in sums.iter_mut().zip(matrix.row(row)) {
            *sum += term;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::WeightPrecision::{Bf16, F32, Int8, Int8Dynamic};

    /// Element by element, in f64.
    fn naive(lhs: MatRef<'_>, rhs: MatRef<'_>, row: usize, col: usize) -> f64 {
        let product = |k| f64::from(lhs.at(row, k)) * f64::from(rhs.at(k, col));
        (0..lhs.width()).map(product).sum()
    }

    fn numbers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// The rows that a product with these panels multiplies.
    fn multiplied(lhs: MatRef<'_>, panels: &Panels) -> Vec<f32> {
        let rows = (0..lhs.height()).flat_map(|row| {
            let row: Vec<f32> = (0..lhs.width()).map(|k| lhs.at(row, k)).collect();
            let largest = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let rounded = |x: f32| match panels.view().bytes() {
                Some(_) if largest == 0.0 => 0.0,
                Some(_) => (x * (127.0 / largest)).round_ties_even() * (largest / 127.0),
                None => x,
            };
            row.into_iter().map(rounded).collect::<Vec<_>>()
        });
        rows.collect()
    }

    fn assert_right(m: usize, n: usize, k: usize, transposed: [bool; 2], tolerance: f64) {
        let (a, b) = (numbers(2 + (m + 3) * (k + 3), 1), numbers((n + 1) * (k + 1), 2));
        let lhs = match transposed[0] {
            false => MatRef::strided(&a[2..], m, k, k + 3),
            true => MatRef::strided(&a[2..], k, m, m + 3).t(),
        };
        let rhs = match transposed[1] {
            false => MatRef::strided(&b, k, n, n + 1),
            true => MatRef::new(&b, n, k).t(),
        };
        let stride = n + 2;
        let start = numbers((m - 1) * stride + n, 3);
        let bias = numbers(n, 4);
        let panels = Panels::new(rhs, F32);
        let rounded = [Bf16, Int8].map(|precision| {
            let panels = Panels::new(rhs, precision);
            let restored = panels.transposed();
            (panels, restored)
        });
        let dynamic = Panels::new(rhs, Int8Dynamic);
        let (rows, restored) = (multiplied(lhs, &dynamic), dynamic.transposed());
        let of_dynamic = (MatRef::new(&rows, m, k), MatRef::new(&restored, n, k).t());
        let check = |out: &[f32], (lhs, rhs), addend| {
            for (i, found) in out.iter().enumerate() {
                let (row, col) = (i / stride, i % stride);
                let base = match addend {
                    _ if col >= n => start[i],
                    Addend::Nothing => 0.0,
                    Addend::Existing => start[i],
                    Addend::Row(bias) => bias[col],
                };
                let product = if col < n { naive(lhs, rhs, row, col) } else { 0.0 };
                let expected = f64::from(base) + 0.5 * product;
                assert!(
                    (f64::from(*found) - expected).abs() < tolerance,
                    "{m} × {n} × {k}, {addend:?}, element {i}: {found}, not {expected}"
                );
            }
        };
        for addend in [Addend::Nothing, Addend::Existing, Addend::Row(&bias)] {
            for threads in [Threads::One, Threads::All] {
                let mut out = start.clone();
                product(MatMut::strided(&mut out, m, n, stride), addend, 0.5, lhs, rhs, threads);
                let of_panels = |panels: &Panels| {
                    let mut out = start.clone();
                    let view = MatMut::strided(&mut out, m, n, stride);
                    product(view, addend, 0.5, lhs, panels, threads);
                    out
                };
                assert_eq!(of_panels(&panels), out);
                for (rounded, restored) in &rounded {
                    let expected = Panels::new(MatRef::new(restored, n, k).t(), F32);
                    assert_eq!(of_panels(rounded), of_panels(&expected), "{m} × {n} × {k}");
                }
                check(&out, (lhs, rhs), addend);
                check(&of_panels(&dynamic), of_dynamic, addend);
            }
        }
    }

    #[test]
    fn products_of_all_layouts_are_right_and_leave_the_gaps_alone() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 2), (17, 9, 33), (8, 16, 4), (29, 70, 9)] {
            for transposed in [[false, false], [false, true], [true, false], [true, true]] {
                assert_right(m, n, k, transposed, 1e-5);
            }
        }
    }

    #[test]
    fn many_rows_and_long_sums_are_cut_into_blocks() {
        assert_right(600, 35, 20, [false, true], 1e-5);
        assert_right(13, 33, 1100, [false, false], 1e-4);
        assert_right(280, 65, 520, [true, true], 1e-4);
    }

    #[test]
    fn empty_products_write_nothing_and_sums_of_nothing_are_zero() {
        let mut out = [];
        let view = MatMut::new(&mut out, 0, 3);
        let (lhs, rhs) = (MatRef::new(&[], 0, 2), MatRef::new(&[0.0; 6], 2, 3));
        product(view, Addend::Nothing, 1.0, lhs, rhs, Threads::One);
        let mut out = [5.0; 4];
        let view = MatMut::new(&mut out, 2, 2);
        let (lhs, rhs) = (MatRef::new(&[], 2, 0), MatRef::new(&[], 0, 2));
        product(view, Addend::Nothing, 1.0, lhs, rhs, Threads::One);
        assert_eq!(out, [0.0; 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn rounded_weights_are_close_and_their_products_exact(
            seed: u16, m in 1..40_usize, n in 1..70_usize, k in 1..600_usize, one_thread: bool,
        ) {
            let seed = usize::from(seed);
            // Columns of very different sizes.
            let size = |column: usize| 10.0_f32.powi((column % 7) as i32 - 3);
            let (a, mut b) = (numbers(m * k, seed), numbers(n * k, seed + 1));
            for (column, numbers) in b.chunks_mut(k).enumerate() {
                numbers.iter_mut().for_each(|x| *x *= size(column));
            }
            let (lhs, rhs) = (MatRef::new(&a, m, k), MatRef::new(&b, n, k).t());
            let threads = if one_thread { Threads::One } else { Threads::All };
            for precision in [F32, Bf16, Int8, Int8Dynamic] {
                let panels = Panels::new(rhs, precision);
                let restored = panels.transposed();
                for (column, (found, numbers)) in restored.chunks(k).zip(b.chunks(k)).enumerate() {
                    let largest = numbers.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                    for (found, x) in found.iter().zip(numbers) {
                        let allowed = match precision {
                            F32 => 0.0,
                            Bf16 => x.abs() / 256.0,
                            Int8 | Int8Dynamic => largest / 253.9,
                        };
                        prop_assert!((found - x).abs() <= allowed, "{precision:?}, {column}: {found}, not {x}");
                    }
                }
                let mut out = vec![f32::NAN; m * n];
                let view = MatMut::new(&mut out, m, n);
                product(view, Addend::Nothing, 1.0, lhs, &panels, threads);
                let rows = multiplied(lhs, &panels);
                let (lhs, rounded) = (MatRef::new(&rows, m, k), MatRef::new(&restored, n, k).t());
                for (i, found) in out.iter().enumerate() {
                    let (row, column) = (i / n, i % n);
                    let expected = naive(lhs, rounded, row, column);
                    let difference = (f64::from(*found) - expected).abs();
                    let allowed = 1e-6 * f64::from(size(column)) * k as f64;
                    prop_assert!(difference <= allowed, "{precision:?}, {row}, {column}: {found}, not {expected}");
                }
            }
        }
    }
}
