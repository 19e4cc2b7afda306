//! The kernel: two products, with bias and activation in one pass between them.

use dfdx::prelude::*;
use pulp::{Arch, Simd, WithSimd};

use super::FeedForwardParameters;
use crate::ops::cpu::math::{normal, sigmoid, update, update_all};
use crate::ops::cpu::matrix::{MatMut, MatRef};
use crate::ops::cpu::product::{Addend, Factor, Threads, add_column_sums, product};
use crate::ops::cpu::{
    Scratch, add, contiguous, for_each, gradient, parts, read, read_both, with_gradient_of,
};
use crate::ops::linear::start;
use crate::ops::{Record, Rows, Vector};
use crate::spec::Activation;

/// The number of rows that go through both products at once, which bounds the memory for intermediate results.
pub(crate) const BLOCK: usize = 512;

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    x: Rows<f32, Cpu>,
    parameters: &FeedForwardParameters<'_, f32, Cpu>,
    residual: Option<&Rows<f32, Cpu>>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let x = contiguous(record, &x)?;
    let residual = residual.map(|residual| contiguous(record, residual)).transpose()?;
    let mut bias =
        |bias: Option<&Vector<f32, Cpu>>| bias.map(|bias| contiguous(record, bias)).transpose();
    let (expand_bias, contract_bias) =
        (bias(parameters.expand_bias)?, bias(parameters.contract_bias)?);
    let activation = parameters.activation;

    let (batch, tokens, width) = *x.shape();
    let (outputs, hidden) = *parameters.contract.shape();
    let (outputs, hidden) = (outputs.size(), hidden.size());
    let all_rows = batch * tokens;
    let expanded = activation.inputs() * hidden;
    let numbers = |bias: &Option<Vector<f32, Cpu>>, size: usize| match bias {
        Some(bias) => read(bias).to_vec(),
        None => vec![0.0; size],
    };

    let row = contract_bias.as_ref().map(read);
    let (mut y, addend) = start(all_rows * outputs, residual.as_ref(), row.as_deref());
    // The result of the first product for each block, without the bias: kept for the backward pass, since recomputing
    // it would take a third of that pass.
    let mut kept = Vec::new();
    let panels = parameters.expand.panels(record).zip(parameters.contract.panels(record));
    let tensors = match panels {
        Some(_) => None,
        None => {
            Some((contiguous(record, parameters.expand)?, contiguous(record, parameters.contract)?))
        }
    };
    {
        let x = read(&x);
        let bias = numbers(&expand_bias, expanded);
        let copies;
        let (expand, contract): (Factor<'_>, Factor<'_>) = match (panels, &tensors) {
            (Some((expand, contract)), _) => (expand.into(), contract.into()),
            (None, None) => unreachable!("there are tensors unless there are panels"),
            (None, Some((expand, contract))) => {
                copies = read_both(expand, contract);
                let expand = MatRef::new(&copies.0, expanded, width).t();
                (expand.into(), MatRef::new(&copies.1, outputs, hidden).t().into())
            }
        };
        let blocks = x.chunks(BLOCK * width).zip(y.chunks_mut(BLOCK * outputs));
        for (x, y) in blocks {
            let rows = x.len() / width;
            let mut before = Scratch::new(rows * expanded);
            let out = MatMut::new(&mut before, rows, expanded);
            let x = MatRef::new(x, rows, width);
            product(out, Addend::Nothing, 1.0, x, expand, Threads::All);
            let mut after = Scratch::new(rows * hidden);
            activate_rows(&mut after, &before, &bias, activation);
            let out = MatMut::new(y, rows, outputs);
            let after = MatRef::new(&after, rows, hidden);
            product(out, addend, 1.0, after, contract, Threads::All);
            if record.is_on() {
                kept.push(before);
            }
        }
    }
    let y = x.device().try_tensor_from_vec(y, (batch, tokens, outputs))?;
    let Some((expand, contract)) = tensors else { return Ok(y) };

    let result = y.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &y, |dy, gradients| {
            let (x_numbers, bias) = (read(&x), numbers(&expand_bias, expanded));
            let (expand_numbers, contract_numbers) = read_both(&expand, &contract);
            if let Some(residual) = &residual {
                add(gradient(gradients, residual)?, dy);
            }
            if let Some(bias) = &contract_bias {
                let dy = MatRef::new(dy, all_rows, outputs);
                add_column_sums(gradient(gradients, bias)?, dy);
            }
            for (block, mut before) in kept.into_iter().enumerate() {
                let (first, last) = (block * BLOCK, ((block + 1) * BLOCK).min(all_rows));
                let rows = last - first;
                let dy = MatRef::new(&dy[first * outputs..last * outputs], rows, outputs);
                let (start, end) = (first * width, last * width);
                let x_block = &x_numbers[start..end];

                let mut d_hidden = Scratch::new(rows * hidden);
                product(
                    MatMut::new(&mut d_hidden, rows, hidden),
                    Addend::Nothing,
                    1.0,
                    dy,
                    MatRef::new(&contract_numbers, outputs, hidden),
                    Threads::All,
                );
                // Afterwards, `before` holds its own gradient, and `d_hidden` the hidden values.
                backward_rows(&mut before, &mut d_hidden, &bias, activation);
                product(
                    MatMut::new(gradient(gradients, &contract)?, outputs, hidden),
                    Addend::Existing,
                    1.0,
                    dy.t(),
                    MatRef::new(&d_hidden, rows, hidden),
                    Threads::All,
                );
                let d_before = MatRef::new(&before, rows, expanded);
                product(
                    MatMut::new(gradient(gradients, &expand)?, expanded, width),
                    Addend::Existing,
                    1.0,
                    d_before.t(),
                    MatRef::new(x_block, rows, width),
                    Threads::All,
                );
                if let Some(bias) = &expand_bias {
                    add_column_sums(gradient(gradients, bias)?, d_before);
                }
                product(
                    MatMut::new(&mut gradient(gradients, &x)?[start..end], rows, width),
                    Addend::Existing,
                    1.0,
                    d_before,
                    MatRef::new(&expand_numbers, expanded, width),
                    Threads::All,
                );
            }
            Ok(())
        })
    });
    Ok(result)
}

