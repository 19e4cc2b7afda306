//! The feed-forward layer.

use dfdx::prelude::*;

use super::linear::{self, LinearView};
use super::{ParameterSource, Parameters, Part, layer};
use crate::ops::{FeedForwardKernel, FeedForwardParameters, Record, Rows, Vector, Weight};
use crate::spec::{Activation, Mlp};

/// A feed-forward layer with a gate, GEGLU: `contract(value · gelu(gate))`, where `(value, gate)` are the halves of
/// `expand(x)`.
///
/// It takes and returns `(batch, tokens, DIM)`. The hidden layer has width 4 · `DIM`, and the GELU is exact
/// ([GLU Variants Improve Transformer](https://arxiv.org/abs/2002.05202)). The gate is that of perceiver-pytorch; appendix A.1 of
/// the paper has a plain GELU. There is no norm and no residual connection.
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

/// [`FeedForward`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct FeedForwardPart<const DIM: usize>;

impl<const DIM: usize> Part for FeedForwardPart<DIM> {
    type View<M, V> = FeedForwardView<M, V>;
    const PARAMETERS: usize = parameters(DIM, Mlp::GEGLU);

    fn read<S: ParameterSource>(source: &mut S) -> FeedForwardView<S::Matrix, S::Vector> {
        FeedForwardView::read(source, DIM, Mlp::GEGLU)
    }
}

/// The parameters of a feed-forward layer.
#[derive(Clone, Debug)]
pub struct FeedForwardView<M, V> {
    /// Projects to hidden values, with a weight `(hidden, dim)`; with a gate, to values followed by gates, `(2 · hidden, dim)`.
    pub expand: LinearView<M, V>,
    /// Projects back to the width of the input, with a weight `(dim, hidden)`.
    pub contract: LinearView<M, V>,
    /// The activation between them.
    pub activation: Activation,
}

impl<M, V> FeedForwardView<M, V> {
    /// Reads a layer for rows of width `dim`.
    pub fn read<S: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut S,
        dim: usize,
        Mlp { activation, mult, bias }: Mlp,
    ) -> Self {
        let hidden = mult * dim;
        Self {
            expand: source.within(format_args!("expand"), |source| {
                LinearView::read(source, dim, activation.inputs() * hidden, bias)
            }),
            contract: source.within(format_args!("contract"), |source| {
                LinearView::read(source, hidden, dim, bias)
            }),
            activation,
        }
    }
}

/// The number of parameters of a layer for rows of width `dim`.
pub(crate) const fn parameters(dim: usize, mlp: Mlp) -> usize {
    let Mlp { activation, mult, bias } = mlp;
    let hidden = dim.saturating_mul(mult);
    let expand = linear::parameters(dim, hidden.saturating_mul(activation.inputs()), bias);
    expand.saturating_add(linear::parameters(hidden, dim, bias))
}

/// The floating-point operations of a layer for `rows` of width `dim`.
pub(crate) const fn flops(rows: u64, dim: usize, mlp: Mlp) -> u64 {
    let hidden = dim.saturating_mul(mlp.mult);
    let expand = linear::flops(rows, dim, hidden.saturating_mul(mlp.activation.inputs()));
    expand.saturating_add(linear::flops(rows, hidden, dim))
}

impl<E: Dtype, D: FeedForwardKernel<E>> FeedForwardView<&Weight<E, D>, &Vector<E, D>> {
    /// Applies the layer to `(batch, rows, dim)` and adds the `residual`; both have the shape of the result.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn try_forward(
        &self,
        record: &mut Record<E, D>,
        x: Rows<E, D>,
        residual: Option<&Rows<E, D>>,
    ) -> Result<Rows<E, D>, D::Err> {
        let parameters = FeedForwardParameters {
            expand: self.expand.weight,
            expand_bias: self.expand.bias,
            contract: self.contract.weight,
            contract_bias: self.contract.bias,
            activation: self.activation,
        };
        D::try_feed_forward(record, x, &parameters, residual)
    }
}

impl<B: Dim, L: Dim, const DIM: usize, E: Dtype, D: crate::Device<E>, T: Tape<E, D>>
    Module<Tensor<(B, L, Const<DIM>), E, D, T>> for FeedForward<DIM, E, D>
{
    type Output = Tensor<(B, L, Const<DIM>), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, Const<DIM>), E, D, T>) -> Result<Self::Output, D::Err> {
        layer(x, |record, x| self.view().try_forward(record, x, None))
    }
}
