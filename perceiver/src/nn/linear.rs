//! Linear maps.

use dfdx::prelude::Dtype;

use super::{Init, ParameterSource};
use crate::ops::{LinearKernel, Record, Rows, Vector, Weight};

/// A linear layer, `x · weightᵀ + bias` over the last axis.
///
/// The weight and bias are initialised uniformly within ±1/√inputs, as in PyTorch, or as the model's [family](crate::spec::Family)
/// does.
#[derive(Clone, Debug)]
pub struct LinearView<M, V> {
    /// The weight, `(outputs, inputs)`, as in PyTorch.
    pub weight: M,
    /// The bias, `(outputs,)`, if there is one.
    pub bias: Option<V>,
}

impl<M, V> LinearView<M, V> {
    /// Reads a linear layer from width `inputs` to width `outputs`.
    pub fn read<S: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut S,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Self {
        let start = Init::Uniform { fan_in: inputs };
        Self {
            weight: source.matrix("weight", outputs, inputs),
            bias: bias.then(|| source.vector("bias", outputs, start)),
        }
    }
}

/// The number of parameters of a linear map from width `inputs` to width `outputs`.
pub(crate) const fn parameters(inputs: usize, outputs: usize, bias: bool) -> usize {
    let biases = if bias { outputs } else { 0 };
    inputs.saturating_mul(outputs).saturating_add(biases)
}

/// The floating-point operations of a linear map of `rows` from width `inputs` to width `outputs`.
pub(crate) const fn flops(rows: u64, inputs: usize, outputs: usize) -> u64 {
    2_u64.saturating_mul(rows).saturating_mul(inputs as u64).saturating_mul(outputs as u64)
}

impl<E: Dtype, D: LinearKernel<E>> LinearView<&Weight<E, D>, &Vector<E, D>> {
    /// Maps `(batch, rows, inputs)` to `(batch, rows, outputs)`.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn try_forward(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        self.try_forward_onto(record, x, None)
    }

    /// Adds what rows are mapped to, `(batch, rows, outputs)`, to a `residual` of this shape.
    pub(super) fn try_forward_onto(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        residual: Option<&Rows<E, D>>,
    ) -> Result<Rows<E, D>, D::Err> {
        D::try_linear(record, x, self.weight, self.bias, residual)
    }
}
