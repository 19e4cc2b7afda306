//! From an input to latents.

use std::marker::PhantomData;

use dfdx::prelude::*;

use crate::Device;
use crate::nn::{BlockView, Context, ParameterSource, Part};
use crate::ops::{AnyRank, Attend, Mask, Matrix, Record, Rows, Vector};
use crate::spec::{Cost, Dropout, Numbers, Spec};

/// The layers of a model, as a part of it.
#[derive(Clone, Copy, Debug)]
pub struct Layers<S>(PhantomData<S>);

impl<S: Spec> Part for Layers<S> {
    type View<M, V> = Vec<LayerView<M, V>>;
    const PARAMETERS: usize = Cost::of_layers::<S>().parameters;

    fn read<R: ParameterSource>(source: &mut R) -> Vec<LayerView<R::Matrix, R::Vector>> {
        read(source, &Numbers::of::<S>())
    }
}

fn read<R: ParameterSource>(
    source: &mut R,
    numbers: &Numbers,
) -> Vec<LayerView<R::Matrix, R::Vector>> {
    (0..numbers.stored_layers)
        .map(|layer| {
            source.within(format_args!("{layer}"), |source| LayerView::read(source, numbers))
        })
        .collect()
}

/// A layer: the latents attend to the tokens once and then some times to each other. The paper's figure 1.
#[derive(Clone, Debug)]
pub struct LayerView<M, V> {
    /// From latents to tokens.
    pub cross: BlockView<M, V>,
    /// Among the latents.
    pub latent: Vec<BlockView<M, V>>,
}

impl<M, V> LayerView<M, V> {
    fn read<R: ParameterSource<Matrix = M, Vector = V>>(source: &mut R, numbers: &Numbers) -> Self {
        let dim = numbers.latent_dim;
        Self {
            cross: source.within(format_args!("cross"), |source| {
                BlockView::read(source, dim, Some(numbers.token_dim), numbers.cross_heads)
            }),
            latent: (0..numbers.self_per_cross_attn)
                .map(|block| {
                    source.within(format_args!("latent.{block}"), |source| {
                        BlockView::read(source, dim, None, numbers.latent_heads)
                    })
                })
                .collect(),
        }
    }
}

/// Runs the latents, one copy for each item of the batch, through all layers; returns `(batch, latents, dim)`. If there
/// are fewer layers than the depth, the last one is repeated: tied weights.
pub(super) fn run<E: Dtype, D: Device<E>>(
    record: &mut Record<E, D>,
    numbers: &Numbers,
    latents: Tensor<(usize, usize), E, D>,
    layers: &[LayerView<&Matrix<E, D>, &Vector<E, D>>],
    grid: AnyRank<E, D>,
    mask: Option<AnyRank<bool, D>>,
    dropout: Dropout,
) -> Result<Rows<E, D>, D::Err> {
    let attend = Attend { softmax: numbers.cross_softmax, dropout: dropout.attention };
    let context = Context::try_new(record, grid, mask, numbers.position, attend)?;
    let mut x = D::try_repeat(record, latents, context.batch())?;
    let tied = layers.last().into_iter().cycle();
    for layer in layers.iter().chain(tied).take(numbers.depth) {
        x = layer.cross.try_cross(record, x, &context, dropout.feed_forward)?;
        for block in &layer.latent {
            x = block.try_self(record, x, &Mask::None, dropout)?;
        }
    }
    Ok(x)
}
