//! The kernel: one product.

use dfdx::prelude::*;

use crate::ops::cpu::matrix::{MatMut, MatRef};
use crate::ops::cpu::product::{Addend, Threads, add_column_sums, product};
use crate::ops::cpu::{contiguous, gradient, read, with_gradient_of};
use crate::ops::{Record, Rows, Vector, Weight};

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    x: Rows<f32, Cpu>,
    weight: &Weight<f32, Cpu>,
    bias: Option<&Vector<f32, Cpu>>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let x = contiguous(record, &x)?;
    let bias = match bias {
        None => None,
        Some(bias) => Some(contiguous(record, bias)?),
    };

    let (batch, tokens, i) = *x.shape();
    let o = weight.shape().0.size();
    let rows = batch * tokens;
    let mut y = vec![0.0; rows * o];
    let row = bias.as_ref().map(read);
    let addend = row.as_deref().map_or(Addend::Nothing, Addend::Row);
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
            let dy = MatRef::new(dy, rows, o);
            product(
                MatMut::new(gradient(gradients, &x)?, rows, i),
                Addend::Existing,
                1.0,
                dy,
                MatRef::new(&read(&weight), o, i),
                Threads::All,
            );
            product(
                MatMut::new(gradient(gradients, &weight)?, o, i),
                Addend::Existing,
                1.0,
                dy.t(),
                MatRef::new(&read(&x), rows, i),
                Threads::All,
            );
            if let Some(bias) = &bias {
                add_column_sums(gradient(gradients, bias)?, dy);
            }
            Ok(())
        })
    });
    Ok(result)
}
