//! What `forward` makes of the latents. A new output is a part with an [`Output`] implementation here.

use std::marker::PhantomData;

use dfdx::prelude::*;

use crate::Device;
use crate::nn::{LinearView, NormView, ParameterSource, Parameters, Part, linear, norm};
use crate::ops::{self, Record, Rows};
use crate::spec::Spec;

/// What a model makes of its latents.
pub trait Output: Part {
    /// What `forward` returns for a model of this spec.
    type Tensor<S: Spec, B: Dim, E: Dtype, D: Storage<E>, T>;

    /// The width of the latents that it takes; `None`: any.
    const LATENT_DIM: Option<usize>;

    /// Computes the result from the latents, `(batch, latents, dim)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_forward<E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self, E, D>,
        record: &mut Record<E, D>,
        latents: Rows<E, D>,
    ) -> Result<Rows<E, D>, D::Err>;

    /// Gives the result its type.
    ///
    /// # Errors
    /// Never, if it is what `try_forward` returned.
    fn typed<S: Spec, B: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        result: Rows<E, D>,
        tape: T,
    ) -> Result<Self::Tensor<S, B, E, D, T>, D::Err>;
}

/// The latents themselves: `(batch, NUM_LATENTS, LATENT_DIM)`.
#[derive(Clone, Copy, Debug)]
pub struct Latents;

impl Part for Latents {
    type View<M, V> = ();
    const PARAMETERS: usize = 0;

    fn read<S: ParameterSource>(_: &mut S) {}
}

impl Output for Latents {
    type Tensor<S: Spec, B: Dim, E: Dtype, D: Storage<E>, T> =
        Tensor<(B, S::NumLatents, S::LatentDim), E, D, T>;
    const LATENT_DIM: Option<usize> = None;

    fn try_forward<E: Dtype, D: Device<E>>(
        _: &Parameters<Self, E, D>,
        _: &mut Record<E, D>,
        latents: Rows<E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        Ok(latents)
    }

    fn typed<S: Spec, B: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        result: Rows<E, D>,
        tape: T,
    ) -> Result<Self::Tensor<S, B, E, D, T>, D::Err> {
        ops::typed(result, tape)
    }
}

/// A classifier: the mean of the latents, `Dim` wide, normalised and mapped to one logit for each of the `Classes`,
/// `(batch, Classes)`; the paper's section 3.1. `Dim` must be the spec's `LatentDim`, which is checked when a program is
/// built.
#[derive(Clone, Copy, Debug)]
pub struct MeanPool<Dim, Classes>(PhantomData<(Dim, Classes)>);

/// The parameters of a classifier.
#[derive(Clone, Debug)]
pub struct MeanPoolView<M, V> {
    /// Normalises the mean.
    pub norm: NormView<V>,
    /// To logits.
    pub linear: LinearView<M, V>,
}

impl<L: ConstDim, C: ConstDim> Part for MeanPool<L, C> {
    type View<M, V> = MeanPoolView<M, V>;
    const PARAMETERS: usize =
        norm::parameters(L::SIZE).saturating_add(linear::parameters(L::SIZE, C::SIZE, true));

    fn read<S: ParameterSource>(source: &mut S) -> MeanPoolView<S::Matrix, S::Vector> {
        MeanPoolView {
            norm: source.within(format_args!("norm"), |source| NormView::read(source, L::SIZE)),
            linear: source.within(format_args!("linear"), |source| {
                LinearView::read(source, L::SIZE, C::SIZE, true)
            }),
        }
    }
}

impl<L: ConstDim, C: ConstDim> Output for MeanPool<L, C> {
    type Tensor<S: Spec, B: Dim, E: Dtype, D: Storage<E>, T> = Tensor<(B, C), E, D, T>;
    const LATENT_DIM: Option<usize> = Some(L::SIZE);

    fn try_forward<E: Dtype, D: Device<E>>(
        parameters: &Parameters<Self, E, D>,
        record: &mut Record<E, D>,
        latents: Rows<E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        let view = parameters.view();
        let mean = D::try_mean(record, latents)?;
        let mean = view.norm.try_forward(record, mean)?;
        view.linear.try_forward(record, mean)
    }

    fn typed<S: Spec, B: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        result: Rows<E, D>,
        tape: T,
    ) -> Result<Self::Tensor<S, B, E, D, T>, D::Err> {
        ops::typed(D::try_squeeze(result)?, tape)
    }
}
