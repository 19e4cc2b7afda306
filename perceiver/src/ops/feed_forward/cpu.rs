//! The kernel: two products, with bias and gate in one pass between them.

use dfdx::prelude::*;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::FeedForwardParameters;
use crate::ops::cpu::math::{normal, update, update_all};
use crate::ops::cpu::matrix::{Destination, MatMut, MatRef, Threads, product};
use crate::ops::cpu::{Scratch, contiguous, gradient, parts, read, read_both, with_gradient_of};
use crate::ops::linear::add_column_sums;
use crate::ops::{Record, Rows};

/// How many rows go through both products at once, which bounds the memory for what lies between them.
const BLOCK: usize = 512;

/// What the kernel is called with, row by row.
struct Sizes {
    rows: usize,
    width: usize,
    hidden: usize,
}

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    x: Rows<f32, Cpu>,
    parameters: &FeedForwardParameters<'_, f32, Cpu>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let x = contiguous(record, &x)?;
    let expand = contiguous(record, parameters.expand)?;
    let expand_bias = contiguous(record, parameters.expand_bias)?;
    let contract = contiguous(record, parameters.contract)?;
    let contract_bias = contiguous(record, parameters.contract_bias)?;

    let (batch, tokens, input) = *x.shape();
    let sizes = Sizes { rows: batch * tokens, width: input, hidden: contract.shape().1.size() };
    let (width, hidden) = (sizes.width, sizes.hidden);

    let mut y = read(&contract_bias).repeat(sizes.rows);
    // Values and gates before the bias, of each block: kept for the backward pass, since to make them again would be
    // a third of it.
    let mut kept = Vec::new();
    {
        let x = read(&x);
        let bias = read(&expand_bias);
        let (expand, contract) = read_both(&expand, &contract);
        let blocks = x.chunks(BLOCK * width).zip(y.chunks_mut(BLOCK * width));
        for (x, y) in blocks {
            let rows = x.len() / width;
            let mut gated = Scratch::new(rows * 2 * hidden);
            product(
                MatMut::new(&mut gated, rows, 2 * hidden),
                Destination::Overwrite,
                1.0,
                MatRef::new(x, rows, width),
                MatRef::new(&expand, 2 * hidden, width).t(),
                Threads::All,
            );
            let mut gate = Scratch::new(rows * hidden);
            gate_rows(&mut gate, &gated, &bias, hidden);
            product(
                MatMut::new(y, rows, width),
                Destination::Add,
                1.0,
                MatRef::new(&gate, rows, hidden),
                MatRef::new(&contract, width, hidden).t(),
                Threads::All,
            );
            if record.is_on() {
                kept.push(gated);
            }
        }
    }
    let y = x.device().try_tensor_from_vec(y, (batch, tokens, input))?;

    let result = y.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &y, |dy, gradients| {
            let (x_numbers, bias) = (read(&x), read(&expand_bias));
            let (expand_numbers, contract_numbers) = read_both(&expand, &contract);
            let dy_rows = MatRef::new(dy, sizes.rows, width);
            add_column_sums(gradient(gradients, &contract_bias)?, dy_rows, sizes.rows);
            for (block, mut gated) in kept.into_iter().enumerate() {
                let start = block * BLOCK * width;
                let end = (start + BLOCK * width).min(dy.len());
                let (dy, x_block) = (&dy[start..end], &x_numbers[start..end]);
                let rows = dy.len() / width;
                let dy = MatRef::new(dy, rows, width);

                let mut d_hidden = Scratch::new(rows * hidden);
                product(
                    MatMut::new(&mut d_hidden, rows, hidden),
                    Destination::Overwrite,
                    1.0,
                    dy,
                    MatRef::new(&contract_numbers, width, hidden),
                    Threads::All,
                );
                // Afterwards `gated` is its own gradient, and `d_hidden` the hidden values.
                ungate_rows(&mut gated, &mut d_hidden, &bias, hidden);
                product(
                    MatMut::new(gradient(gradients, &contract)?, width, hidden),
                    Destination::Add,
                    1.0,
                    dy.t(),
                    MatRef::new(&d_hidden, rows, hidden),
                    Threads::All,
                );
                let d_gated = MatRef::new(&gated, rows, 2 * hidden);
                product(
                    MatMut::new(gradient(gradients, &expand)?, 2 * hidden, width),
                    Destination::Add,
                    1.0,
                    d_gated.t(),
                    MatRef::new(x_block, rows, width),
                    Threads::All,
                );
                add_column_sums(gradient(gradients, &expand_bias)?, d_gated, rows);
                product(
                    MatMut::new(&mut gradient(gradients, &x)?[start..end], rows, width),
                    Destination::Add,
                    1.0,
                    d_gated,
                    MatRef::new(&expand_numbers, 2 * hidden, width),
                    Threads::All,
                );
            }
            Ok(())
        })
    });
    Ok(result)
}

