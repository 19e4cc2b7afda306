//! The feed-forward layer.

use dfdx::prelude::*;

use super::{Init, ParameterSource, Parameters, Part, layer, linear};
use crate::ops::{FeedForwardKernel, FeedForwardParameters, Matrix, Record, Rows, Vector};

/// How much wider than its input the hidden layer is.
const EXPANSION: usize = 4;

/// A feed-forward layer with a gated hidden layer: `contract(value · gelu(gate))`, where `(value, gate)` are the halves
/// of `expand(x)`.
///
/// Takes and returns `(batch, tokens, DIM)`; the hidden layer is 4 · `DIM` wide and gelu the exact one (GEGLU, arXiv
/// 2002.05202). The paper's appendix A.1 has a plain gelu here; the reference, and so this, has the gate.
///
/// ```
/// use perceiver::{dfdx::nn::BuildModule, nn::FeedForward, prelude::*};
///
/// let dev = Cpu::default();
/// let layer = FeedForward::<16, f32, Cpu>::build(&dev);
/// let x: Tensor<Rank3<2, 5, 16>, f32, _> = dev.sample_normal();
/// let y: Tensor<Rank3<2, 5, 16>, f32, _> = layer.forward(x);
/// ```
pub type FeedForward<const DIM: usize, E = f32, D = Cpu> = Parameters<FeedForwardPart<DIM>, E, D>;

/// A feed-forward layer, as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct FeedForwardPart<const DIM: usize>;

impl<const DIM: usize> Part for FeedForwardPart<DIM> {
    type View<M, V> = FeedForwardView<M, V>;
    const PARAMETERS: usize = parameters(DIM);

    fn read<S: ParameterSource>(source: &mut S) -> FeedForwardView<S::Matrix, S::Vector> {
        FeedForwardView::read(source, DIM)
    }
}

/// The parameters of a feed-forward layer.
#[derive(Clone, Debug)]
pub struct FeedForwardView<M, V> {
    /// To values, in the upper half of its rows, and gates, in the lower: `(2 · hidden, dim)`.
    pub expand: M,
    /// `(2 · hidden,)`.
    pub expand_bias: V,
    /// Back to the input's width: `(dim, hidden)`.
    pub contract: M,
    /// `(dim,)`.
    pub contract_bias: V,
}

impl<M, V> FeedForwardView<M, V> {
    /// Reads a layer for rows of `dim` numbers.
    pub fn read<S: ParameterSource<Matrix = M, Vector = V>>(source: &mut S, dim: usize) -> Self {
        let hidden = EXPANSION * dim;
        let start = |fan_in| Init::Uniform { fan_in };
        Self {
            expand: source.matrix("expand.weight", 2 * hidden, dim),
            expand_bias: source.vector("expand.bias", 2 * hidden, start(dim)),
            contract: source.matrix("contract.weight", dim, hidden),
            contract_bias: source.vector("contract.bias", dim, start(hidden)),
        }
    }
}

/// The number of parameters of a layer for rows of `dim` numbers.
pub(crate) const fn parameters(dim: usize) -> usize {
    let hidden = dim.saturating_mul(EXPANSION);
    let expand = linear::parameters(dim, hidden.saturating_mul(2), true);
    expand.saturating_add(linear::parameters(hidden, dim, true))
}

impl<E: Dtype, D: FeedForwardKernel<E>> FeedForwardView<&Matrix<E, D>, &Vector<E, D>> {
    /// `(batch, rows, dim)` to the same.
    ///
    /// # Errors
    /// If the sizes do not fit together, or the device runs out of memory.
    pub fn try_forward(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        let parameters = FeedForwardParameters {
            expand: self.expand,
            expand_bias: self.expand_bias,
            contract: self.contract,
            contract_bias: self.contract_bias,
        };
        D::try_feed_forward(record, x, &parameters)
    }
}

impl<B: Dim, L: Dim, const DIM: usize, E: Dtype, D: crate::Device<E>, T: Tape<E, D>>
    Module<Tensor<(B, L, Const<DIM>), E, D, T>> for FeedForward<DIM, E, D>
{
    type Output = Tensor<(B, L, Const<DIM>), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, Const<DIM>), E, D, T>) -> Result<Self::Output, D::Err> {
        layer(x, |record, x| self.view().try_forward(record, x))
    }
}