/// The number of rows per thread; a hidden value takes about 40 operations.
fn rows_of_part(rows: usize, hidden: usize) -> usize {
    rows.div_ceil(parts(40 * rows * hidden)).max(1)
}

/// `after = activation(before + bias)`.
fn activate_rows(after: &mut [f32], before: &[f32], bias: &[f32], activation: Activation) {
    let (expanded, hidden) = (bias.len(), bias.len() / activation.inputs());
    let rows = rows_of_part(after.len() / hidden, hidden);
    for_each(
        after.chunks_mut(rows * hidden).zip(before.chunks(rows * expanded)),
        |(after, before)| match activation {
            Activation::Geglu => Arch::new().dispatch(Gate { after, before, bias }),
            activation => Arch::new().dispatch(Activate { after, before, bias, activation }),
        },
    );
}

/// Replaces the values before the activation by their gradient, and the gradient of the values after it by those
/// values.
fn backward_rows(before: &mut [f32], d_after: &mut [f32], bias: &[f32], activation: Activation) {
    let (expanded, hidden) = (bias.len(), bias.len() / activation.inputs());
    let rows = rows_of_part(d_after.len() / hidden, hidden);
    for_each(
        before.chunks_mut(rows * expanded).zip(d_after.chunks_mut(rows * hidden)),
        |(before, d_after)| match activation {
            Activation::Geglu => Arch::new().dispatch(GateBackward { before, d_after, bias }),
            activation => {
                Arch::new().dispatch(ActivateBackward { before, d_after, bias, activation });
            }
        },
    );
}

