//! Layer normalisation, alone and in front of another layer.

use dfdx::prelude::*;

/// Layer normalisation over the last axis: `(x - mean) / √(variance + 1e-5) · weight + bias`, with the
/// biased variance. Takes `(batch, tokens, DIM)`; starts with weights 1 and biases 0.
///
/// Like dfdx's `LayerNorm1D`, with PyTorch's tensor names and without a saved epsilon.
#[derive(Clone, Debug)]
pub struct LayerNorm<const DIM: usize, E: Dtype, D: Storage<E>> {
    /// `(DIM,)`.
    pub weight: Tensor<Rank1<DIM>, E, D>,
    /// `(DIM,)`.
    pub bias: Tensor<Rank1<DIM>, E, D>,
}

impl<const DIM: usize, E: Dtype, D: Storage<E>> LayerNorm<DIM, E, D> {
    /// The number of trainable parameters.
    pub const PARAMETERS: usize = 2 * DIM;
}

impl<B: Dim, L: Dim, const DIM: usize, E: Dtype, D: crate::Device<E>, T: Tape<E, D>>
    Module<Tensor<(B, L, Const<DIM>), E, D, T>> for LayerNorm<DIM, E, D>
{
    type Output = Tensor<(B, L, Const<DIM>), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, Const<DIM>), E, D, T>) -> Result<Self::Output, D::Err> {
        D::try_layer_norm(x, &self.weight, &self.bias)
    }
}

impl<const DIM: usize, E: Dtype, D: Storage<E>> NonMutableModule for LayerNorm<DIM, E, D> {}

impl<const DIM: usize, E: Dtype, D: Device<E>> TensorCollection<E, D> for LayerNorm<DIM, E, D> {
    type To<E2: Dtype, D2: Device<E2>> = LayerNorm<DIM, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::tensor(
                    "weight",
                    |s| &s.weight,
                    |s| &mut s.weight,
                    TensorOptions::reset_to_ones(),
                ),
                Self::tensor(
                    "bias",
                    |s| &s.bias,
                    |s| &mut s.bias,
                    TensorOptions::reset_to_zeros(),
                ),
            ),
            |(weight, bias)| LayerNorm { weight, bias },
        )
    }
}

/// A layer `F` with a [`LayerNorm`] in front: `inner(norm(x))`. What `F` takes and gives,
/// `(batch, tokens, DIM)`, this takes and gives.
#[derive(Clone, Debug)]
pub struct PreNorm<const DIM: usize, F, E: Dtype, D: Storage<E>> {
    /// Normalises the input.
    pub norm: LayerNorm<DIM, E, D>,
    /// The layer behind it; `fn` in checkpoints.
    pub inner: F,
}

impl<const DIM: usize, F, E: Dtype, D: Device<E>, X> Module<X> for PreNorm<DIM, F, E, D>
where
    LayerNorm<DIM, E, D>: Module<X, Error = D::Err>,
    F: Module<<LayerNorm<DIM, E, D> as Module<X>>::Output, Error = D::Err>,
{
    type Output = F::Output;
    type Error = D::Err;

    fn try_forward(&self, x: X) -> Result<Self::Output, D::Err> {
        self.inner.try_forward(self.norm.try_forward(x)?)
    }
}

impl<const DIM: usize, F: NonMutableModule, E: Dtype, D: Storage<E>> NonMutableModule
    for PreNorm<DIM, F, E, D>
{
}

impl<const DIM: usize, F: TensorCollection<E, D>, E: Dtype, D: Device<E>> TensorCollection<E, D>
    for PreNorm<DIM, F, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = PreNorm<DIM, F::To<E2, D2>, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("norm", |s| &s.norm, |s| &mut s.norm),
                Self::module("fn", |s| &s.inner, |s| &mut s.inner),
            ),
            |(norm, inner)| PreNorm { norm, inner },
        )
    }
}

/// A layer `F` of two inputs with a [`LayerNorm`] in front of each: the queries, `DIM` wide, and what
/// they attend to, `CONTEXT` wide.
#[derive(Clone, Debug)]
pub struct CrossPreNorm<const DIM: usize, const CONTEXT: usize, F, E: Dtype, D: Storage<E>> {
    /// Normalises the queries.
    pub norm: LayerNorm<DIM, E, D>,
    /// Normalises the context.
    pub norm_context: LayerNorm<CONTEXT, E, D>,
    /// The layer behind them; `fn` in checkpoints.
    pub inner: F,
}

impl<const DIM: usize, const CONTEXT: usize, F, E: Dtype, D: Device<E>, X, C> Module<(X, C)>
    for CrossPreNorm<DIM, CONTEXT, F, E, D>
where
    LayerNorm<DIM, E, D>: Module<X, Error = D::Err>,
    LayerNorm<CONTEXT, E, D>: Module<C, Error = D::Err>,
    F: Module<
            (
                <LayerNorm<DIM, E, D> as Module<X>>::Output,
                <LayerNorm<CONTEXT, E, D> as Module<C>>::Output,
            ),
            Error = D::Err,
        >,
{
    type Output = F::Output;
    type Error = D::Err;

    fn try_forward(&self, (x, context): (X, C)) -> Result<Self::Output, D::Err> {
        self.inner.try_forward((
            self.norm.try_forward(x)?,
            self.norm_context.try_forward(context)?,
        ))
    }
}

impl<const DIM: usize, const CONTEXT: usize, F: NonMutableModule, E: Dtype, D: Storage<E>>
    NonMutableModule for CrossPreNorm<DIM, CONTEXT, F, E, D>
{
}

impl<const DIM: usize, const CONTEXT: usize, F, E: Dtype, D: Device<E>> TensorCollection<E, D>
    for CrossPreNorm<DIM, CONTEXT, F, E, D>
where
    F: TensorCollection<E, D>,
{
    type To<E2: Dtype, D2: Device<E2>> = CrossPreNorm<DIM, CONTEXT, F::To<E2, D2>, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("norm", |s| &s.norm, |s| &mut s.norm),
                Self::module("norm_context", |s| &s.norm_context, |s| &mut s.norm_context),
                Self::module("fn", |s| &s.inner, |s| &mut s.inner),
            ),
            |(norm, norm_context, inner)| CrossPreNorm {
                norm,
                norm_context,
                inner,
            },
        )
    }
}
