//! The classifier head.

use dfdx::prelude::*;

use super::{LayerNorm, linear};
use crate::ops::Mean;

/// The mean of the latents, normalised and mapped to one logit for each class; the paper's section 3.1.
/// Takes `(batch, latents, DIM)` and gives `(batch, CLASSES)`.
#[derive(Clone, Debug)]
pub struct ToLogits<const DIM: usize, const CLASSES: usize, E: Dtype, D: Storage<E>> {
    /// Normalises the mean; `1` in checkpoints.
    pub norm: LayerNorm<DIM, E, D>,
    /// To logits; `2` in checkpoints.
    pub linear: linear::Linear<Const<DIM>, Const<CLASSES>, E, D>,
}

impl<const DIM: usize, const CLASSES: usize, E: Dtype, D: Storage<E>> ToLogits<DIM, CLASSES, E, D> {
    /// The number of trainable parameters.
    pub const PARAMETERS: usize = LayerNorm::<DIM, E, D>::PARAMETERS
        + linear::Linear::<Const<DIM>, Const<CLASSES>, E, D>::PARAMETERS;
}

impl<B: Dim, L: Dim, const DIM: usize, const CLASSES: usize, E, D, T>
    Module<Tensor<(B, L, Const<DIM>), E, D, T>> for ToLogits<DIM, CLASSES, E, D>
where
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
{
    type Output = Tensor<(B, Const<CLASSES>), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, Const<DIM>), E, D, T>) -> Result<Self::Output, D::Err> {
        let batch = x.shape().0;
        let mean =
            D::try_accumulate(x, Mean)?.try_reshape_like(&(batch, Const::<1>, Const::<DIM>))?;
        self.linear
            .try_forward(self.norm.try_forward(mean)?)?
            .try_reshape_like(&(batch, Const::<CLASSES>))
    }
}

impl<const DIM: usize, const CLASSES: usize, E: Dtype, D: Storage<E>> NonMutableModule
    for ToLogits<DIM, CLASSES, E, D>
{
}

impl<const DIM: usize, const CLASSES: usize, E: Dtype, D: Device<E>> TensorCollection<E, D>
    for ToLogits<DIM, CLASSES, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = ToLogits<DIM, CLASSES, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("1", |s| &s.norm, |s| &mut s.norm),
                Self::module("2", |s| &s.linear, |s| &mut s.linear),
            ),
            |(norm, linear)| ToLogits { norm, linear },
        )
    }
}