/// How many rows one thread takes; a hidden value takes about 40 operations.
fn rows_of_part(rows: usize, hidden: usize) -> usize {
    rows.div_ceil(parts(40 * rows * hidden)).max(1)
}

/// `out = value · gelu(gate)`.
fn gate_rows(out: &mut [f32], gated: &[f32], bias: &[f32], hidden: usize) {
    let rows = rows_of_part(out.len() / hidden, hidden);
    out.par_chunks_mut(rows * hidden)
        .zip(gated.par_chunks(rows * 2 * hidden))
        .for_each(|(out, gated)| Arch::new().dispatch(Gate { out, gated, bias }));
}

/// Makes of values and gates, and the gradient of what they give, the gradient of both and what they give.
fn ungate_rows(gated: &mut [f32], d_out: &mut [f32], bias: &[f32], hidden: usize) {
    let rows = rows_of_part(d_out.len() / hidden, hidden);
    gated
        .par_chunks_mut(rows * 2 * hidden)
        .zip(d_out.par_chunks_mut(rows * hidden))
        .for_each(|(gated, d_out)| Arch::new().dispatch(Ungate { gated, d_out, bias }));
}

struct Gate<'a> {
    out: &'a mut [f32],
    gated: &'a [f32],
    bias: &'a [f32],
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let hidden = self.bias.len() / 2;
        let (value_bias, gate_bias) = self.bias.split_at(hidden);
        let rows = self.out.chunks_exact_mut(hidden);
        for (out, gated) in rows.zip(self.gated.chunks_exact(2 * hidden)) {
            let (value, gate) = gated.split_at(hidden);
            let slices = [value, gate, value_bias, gate_bias];
            update(
                simd,
                out,
                slices,
                #[inline(always)]
                |_, [value, gate, value_bias, gate_bias]| {
                    let value = simd.add_f32s(value, value_bias);
                    let gate = simd.add_f32s(gate, gate_bias);
                    let (cdf, _) = normal(simd, gate);
                    simd.mul_f32s(value, simd.mul_f32s(gate, cdf))
                },
            );
        }
    }
}

struct Ungate<'a> {
    gated: &'a mut [f32],
    d_out: &'a mut [f32],
    bias: &'a [f32],
}

impl WithSimd for Ungate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let hidden = self.bias.len() / 2;
        let (value_bias, gate_bias) = self.bias.split_at(hidden);
        let rows = self.gated.chunks_exact_mut(2 * hidden);
        for (gated, d_out) in rows.zip(self.d_out.chunks_exact_mut(hidden)) {
            let (value, gate) = gated.split_at_mut(hidden);
            let biases = [value_bias, gate_bias];
            update_all(
                simd,
                [value, gate, d_out],
                biases,
                #[inline(always)]
                |[value, gate, d_out], biases| {
                    let value = simd.add_f32s(value, biases[0]);
                    let gate = simd.add_f32s(gate, biases[1]);
                    let (cdf, density) = normal(simd, gate);
                    let gelu = simd.mul_f32s(gate, cdf);
                    let slope = simd.mul_add_f32s(gate, density, cdf);
                    [
                        simd.mul_f32s(d_out, gelu),
                        simd.mul_f32s(d_out, simd.mul_f32s(value, slope)),
                        simd.mul_f32s(value, gelu),
                    ]
                },
            );
        }
    }
}
