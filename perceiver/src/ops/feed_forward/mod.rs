//! The feed-forward with a gate: `contract(value · gelu(gate))`, where `(value, gate)` are the halves of `expand(x)`.

mod cpu;
mod gelu;

use dfdx::prelude::*;

use super::Device;
pub(super) use cpu::forward as cpu;

/// The parameters of a feed-forward of `I` wide rows, with `G` values and gates and `H`, half of that, hidden values.
#[derive(Debug)]
pub struct FeedForwardParameters<'a, I: Dim, G: Dim, H: Dim, E: Dtype, D: Device<E>> {
    /// `(G, I)`: the values' rows, then the gates'.
    pub expand: &'a Tensor<(G, I), E, D>,
    /// `(G,)`.
    pub expand_bias: &'a Tensor<(G,), E, D>,
    /// `(I, H)`.
    pub contract: &'a Tensor<(I, H), E, D>,
    /// `(I,)`.
    pub contract_bias: &'a Tensor<(I,), E, D>,
}

/// The op in dfdx's own operations.
pub(super) fn plain<B, L, I, G, H, E, D, T>(
    x: Tensor<(B, L, I), E, D, T>,
    parameters: &FeedForwardParameters<'_, I, G, H, E, D>,
) -> Result<Tensor<(B, L, I), E, D, T>, D::Err>
where
    B: Dim,
    L: Dim,
    I: Dim,
    G: Dim,
    H: Dim,
    E: Dtype,
    D: Device<E>,
    T: Tape<E, D>,
{
    let gated = D::try_linear(x, parameters.expand, Some(parameters.expand_bias))?;
    // Each half is sliced once: dfdx's `slice` overwrites the gradient of what it slices.
    let (batch, tokens, _) = *gated.shape();
    let hidden = parameters.contract.shape().1;
    let value = gated
        .with_empty_tape()
        .try_slice((.., .., ..hidden.size()))?;
    let gate = gated.try_slice((.., .., hidden.size()..))?;
    let hidden = gelu::try_gelu(gate)?
        .try_mul(value)?
        .try_reshape_like(&(batch, tokens, hidden))?;
    D::try_linear(hidden, parameters.contract, Some(parameters.contract_bias))
}
