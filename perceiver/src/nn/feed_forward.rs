//! The GEGLU feed-forward layer.

use dfdx::prelude::*;

use super::linear::Linear;
use crate::dims::Product;
use crate::ops::FeedForwardParameters;

/// How much wider than its input the hidden layer is.
const EXPANSION: usize = 4;

/// The width of the hidden layer: 4 · `DIM`.
pub type Hidden<const DIM: usize> = Product<Const<EXPANSION>, Const<DIM>>;
/// The width before the gate: values and gates side by side, 2 · 4 · `DIM`.
pub type Gated<const DIM: usize> = Product<Const<2>, Hidden<DIM>>;

/// A feed-forward layer with a gated hidden layer: `contract(value · gelu(gate))`, where
/// `(value, gate)` are the halves of `expand(x)`.
///
/// Takes and gives `(batch, tokens, DIM)`; the hidden layer is 4 · `DIM` wide and gelu the exact one
/// (GEGLU, arXiv 2002.05202). The paper's appendix A.1 has a plain gelu here; the reference, and so this,
/// has the gate.
///
/// ```
/// use perceiver::{dfdx::nn::BuildModule, nn::FeedForward, prelude::*};
///
/// let dev = Cpu::default();
/// let layer = FeedForward::<16, f32, Cpu>::build(&dev);
/// let x: Tensor<Rank3<2, 5, 16>, f32, _> = dev.sample_normal();
/// let y: Tensor<Rank3<2, 5, 16>, f32, _> = layer.forward(x);
/// ```
#[derive(Clone, Debug)]
pub struct FeedForward<const DIM: usize, E: Dtype, D: Storage<E>> {
    /// To values and gates; `net.0` in checkpoints.
    pub expand: Linear<Const<DIM>, Gated<DIM>, E, D>,
    /// Back to the input's width; `net.2` in checkpoints.
    pub contract: Linear<Hidden<DIM>, Const<DIM>, E, D>,
}

impl<const DIM: usize, E: Dtype, D: Storage<E>> FeedForward<DIM, E, D> {
    /// The number of trainable parameters.
    pub const PARAMETERS: usize = Linear::<Const<DIM>, Gated<DIM>, E, D>::PARAMETERS
        + Linear::<Hidden<DIM>, Const<DIM>, E, D>::PARAMETERS;
}

impl<B: Dim, L: Dim, const DIM: usize, E: Dtype, D: crate::Device<E>, T: Tape<E, D>>
    Module<Tensor<(B, L, Const<DIM>), E, D, T>> for FeedForward<DIM, E, D>
{
    type Output = Tensor<(B, L, Const<DIM>), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, Const<DIM>), E, D, T>) -> Result<Self::Output, D::Err> {
        let parameters = FeedForwardParameters {
            expand: &self.expand.weight,
            expand_bias: &self.expand.bias,
            contract: &self.contract.weight,
            contract_bias: &self.contract.bias,
        };
        D::try_feed_forward(x, &parameters)
    }
}

impl<const DIM: usize, E: Dtype, D: Storage<E>> NonMutableModule for FeedForward<DIM, E, D> {}

impl<const DIM: usize, E: Dtype, D: Device<E>> TensorCollection<E, D> for FeedForward<DIM, E, D> {
    type To<E2: Dtype, D2: Device<E2>> = FeedForward<DIM, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("net.0", |s| &s.expand, |s| &mut s.expand),
                Self::module("net.2", |s| &s.contract, |s| &mut s.contract),
            ),
            |(expand, contract)| FeedForward { expand, contract },
        )
    }
}
