//! The kernel: one product.

use dfdx::prelude::*;

use crate::ops::cpu::matrix::{MatMut, MatRef};
use crate::ops::cpu::product::{Addend, Threads, add_column_sums, product};
use crate::ops::cpu::{add, add_to_rows, contiguous, gradient, read, to_vec, with_gradient_of};
use crate::ops::{Record, Rows, Vector, Weight};

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    x: Rows<f32, Cpu>,
    weight: &Weight<f32, Cpu>,
    bias: Option<&Vector<f32, Cpu>>,
    residual: Option<&Rows<f32, Cpu>>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let x = contiguous(record, &x)?;
    let bias = bias.map(|bias| contiguous(record, bias)).transpose()?;
    let residual = residual.map(|residual| contiguous(record, residual)).transpose()?;

    let (batch, tokens, i) = *x.shape();
    let o = weight.shape().0.size();
    let rows = batch * tokens;
    let row = bias.as_ref().map(read);
    let (mut y, addend) = start(rows * o, residual.as_ref(), row.as_deref());
    let out = MatMut::new(&mut y, rows, o);
    let x_numbers = read(&x);
    let lhs = MatRef::new(&x_numbers, rows, i);
    let weight = match weight.panels(record) {
        Some(panels) => {
            product(out, addend, 1.0, lhs, panels, Threads::All);
            return x.device().try_tensor_from_vec(y, (batch, tokens, o));
        }
        None => contiguous(record, weight)?,
    };
    product(out, addend, 1.0, lhs, MatRef::new(&read(&weight), o, i).t(), Threads::All);
    drop(x_numbers);
    let y = x.device().try_tensor_from_vec(y, (batch, tokens, o))?;

    let result = y.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &y, |dy, gradients| {
            let d_y = MatRef::new(dy, rows, o);
            product(
                MatMut::new(gradient(gradients, &x)?, rows, i),
                Addend::Existing,
                1.0,
                d_y,
                MatRef::new(&read(&weight), o, i),
                Threads::All,
            );
            product(
                MatMut::new(gradient(gradients, &weight)?, o, i),
                Addend::Existing,
                1.0,
                d_y.t(),
                MatRef::new(&read(&x), rows, i),
                Threads::All,
            );
            if let Some(bias) = &bias {
                add_column_sums(gradient(gradients, bias)?, d_y);
            }
            if let Some(residual) = &residual {
                add(gradient(gradients, residual)?, dy);
            }
            Ok(())
        })
    });
    Ok(result)
}

/// What a product is added to: numbers for its result, and the rest.
pub(in crate::ops) fn start<'a>(
    len: usize,
    residual: Option<&Rows<f32, Cpu>>,
    bias: Option<&'a [f32]>,
) -> (Vec<f32>, Addend<'a>) {
    let Some(residual) = residual else {
        return (vec![0.0; len], bias.map_or(Addend::Nothing, Addend::Row));
    };
    let mut y = to_vec(residual);
    if let Some(bias) = bias {
        add_to_rows(&mut y, bias);
    }
    (y, Addend::Existing)
}
