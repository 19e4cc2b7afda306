//! Transposing.

use crate::ops::cpu::matrix::MatRef;

/// The rows and columns that are transposed at once.
const SQUARE: usize = 4;

/// The columns that are transposed one after another.
const COLUMNS: usize = 64;

type Square = [[f32; SQUARE]; SQUARE];

/// Writes at most `W` rows of a matrix side by side: element `k` of row `r` to `out[k][r]`. Fills what is left with zeros.
#[inline(always)]
pub(super) fn interleave<const W: usize>(out: &mut [f32], rows: MatRef<'_>) {
    let (out, _) = out.as_chunks_mut::<W>();
    let height = rows.height();
    if height < W {
        out.fill([0.0; W]);
    }
    if !rows.is_row_contiguous() {
        let columns = rows.t();
        for (k, out) in out.iter_mut().enumerate() {
            match columns.row(k).first_chunk() {
                Some(column) => *out = *column,
                None => out[..height].copy_from_slice(columns.row(k)),
            }
        }
        return;
    }
    // Some columns at a time, so that what is written stays close until all rows are there.
    for (i, out) in out.chunks_mut(COLUMNS).enumerate() {
        let columns = i * COLUMNS..i * COLUMNS + out.len();
        let mut first = 0;
        while first + SQUARE <= height {
            let four = std::array::from_fn(|i| &rows.row(first + i)[columns.clone()]);
            interleave_four(out, first, four);
            first += SQUARE;
        }
        for row in first..height {
            for (out, number) in out.iter_mut().zip(&rows.row(row)[columns.clone()]) {
                out[row] = *number;
            }
        }
    }
}

#[inline(always)]
fn interleave_four<const W: usize>(out: &mut [[f32; W]], first: usize, rows: [&[f32]; SQUARE]) {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<SQUARE>());
    let columns = first..first + SQUARE;
    let (squares, rest) = out.as_chunks_mut::<SQUARE>();
    let rows = a.0.iter().zip(b.0).zip(c.0.iter().zip(d.0));
    for (out, ((a, b), (c, d))) in squares.iter_mut().zip(rows) {
        for (out, column) in out.iter_mut().zip(transposed([*a, *b, *c, *d])) {
            out[columns.clone()].copy_from_slice(&column);
        }
    }
    let rows = a.1.iter().zip(b.1).zip(c.1.iter().zip(d.1));
    for (out, ((a, b), (c, d))) in rest.iter_mut().zip(rows) {
        out[columns.clone()].copy_from_slice(&[*a, *b, *c, *d]);
    }
}

#[inline(always)]
fn transposed(rows: Square) -> Square {
    #[cfg(target_arch = "x86_64")]
    if let Some(sse) = pulp::core_arch::x86::Sse::try_new() {
        let [a, b, c, d] = rows.map(pulp::cast);
        let low = (sse._mm_unpacklo_ps(a, b), sse._mm_unpacklo_ps(c, d));
        let high = (sse._mm_unpackhi_ps(a, b), sse._mm_unpackhi_ps(c, d));
        let columns = [
            sse._mm_movelh_ps(low.0, low.1),
            sse._mm_movehl_ps(low.1, low.0),
            sse._mm_movelh_ps(high.0, high.1),
            sse._mm_movehl_ps(high.1, high.0),
        ];
        return columns.map(pulp::cast);
    }
    std::array::from_fn(|column| rows.map(|row| row[column]))
}
