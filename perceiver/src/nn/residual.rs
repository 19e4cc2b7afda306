//! Residual connections to all layers before.

use dfdx::prelude::Dtype;

use super::{Init, LinearView, ParameterSource, linear};
use crate::Device;
use crate::ops::{self, Record, Rows, Vector, Weight};

/// The parameters of a residual connection to all layers before: a weighted mean over the states so far.
///
/// Each number of a state has a weight of its own, the softmax of `up(down(norm(state)))` over the states
/// (perceiver-pytorch's `EnformerAttentionResidual`).
#[derive(Clone, Debug)]
pub struct DepthResidualView<M, V> {
    /// The weight of a root mean square norm, `(dim,)`.
    pub norm: V,
    /// Projects from `dim` to `rank` numbers, without a bias.
    pub down: LinearView<M, V>,
    /// Projects from `rank` back to `dim` numbers, without a bias.
    pub up: LinearView<M, V>,
}

impl<M, V> DepthResidualView<M, V> {
    /// Reads the parameters for states of width `dim`, with weights of this `rank`.
    pub fn read<S: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut S,
        dim: usize,
        rank: usize,
    ) -> Self {
        Self {
            norm: source.vector("norm.weight", dim, Init::Ones),
            down: source
                .within(format_args!("down"), |source| LinearView::read(source, dim, rank, false)),
            up: source
                .within(format_args!("up"), |source| LinearView::read(source, rank, dim, false)),
        }
    }
}

/// The number of parameters for states of width `dim`.
pub(crate) const fn parameters(dim: usize, rank: usize) -> usize {
    let maps = linear::parameters(dim, rank, false).saturating_mul(2);
    maps.saturating_add(dim)
}

/// The floating-point operations for `rows` of states of width `dim`.
pub(crate) const fn flops(rows: u64, dim: usize, rank: usize) -> u64 {
    linear::flops(rows, dim, rank).saturating_mul(2)
}

impl<E: Dtype, D: Device<E>> DepthResidualView<&Weight<E, D>, &Vector<E, D>> {
    /// Returns the weighted mean `(batch, rows, dim)` of `depth` states, which are concatenated: `(batch, depth · rows, dim)`.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn try_forward(
        &self,
        record: &mut Record<E, D>,
        states: Rows<E, D>,
        depth: usize,
    ) -> Result<Rows<E, D>, D::Err> {
        let rows = ops::rms_norm(record, states.clone(), self.norm)?;
        let rows = self.down.try_forward(record, rows)?;
        let logits = self.up.try_forward(record, rows)?;
        ops::mean_over_depth(record, logits, states, depth)
    }
}
