//! The kernel: one product with the bias already in place.

use dfdx::prelude::*;

use crate::ops::cpu::matrix::{Destination, MatMut, MatRef, Threads, product};
use crate::ops::cpu::{contiguous, gradient, read, with_gradient_of};
use crate::ops::{Matrix, Record, Rows, Vector};

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    x: Rows<f32, Cpu>,
    weight: &Matrix<f32, Cpu>,
    bias: Option<&Vector<f32, Cpu>>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let x = contiguous(record, &x)?;
    let weight = contiguous(record, weight)?;
    let bias = match bias {
        None => None,
        Some(bias) => Some(contiguous(record, bias)?),
    };

    let (batch, tokens, i) = *x.shape();
    let o = weight.shape().0.size();
    let rows = batch * tokens;
    let mut y = Vec::new();
    let destination = match &bias {
        None => {
            y.resize(rows * o, 0.0);
            Destination::Overwrite
        }
        Some(bias) => {
            y = read(bias).repeat(rows);
            Destination::Add
        }
    };
    product(
        MatMut::new(&mut y, rows, o),
        destination,
        1.0,
        MatRef::new(&read(&x), rows, i),
        MatRef::new(&read(&weight), o, i).t(),
        Threads::All,
    );
    let y = x.device().try_tensor_from_vec(y, (batch, tokens, o))?;

    let result = y.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &y, |dy, gradients| {
            let dy = MatRef::new(dy, rows, o);
            product(
                MatMut::new(gradient(gradients, &x)?, rows, i),
                Destination::Add,
                1.0,
                dy,
                MatRef::new(&read(&weight), o, i),
                Threads::All,
            );
            product(
                MatMut::new(gradient(gradients, &weight)?, o, i),
                Destination::Add,
                1.0,
                dy.t(),
                MatRef::new(&read(&x), rows, i),
                Threads::All,
            );
            if let Some(bias) = &bias {
                add_column_sums(gradient(gradients, bias)?, dy, rows);
            }
            Ok(())
        })
    });
    Ok(result)
}

/// Adds the sum of each column of `matrix` to `sums`.
pub(in crate::ops) fn add_column_sums(sums: &mut [f32], matrix: MatRef<'_>, rows: usize) {
    let ones = vec![1.0; rows];
    let cols = sums.len();
    product(
        MatMut::new(sums, 1, cols),
        Destination::Add,
        1.0,
        MatRef::new(&ones, 1, rows),
        matrix,
        Threads::All,
    );
}
