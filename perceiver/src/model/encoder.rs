//! The encoder: from an input to latents.

use std::marker::PhantomData;

use dfdx::prelude::*;

use crate::Device;
use crate::cost;
use crate::nn::{BlockView, Context, DepthResidualView, NormView, ParameterSource, Part, norm};
use crate::ops::{self, Mask, Positioned, Record, Rows, Vector, Weight};
use crate::spec::{Dropout, Numbers, Softmax, Spec};

/// The layers of a [`Perceiver`](super::Perceiver), as a part of it: those that have weights of their own.
#[derive(Clone, Copy, Debug)]
pub struct Layers<S>(PhantomData<S>);

impl<S: Spec> Part for Layers<S> {
    type View<M, V> = Vec<LayerView<M, V>>;
    const PARAMETERS: usize = cost::parameters::of_layers::<S>();

    fn read<R: ParameterSource>(source: &mut R) -> Vec<LayerView<R::Matrix, R::Vector>> {
        source.start_as(S::FAMILY);
        read(source, &Numbers::of::<S>())
    }
}

fn read<R: ParameterSource>(
    source: &mut R,
    numbers: &Numbers,
) -> Vec<LayerView<R::Matrix, R::Vector>> {
    (0..numbers.stored_layers)
        .map(|layer| {
            source.within(format_args!("{layer}"), |source| {
                LayerView::read(source, numbers, layer < numbers.cross_attends)
            })
        })
        .collect()
}

/// A layer: the latents attend to the tokens once, then to each other `SELF_PER_CROSS_ATTN` times (figure 1 of the
/// paper).
#[derive(Clone, Debug)]
pub struct LayerView<M, V> {
    /// Cross attention from the latents to the tokens, in the layers that begin with one.
    pub cross: Option<BlockView<M, V>>,
    /// Self attention among the latents.
    pub latent: Vec<BlockView<M, V>>,
    /// The weights of a mean over all layers so far, if the spec has an `ATTN_RESIDUAL_RANK`.
    pub residual: Option<DepthResidualView<M, V>>,
}

impl<M, V> LayerView<M, V> {
    fn read<R: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut R,
        numbers: &Numbers,
        has_cross: bool,
    ) -> Self {
        Self {
            cross: has_cross.then(|| {
                source
                    .within(format_args!("cross"), |source| BlockView::read(source, numbers.cross))
            }),
            latent: (0..numbers.self_per_cross_attn)
                .map(|block| {
                    source.within(format_args!("latent.{block}"), |source| {
                        BlockView::read(source, numbers.latent)
                    })
                })
                .collect(),
            residual: numbers.attn_residual_rank.map(|rank| {
                source.within(format_args!("residual"), |source| {
                    DepthResidualView::read(source, numbers.latent_dim, rank)
                })
            }),
        }
    }
}

/// The norm of the latents after the last layer, if there is one, as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct FinalNorm<S>(PhantomData<S>);

impl<S: Spec> Part for FinalNorm<S> {
    type View<M, V> = Option<NormView<V>>;
    const PARAMETERS: usize = if S::FINAL_NORM { norm::parameters(S::LatentDim::SIZE) } else { 0 };

    fn read<R: ParameterSource>(source: &mut R) -> Option<NormView<R::Vector>> {
        source.start_as(S::FAMILY);
        S::FINAL_NORM.then(|| NormView::read(source, S::LatentDim::SIZE))
    }
}

/// The tokens, prepared for each axis over which weights sum to 1 in some layer.
pub(super) struct Contexts<E: Dtype, D: Device<E>> {
    pub batch: usize,
    pub tokens: Option<Context<E, D>>,
    pub queries: Option<Context<E, D>>,
    /// The tokens themselves, if they are needed.
    pub kept: Option<Positioned<E, D>>,
}

/// Is called before each cross attention with the number of its layer, its block and the latents.
pub(super) type Observe<'a, E, D> = dyn FnMut(
        usize,
        &BlockView<&Weight<E, D>, &Vector<E, D>>,
        &Rows<E, D>,
    ) -> Result<(), <D as HasErr>::Err>
    + 'a;

/// Runs the latents, one copy for each batch item, through all layers; returns `(batch, latents, dim)`. If there are
/// fewer layers than the depth, the last one is repeated (tied weights).
pub(super) fn run<E: Dtype, D: Device<E>>(
    record: &mut Record<E, D>,
    numbers: &Numbers,
    latents: Tensor<(usize, usize), E, D>,
    layers: &[LayerView<&Weight<E, D>, &Vector<E, D>>],
    contexts: &Contexts<E, D>,
    dropout: Dropout,
    observe: &mut Observe<'_, E, D>,
) -> Result<Rows<E, D>, D::Err> {
    let mut x = D::try_repeat(record, latents, contexts.batch)?;
    let mut states = x.clone();
    let last = layers.len() - 1;
    for (i, layer) in (0..numbers.depth).map(|i| (i, &layers[i.min(last)])) {
        let context = match numbers.softmax_of(i) {
            Softmax::Tokens => &contexts.tokens,
            Softmax::Queries => &contexts.queries,
        };
        if let (Some(cross), Some(context), true) =
            (&layer.cross, context, i < numbers.cross_attends)
        {
            observe(i, cross, &x)?;
            x = cross.try_cross(record, x, context, dropout.feed_forward)?;
        }
        for block in &layer.latent {
            x = block.try_self(record, x, &Mask::None, dropout)?;
        }
        if let Some(residual) = &layer.residual {
            states = ops::concat(record, states, x)?;
            x = residual.try_forward(record, states.clone(), i + 2)?;
        }
    }
    Ok(x)
}
