//! The kernels for `Cuda`: one for normalised tokens, one for attention to them, and the maps between heads and tokens.
#![allow(unsafe_code)]

mod project;

use dfdx::prelude::*;

use super::{CrossParameters, Dense, Positioned, absorb, plain_prepare};
use crate::ops::attention::cuda::{self as attention, Shape};
use crate::ops::cuda::{Array, Grid, Memory, Number, Source};
use crate::ops::{Attend, layer_norm};
use crate::ops::{AttentionKernel, ContextKernel, KernelDevice, LinearKernel, Mask, Record, Rows};
use project::Folded;

const SOURCE: Source = Source { name: "tokens", text: include_str!("tokens.cu") };

/// The axes that the kernel knows.
const AXES: usize = 4;

impl<E: Number> ContextKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    type Context = Dense<E, Self>;

    fn try_prepare(
        record: &mut Record<E, Self>,
        tokens: Positioned<E, Self>,
        attend: Attend,
    ) -> Result<Self::Context, CudaError> {
        if tokens.axes.len() > AXES {
            return plain_prepare(record, tokens, attend);
        }
        tokens.check()?;
        let mask = tokens.mask.clone().map_or(Mask::None, Mask::Keys);
        Ok(Dense { tokens: normalized(record, &tokens)?, mask, attend })
    }

    fn try_cross_attention(
        record: &mut Record<E, Self>,
        query: Rows<E, Self>,
        parameters: &CrossParameters<'_, E, Self>,
        context: &Self::Context,
    ) -> Result<Rows<E, Self>, CudaError> {
        let (batch, _, width) = *context.tokens.shape();
        let heads = parameters.heads;
        parameters.check(&query, (batch, width))?;
        let tokens = &context.tokens;
        let shape = Shape::of_tokens(width, heads.scale());
        let needs_weights = context.attend.needs_weights(record.is_on());
        if needs_weights || !absorb::absorbs(width, heads, query.shape().1) || !shape.fits() {
            let (weight, bias) = project::fold(record, parameters)?;
            let key_value =
                Self::try_linear(record, tokens.clone(), &weight.into(), Some(&bias), None)?;
            return Self::try_attention(
                record,
                query,
                key_value,
                heads,
                &context.mask,
                context.attend,
            );
        }
        let folded = Folded::new(record, parameters)?;
        let query = Array::new(record, &query)?;
        let queries = query.tensor.shape().1;
        let query = folded.to_tokens(record, &query)?;
        let tokens = Array::new(record, tokens)?;
        let sums = attention::attend(record, query, tokens, shape, &context.mask)?;
        let sums = Array::new(record, &sums)?;
        folded.to_values(record, &sums, queries)
    }
}

/// Encodes and normalises tokens.
fn normalized<E: Number>(
    record: &mut Record<E, Cuda>,
    tokens: &Positioned<E, Cuda>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let channels = Array::new(record, &tokens.channels)?;
    let (batch, count, channel_count) = *channels.tensor.shape();
    let device = channels.tensor.device();
    let rows = batch * count;
    let mut axes = [[1, 0]; AXES];
    for (axis, slot) in axes.iter_mut().enumerate().take(tokens.axes.len()) {
        let width = if tokens.features.is_empty() { 0 } else { tokens.feature_width(axis) };
        *slot = [tokens.axes[axis] as u64, width as u64];
    }
    let width = channel_count + axes.iter().map(|[_, width]| *width as usize).sum::<usize>();
    let tables = channels.gpu.table::<E>(&tokens.features)?;
    let encoded = Array::zeros(device, (batch, count, width))?;
    let scales = Memory::<E>::new_if(record.is_on(), device, rows)?;
    let sizes = [rows, count, channel_count, width].map(|size| size as u64);
    let addresses = [channels.address, encoded.address, scales.address()];
    let settings = [layer_norm::EPSILON.to_bits(), tables.address()];
    let arguments = [&addresses[..], &sizes, &settings, axes.as_flattened()].concat();
    let grid = Grid::warps(rows);
    // SAFETY: these are the sizes of the tensors, and the tables have a row for each position.
    unsafe { channels.gpu.launch::<E>(&SOURCE, &[], "normalize_tokens", grid, &arguments)? };

    let result = encoded.tensor.clone();
    record.add(move |gradients| {
        let d_tokens = encoded.gradient(gradients)?;
        let d_channels = channels.gradient(gradients)?;
        let addresses = [encoded.address, scales.address(), d_tokens, d_channels];
        let sizes = [rows, channel_count, width].map(|size| size as u64);
        let arguments = [&addresses[..], &sizes].concat();
        let name = "add_gradients_of_channels";
        // SAFETY: gradients are as large as what they belong to.
        unsafe { channels.gpu.launch::<E>(&SOURCE, &[], name, grid, &arguments) }
    });
    Ok(result)
}
