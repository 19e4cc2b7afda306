//! The kernel: one product with the bias already in place.

use dfdx::prelude::*;

use crate::ops::cpu::matrix::{Destination, Matrix, MatrixMut, Threads, product};
use crate::ops::cpu::{Array, contiguous, gradient, read, with_gradient_of};

pub(in crate::ops) fn forward<B: Dim, L: Dim, I: Dim, O: Dim, T: Tape<f32, Cpu>>(
    x: Array<(B, L, I), T>,
    weight: &Array<(O, I)>,
    bias: Option<&Array<(O,)>>,
) -> Result<Array<(B, L, O), T>, CpuError> {
    let (x, tape) = x.split_tape();
    let (x, tape) = contiguous(&x, tape)?;
    let (weight, tape) = contiguous(weight, tape)?;
    let (bias, mut tape) = match bias {
        None => (None, tape),
        Some(bias) => {
            let (bias, tape) = contiguous(bias, tape)?;
            (Some(bias), tape)
        }
    };

    let (batch, tokens, input) = *x.shape();
    let output = weight.shape().0;
    let (rows, i, o) = (batch.size() * tokens.size(), input.size(), output.size());
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
        MatrixMut::new(&mut y, rows, o),
        destination,
        1.0,
        Matrix::new(&read(&x), rows, i),
        Matrix::new(&read(&weight), o, i).t(),
        Threads::All,
    );
    let y = x.device().try_tensor_from_vec(y, (batch, tokens, output))?;

    let result = y.clone();
    tape.add_backward_op(move |gradients| {
        with_gradient_of(gradients, &y, |dy, gradients| {
            let dy = Matrix::new(dy, rows, o);
            product(
                MatrixMut::new(gradient(gradients, &x)?, rows, i),
                Destination::Add,
                1.0,
                dy,
                Matrix::new(&read(&weight), o, i),
                Threads::All,
            );
            product(
                MatrixMut::new(gradient(gradients, &weight)?, o, i),
                Destination::Add,
                1.0,
                dy.t(),
                Matrix::new(&read(&x), rows, i),
                Threads::All,
            );
            if let Some(bias) = &bias {
                add_column_sums(gradient(gradients, bias)?, dy, rows);
            }
            Ok(())
        })
    });
    Ok(result.put_tape(tape))
}

/// Adds the sum of each column of `matrix`.
pub(in crate::ops) fn add_column_sums(sums: &mut [f32], matrix: Matrix<'_>, rows: usize) {
    let ones = vec![1.0; rows];
    let cols = sums.len();
    product(
        MatrixMut::new(sums, 1, cols),
        Destination::Add,
        1.0,
        Matrix::new(&ones, 1, rows),
        matrix,
        Threads::All,
    );
}
