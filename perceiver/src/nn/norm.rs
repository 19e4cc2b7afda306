//! Layer normalisation.

use dfdx::prelude::Dtype;

use super::{Init, ParameterSource};
use crate::ops::{LayerNormKernel, Record, Rows, Vector};

/// Layer normalisation over the last axis: `(x - mean) / √(variance + 1e-5) · weight + bias`, with the biased variance.
/// The weight is 1 and the bias 0 at first.
#[derive(Clone, Debug)]
pub struct NormView<V> {
    /// The factor of each number, `(width,)`.
    pub weight: V,
    /// What is added to each number, `(width,)`.
    pub bias: V,
}

impl<V> NormView<V> {
    /// Reads a norm for rows of width `width`.
    pub fn read<S: ParameterSource<Vector = V>>(source: &mut S, width: usize) -> Self {
        Self {
            weight: source.vector("weight", width, Init::Ones),
            bias: source.vector("bias", width, Init::Zeros),
        }
    }
}

/// The number of parameters of a norm for rows of width `width`.
pub(crate) const fn parameters(width: usize) -> usize {
    width.saturating_mul(2)
}

impl<E: Dtype, D: LayerNormKernel<E>> NormView<&Vector<E, D>> {
    /// Normalises each row of `(batch, rows, width)`; returns the same shape.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn try_forward(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        D::try_layer_norm(record, x, self.weight, self.bias)
    }
}
