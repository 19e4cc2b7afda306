//! A module of dfdx that a declared resampler is a part of.

use perceiver::dfdx::nn::modules::Linear;
use perceiver::dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection};
use perceiver::prelude::*;

use crate::strips::{FEATURES, IMAGES};

const LATENTS: usize = 16;
const DIM: usize = 64;

perceiver! {
    /// Makes 16 latents from any number of tokens, as in Flamingo (Alayrac et al. 2022).
    pub struct Resampler {
        input: Tokens(64),
        queries_contribute_kv: true,
        depth: 3,
        self_per_cross_attn: 0,
        num_latents: 16,
        latent_dim: 64,
        cross_heads: 4,
        cross_dim_head: 16,
        feed_forward: Gelu { mult: 4, bias: false },
        attn_bias: false,
        final_norm: true,
        output: Latents,
    }
}

/// Reads the digits in a strip from the latents that a resampler makes from its pixels.
#[derive(Clone, Debug)]
pub struct Reader<E: Dtype, D: Storage<E>> {
    pub embedding: Linear<FEATURES, DIM, E, D>,
    pub resampler: Resampler<E, D>,
    /// From all latents to the logits of all images.
    pub head: Linear<{ LATENTS * DIM }, { IMAGES * 10 }, E, D>,
}

impl<D: Device<f32>> TensorCollection<f32, D> for Reader<f32, D> {
    // dfdx's trait, which says that a module is one on all of dfdx's devices.
    type To<E2: Dtype, D2: perceiver::dfdx::tensor_ops::Device<E2>> = Reader<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, f32, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("embedding", |model| &model.embedding, |model| &mut model.embedding),
                Self::module("resampler", |model| &model.resampler, |model| &mut model.resampler),
                Self::module("head", |model| &model.head, |model| &mut model.head),
            ),
            |(embedding, resampler, head)| Reader { embedding, resampler, head },
        )
    }
}

impl<D: Device<f32>> BuildOnDevice<D, f32> for Reader<f32, Cpu> {
    type Built = Reader<f32, D>;
}

/// The logits of each image in each strip. There is no dropout, so training needs no `ModuleMut`.
impl<B: Dim, S: Dim, D: Device<f32>, T: Tape<f32, D> + Merge<NoneTape>>
    Module<Tensor<(B, S, Const<FEATURES>), f32, D, T>> for Reader<f32, D>
{
    type Output = Tensor<(B, Const<IMAGES>, Const<10>), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        tokens: Tensor<(B, S, Const<FEATURES>), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        let batch = tokens.shape().0;
        let tokens = self.embedding.try_forward(tokens)?;
        let latents = self.resampler.try_forward(tokens)?;
        let latents = latents.try_reshape_like(&(batch, Const::<{ LATENTS * DIM }>))?;
        self.head.try_forward(latents)?.try_reshape_like(&(batch, Const, Const))
    }
}
