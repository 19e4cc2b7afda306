//! The kernel: one addition in each direction, on all threads.

use dfdx::prelude::*;

use crate::ops::cpu::{add, contiguous, gradient, read, to_vec, with_gradient_of};
use crate::ops::{Record, Rows};

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    x: &Rows<f32, Cpu>,
    branch: &Rows<f32, Cpu>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let (x, branch) = (contiguous(record, x)?, contiguous(record, branch)?);
    let mut y = to_vec(&x);
    add(&mut y, &read(&branch));
    let y = x.device().try_tensor_from_vec(y, *x.shape())?;

    let result = y.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &y, |dy, gradients| {
            add(gradient(gradients, &x)?, dy);
            add(gradient(gradients, &branch)?, dy);
            Ok(())
        })
    });
    Ok(result)
}
