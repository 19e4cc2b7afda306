//! Layer normalisation over the last axis.

mod cpu;

use dfdx::prelude::*;

use super::Device;
pub(super) use cpu::forward as cpu;

/// What is added to the variance, as PyTorch has it.
pub(super) const EPSILON: f64 = 1e-5;

/// The op in dfdx's own operations.
pub(super) fn plain<B: Dim, L: Dim, C: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    x: Tensor<(B, L, C), E, D, T>,
    weight: &Tensor<(C,), E, D>,
    bias: &Tensor<(C,), E, D>,
) -> Result<Tensor<(B, L, C), E, D, T>, D::Err> {
    let shape = *x.shape();
    x.try_normalize::<Axis<2>>(EPSILON)?
        .try_mul(weight.clone().try_broadcast_like(&shape)?)?
        .try_add(bias.clone().try_broadcast_like(&shape)?)
}
