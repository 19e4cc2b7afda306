//! Transposing.

use crate::ops::cpu::matrix::MatRef;

/// The rows and columns that are transposed at once.
const SQUARE: usize = 4;

/// The columns that are transposed one after another.
const COLUMNS: usize = 64;

type Square = [[f32; SQUARE]; SQUARE];

/// Writes the rows of a matrix side by side: element `k` of row `r` to `out[k * stride + r]`, and zeros between the last row
/// and the next element of the first.
pub(super) fn interleave(out: &mut [f32], stride: usize, rows: MatRef<'_>) {
    let height = rows.height();
    if height < stride {
        out.fill(0.0);
    }
    if stride == 0 || rows.width() == 0 {
        return;
    }
    if !rows.is_row_contiguous() {
        let columns = rows.t();
        for (k, out) in out.chunks_exact_mut(stride).enumerate() {
            out[..height].copy_from_slice(columns.row(k));
        }
        return;
    }
    // Some columns at a time, so that what is written stays close until all rows are there.
    for (i, out) in out.chunks_mut(COLUMNS * stride).enumerate() {
        let columns = i * COLUMNS..i * COLUMNS + out.len() / stride;
        let mut first = 0;
        while first + SQUARE <= height {
            let four = std::array::from_fn(|i| &rows.row(first + i)[columns.clone()]);
            interleave_four(&mut out[first..], stride, four);
            first += SQUARE;
        }
        for row in first..height {
            let numbers = &rows.row(row)[columns.clone()];
            for (out, number) in out.chunks_exact_mut(stride).zip(numbers) {
                out[row] = *number;
            }
        }
    }
}

fn interleave_four(out: &mut [f32], stride: usize, rows: [&[f32]; SQUARE]) {
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<SQUARE>());
    let mut out = out.chunks_mut(stride);
    let mut write = |column: &[f32; SQUARE]| {
        if let Some(out) = out.next().and_then(|out| out.first_chunk_mut()) {
            *out = *column;
        }
    };
    for ((a, b), (c, d)) in a.0.iter().zip(b.0).zip(c.0.iter().zip(d.0)) {
        let [first, second, third, fourth] = transposed([*a, *b, *c, *d]);
        write(&first);
        write(&second);
        write(&third);
        write(&fourth);
    }
    for ((a, b), (c, d)) in a.1.iter().zip(b.1).zip(c.1.iter().zip(d.1)) {
        write(&[*a, *b, *c, *d]);
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
