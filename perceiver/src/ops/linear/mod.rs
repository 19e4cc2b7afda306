//! `x · weightᵀ + bias` over the last axis.

mod cpu;

use dfdx::prelude::*;

use super::Device;
pub(super) use cpu::{add_column_sums, forward as cpu};

/// The op in dfdx's own operations.
pub(super) fn plain<B: Dim, L: Dim, I: Dim, O: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    x: Tensor<(B, L, I), E, D, T>,
    weight: &Tensor<(O, I), E, D>,
    bias: Option<&Tensor<(O,), E, D>>,
) -> Result<Tensor<(B, L, O), E, D, T>, D::Err> {
    // Batch and tokens are the rows of one product: dfdx runs a batch of products one after the other.
    let (batch, tokens, input) = *x.shape();
    let y = x
        .try_reshape_like(&(batch.size() * tokens.size(), input))?
        .try_matmul(weight.clone().try_permute()?)?
        .try_reshape_like(&(batch, tokens, weight.shape().0))?;
    match bias {
        None => Ok(y),
        Some(bias) => {
            let shape = *y.shape();
            y.try_add(bias.clone().try_broadcast_like(&shape)?)
        }
    }
}
