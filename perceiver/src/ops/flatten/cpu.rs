//! The kernels: reshaping is correct for every view on dfdx's `Cpu`, and masked tokens are cleared in one pass.

use dfdx::prelude::*;

use crate::ops::cpu::{contiguous, gradient, read, with_gradient_of};
use crate::ops::{Record, Rows};

pub(super) fn flatten<S: Shape, T: Tape<f32, Cpu>>(
    x: Tensor<S, f32, Cpu, T>,
) -> Result<Rows<f32, Cpu, T>, CpuError> {
    super::rows(x)
}

pub(super) fn clear(
    record: &mut Record<f32, Cpu>,
    rows: Rows<f32, Cpu>,
    mask: &Tensor<(usize, usize), bool, Cpu>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let rows = contiguous(record, &rows)?;
    let (_, tokens, width) = *rows.shape();
    let mut numbers = read(&rows).to_vec();
    let mut kept = vec![true; numbers.len()];
    let mask = mask.as_vec();
    for (item, mask) in mask.chunks(tokens.max(1)).enumerate() {
        let nothing = !mask.contains(&true);
        for (token, &allowed) in mask.iter().enumerate() {
            if allowed {
                continue;
            }
            let first = (item * tokens + token) * width;
            let range = first..first + width;
            for (x, kept) in numbers[range.clone()].iter_mut().zip(&mut kept[range]) {
                *kept = nothing && x.is_finite();
                if !*kept {
                    *x = 0.0;
                }
            }
        }
    }
    let cleared = rows.device().try_tensor_from_vec(numbers, *rows.shape())?;

    let result = cleared.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &cleared, |d_cleared, gradients| {
            let sums = gradient(gradients, &rows)?.iter_mut().zip(d_cleared);
            for ((sum, term), kept) in sums.zip(kept) {
                if kept {
                    *sum += term;
                }
            }
            Ok(())
        })
    });
    Ok(result)
}