struct Gate<'a> {
    after: &'a mut [f32],
    before: &'a [f32],
    bias: &'a [f32],
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let hidden = self.bias.len() / 2;
        let (value_bias, gate_bias) = self.bias.split_at(hidden);
        let rows = self.after.chunks_exact_mut(hidden);
        for (after, before) in rows.zip(self.before.chunks_exact(2 * hidden)) {
            let (value, gate) = before.split_at(hidden);
            let slices = [value, gate, value_bias, gate_bias];
            update(
                simd,
                after,
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

struct GateBackward<'a> {
    before: &'a mut [f32],
    d_after: &'a mut [f32],
    bias: &'a [f32],
}

impl WithSimd for GateBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let hidden = self.bias.len() / 2;
        let (value_bias, gate_bias) = self.bias.split_at(hidden);
        let rows = self.before.chunks_exact_mut(2 * hidden);
        for (before, d_after) in rows.zip(self.d_after.chunks_exact_mut(hidden)) {
            let (value, gate) = before.split_at_mut(hidden);
            let biases = [value_bias, gate_bias];
            update_all(
                simd,
                [value, gate, d_after],
                biases,
                #[inline(always)]
                |[value, gate, d_after], biases| {
                    let value = simd.add_f32s(value, biases[0]);
                    let gate = simd.add_f32s(gate, biases[1]);
                    let (cdf, density) = normal(simd, gate);
                    let gelu = simd.mul_f32s(gate, cdf);
                    let slope = simd.mul_add_f32s(gate, density, cdf);
                    [
                        simd.mul_f32s(d_after, gelu),
                        simd.mul_f32s(d_after, simd.mul_f32s(value, slope)),
                        simd.mul_f32s(value, gelu),
                    ]
                },
            );
        }
    }
}

struct Activate<'a> {
    after: &'a mut [f32],
    before: &'a [f32],
    bias: &'a [f32],
    activation: Activation,
}

impl WithSimd for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { after, before, bias, activation } = self;
        let rows = after.chunks_exact_mut(bias.len()).zip(before.chunks_exact(bias.len()));
        for (after, before) in rows {
            update(
                simd,
                after,
                [before, bias],
                #[inline(always)]
                |_, [before, bias]| {
                    value_and_slope(simd, simd.add_f32s(before, bias), activation).0
                },
            );
        }
    }
}

struct ActivateBackward<'a> {
    before: &'a mut [f32],
    d_after: &'a mut [f32],
    bias: &'a [f32],
    activation: Activation,
}

impl WithSimd for ActivateBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { before, d_after, bias, activation } = self;
        let rows = before.chunks_exact_mut(bias.len()).zip(d_after.chunks_exact_mut(bias.len()));
        for (before, d_after) in rows {
            update_all(
                simd,
                [before, d_after],
                [bias],
                #[inline(always)]
                |[before, d_after], [bias]| {
                    let x = simd.add_f32s(before, bias);
                    let (value, slope) = value_and_slope(simd, x, activation);
                    [simd.mul_f32s(d_after, slope), value]
                },
            );
        }
    }
}

/// An activation without a gate, and its derivative.
#[inline(always)]
fn value_and_slope<S: Simd>(simd: S, x: S::f32s, activation: Activation) -> (S::f32s, S::f32s) {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    match activation {
        Activation::Geglu | Activation::Gelu => {
            let (cdf, density) = normal(simd, x);
            (simd.mul_f32s(x, cdf), simd.mul_add_f32s(x, density, cdf))
        }
        Activation::TanhGelu => {
            // (1 + tanh(u)) / 2 is the sigmoid of 2u = x · (a + b · x²).
            let (a, b) = (simd.splat_f32s(1.595_769), simd.splat_f32s(0.071_354_81));
            let square = simd.mul_f32s(x, x);
            let sigmoid = sigmoid(simd, simd.mul_f32s(x, simd.mul_add_f32s(b, square, a)));
            let value = simd.mul_f32s(x, sigmoid);
            let inner = simd.mul_add_f32s(simd.mul_f32s(simd.splat_f32s(3.0), b), square, a);
            let rest = simd.sub_f32s(one, sigmoid);
            (value, simd.mul_add_f32s(simd.mul_f32s(value, rest), inner, sigmoid))
        }
        Activation::Relu | Activation::SquaredRelu => {
            let value = simd.max_f32s(x, zero);
            let positive = simd.less_than_f32s(zero, x);
            match activation {
                Activation::Relu => (value, simd.select_f32s(positive, one, zero)),
                _ => (simd.mul_f32s(value, value), simd.add_f32s(value, value)),
            }
        }
    }
}
