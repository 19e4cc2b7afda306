//! Linear maps over the last axis.

use dfdx::prelude::*;
use rand_distr::{Distribution, Uniform};

/// `x · weightᵀ + bias` over the last axis: `(batch, tokens, I)` to `(batch, tokens, O)`.
///
/// Like dfdx's layer of the same name, with dimensions as types: a width may be a
/// [`Product`](crate::dims::Product). Starts as in PyTorch, uniformly within ±1/√I.
#[derive(Clone, Debug)]
pub struct Linear<I: ConstDim, O: ConstDim, E: Dtype, D: Storage<E>> {
    /// `(O, I)`, as in PyTorch.
    pub weight: Tensor<(O, I), E, D>,
    /// `(O,)`.
    pub bias: Tensor<(O,), E, D>,
}

/// `x · weightᵀ` over the last axis: [`Linear`] without the bias.
#[derive(Clone, Debug)]
pub struct UnbiasedLinear<I: ConstDim, O: ConstDim, E: Dtype, D: Storage<E>> {
    /// `(O, I)`, as in PyTorch.
    pub weight: Tensor<(O, I), E, D>,
}

impl<I: ConstDim, O: ConstDim, E: Dtype, D: Storage<E>> Linear<I, O, E, D> {
    /// The number of trainable parameters.
    pub const PARAMETERS: usize = I::SIZE * O::SIZE + O::SIZE;
}

impl<I: ConstDim, O: ConstDim, E: Dtype, D: Storage<E>> UnbiasedLinear<I, O, E, D> {
    /// The number of trainable parameters.
    pub const PARAMETERS: usize = I::SIZE * O::SIZE;
}

impl<B: Dim, L: Dim, I, O, E, D, T> Module<Tensor<(B, L, I), E, D, T>> for Linear<I, O, E, D>
where
    I: ConstDim,
    O: ConstDim,
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
{
    type Output = Tensor<(B, L, O), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, I), E, D, T>) -> Result<Self::Output, D::Err> {
        D::try_linear(x, &self.weight, Some(&self.bias))
    }
}

impl<B: Dim, L: Dim, I, O, E, D, T> Module<Tensor<(B, L, I), E, D, T>>
    for UnbiasedLinear<I, O, E, D>
where
    I: ConstDim,
    O: ConstDim,
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
{
    type Output = Tensor<(B, L, O), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, I), E, D, T>) -> Result<Self::Output, D::Err> {
        D::try_linear(x, &self.weight, None)
    }
}

impl<I: ConstDim, O: ConstDim, E: Dtype, D: Storage<E>> NonMutableModule for Linear<I, O, E, D> {}
impl<I: ConstDim, O: ConstDim, E: Dtype, D: Storage<E>> NonMutableModule
    for UnbiasedLinear<I, O, E, D>
{
}

/// The start of a map from `I` values: uniform within ±1/√I.
fn reset<S: ConstShape, I: ConstDim, E: Dtype, D: Device<E>>(
    tensor: &mut Tensor<S, E, D>,
) -> Result<(), D::Err> {
    let bound = 1.0 / (I::SIZE as f64).sqrt();
    // Sampled as f64, so that this asks no more of `E` than dfdx's `Dtype` gives.
    let distribution = Uniform::new_inclusive(-bound, bound);
    tensor.try_fill_with_distr(distribution.map(|x| E::from_f64(x).unwrap_or_default()))
}

impl<I: ConstDim, O: ConstDim, E: Dtype, D: Device<E>> TensorCollection<E, D>
    for Linear<I, O, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = Linear<I, O, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::tensor(
                    "weight",
                    |s| &s.weight,
                    |s| &mut s.weight,
                    TensorOptions::reset_with(reset::<_, I, E, D>),
                ),
                Self::tensor(
                    "bias",
                    |s| &s.bias,
                    |s| &mut s.bias,
                    TensorOptions::reset_with(reset::<_, I, E, D>),
                ),
            ),
            |(weight, bias)| Linear { weight, bias },
        )
    }
}

impl<I: ConstDim, O: ConstDim, E: Dtype, D: Device<E>> TensorCollection<E, D>
    for UnbiasedLinear<I, O, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = UnbiasedLinear<I, O, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            Self::tensor(
                "weight",
                |s| &s.weight,
                |s| &mut s.weight,
                TensorOptions::reset_with(reset::<_, I, E, D>),
            ),
            |weight| UnbiasedLinear { weight },
        )
    }
}
