//! The model as dfdx's module: forward passes by its traits, and visits of the tensors.

use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection, TensorOptions};
use dfdx::prelude::*;

use super::{BatchOf, Outputs, Perceiver, TapeOf};
use crate::Device;
use crate::error::ForwardError;
use crate::input::Accepts;
use crate::nn::init;
use crate::spec::{Family, Spec};

impl<S: Spec, I, E: Dtype, D: Device<E>> Module<I> for Perceiver<S, E, D>
where
    S::Input: Accepts<I, E, D>,
{
    type Output = Outputs<S, BatchOf<S, I, E, D>, E, D, TapeOf<S, I, E, D>>;
    type Error = D::Err;

    fn try_forward(&self, input: I) -> Result<Self::Output, D::Err> {
        Self::try_forward(self, input).map_err(ForwardError::into_device_error)
    }
}

impl<S: Spec, I, E: Dtype, D: Device<E>> ModuleMut<I> for Perceiver<S, E, D>
where
    S::Input: Accepts<I, E, D>,
{
    type Output = <Self as Module<I>>::Output;
    type Error = D::Err;

    fn try_forward_mut(&mut self, input: I) -> Result<Self::Output, D::Err> {
        Self::try_forward_mut(self, input).map_err(ForwardError::into_device_error)
    }
}

impl<S: Spec, E: Dtype, D: Storage<E>> Perceiver<S, E, D> {
    /// Visits the tensors of a model `M` that consists of a Perceiver alone.
    #[doc(hidden)]
    pub fn iter_tensors_of<M, V>(
        visitor: &mut V,
        get: fn(&M) -> &Self,
        get_mut: fn(&mut M) -> &mut Self,
        wrap: impl FnOnce(Perceiver<S, V::E2, V::D2>) -> M::To<V::E2, V::D2>,
    ) -> Result<Option<M::To<V::E2, V::D2>>, V::Err>
    where
        D: dfdx::tensor_ops::Device<E>,
        M: TensorCollection<E, D>,
        V: ModuleVisitor<M, E, D>,
    {
        visitor.visit_fields(
            (
                M::tensor(
                    "latents",
                    |model| &get(model).latents,
                    |model| &mut get_mut(model).latents,
                    TensorOptions::reset_with(match S::FAMILY {
                        Family::PerceiverPytorch => init::normal,
                        Family::Transformers => init::small_normal,
                    }),
                ),
                M::module("input", |model| &get(model).input, |model| &mut get_mut(model).input),
                M::module("layers", |model| &get(model).layers, |model| &mut get_mut(model).layers),
                M::module("norm", |model| &get(model).norm, |model| &mut get_mut(model).norm),
                M::module("output", |model| &get(model).output, |model| &mut get_mut(model).output),
            ),
            |(latents, input, layers, norm, output)| {
                wrap(Perceiver { latents, input, layers, norm, output })
            },
        )
    }
}

impl<S: Spec, E: Dtype, D: dfdx::tensor_ops::Device<E>> TensorCollection<E, D>
    for Perceiver<S, E, D>
{
    type To<E2: Dtype, D2: dfdx::tensor_ops::Device<E2>> = Perceiver<S, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        Self::iter_tensors_of(visitor, |model| model, |model| model, |model| model)
    }
}

impl<S: Spec, E: Dtype, D: Storage<E>, E2: Dtype, D2: dfdx::tensor_ops::Device<E2>>
    BuildOnDevice<D2, E2> for Perceiver<S, E, D>
{
    type Built = Perceiver<S, E2, D2>;
}
