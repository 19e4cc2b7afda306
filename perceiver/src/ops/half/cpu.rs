//! Half precision on dfdx's `Cpu`, with the kernels for `f32`.

use dfdx::prelude::{Cpu, CpuError, Tensor};

use super::Half;
use super::upcast::Upcast;
use crate::ops::adam::plain_adam;
use crate::ops::cache::copied;
use crate::ops::{
    AdamKernel, Attend, AttentionKernel, CacheKernel, ContextKernel, CrossEntropyKernel,
    CrossParameters, Dense, EmbedKernel, FeedForwardKernel, FeedForwardParameters, FlattenKernel,
    KernelDevice, LayerNormKernel, LinearKernel, Mask, MeanKernel, Positioned, Record,
    RepeatKernel, ResidualKernel, RotaryKernel, Rows, Vector, Weight, context,
};
use crate::spec::Heads;

impl<E: Half> LinearKernel<E> for Cpu
where
    Self: KernelDevice<E>,
{
    fn try_linear(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        weight: &Weight<E, Self>,
        bias: Option<&Vector<E, Self>>,
        residual: Option<&Rows<E, Self>>,
    ) -> Result<Rows<E, Self>, CpuError> {
        let mut upcast = Upcast::new(record);
        let x = upcast.input(record, &x)?;
        let weight = upcast.input(record, weight)?;
        let bias = bias.map(|bias| upcast.input(record, bias)).transpose()?;
        let residual = residual.map(|x| upcast.input(record, x)).transpose()?;
        let y = <Self as LinearKernel<f32>>::try_linear(
            &mut upcast.record,
            x,
            &weight.into(),
            bias.as_ref(),
            residual.as_ref(),
        )?;
        upcast.output(record, y)
    }
}

impl<E: Half> LayerNormKernel<E> for Cpu
where
    Self: KernelDevice<E>,
{
    fn try_layer_norm(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        weight: &Vector<E, Self>,
        bias: &Vector<E, Self>,
    ) -> Result<Rows<E, Self>, CpuError> {
        let mut upcast = Upcast::new(record);
        let x = upcast.input(record, &x)?;
        let (weight, bias) = (upcast.input(record, weight)?, upcast.input(record, bias)?);
        let y =
            <Self as LayerNormKernel<f32>>::try_layer_norm(&mut upcast.record, x, &weight, &bias)?;
        upcast.output(record, y)
    }
}

impl<E: Half> FeedForwardKernel<E> for Cpu
where
    Self: KernelDevice<E>,
{
    fn try_feed_forward(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        parameters: &FeedForwardParameters<'_, E, Self>,
        residual: Option<&Rows<E, Self>>,
    ) -> Result<Rows<E, Self>, CpuError> {
        let mut upcast = Upcast::new(record);
        let x = upcast.input(record, &x)?;
        let residual = residual.map(|x| upcast.input(record, x)).transpose()?;
        let mut bias = |bias: Option<&Vector<E, Self>>| {
            bias.map(|bias| upcast.input(record, bias)).transpose()
        };
        let (expand_bias, contract_bias) =
            (bias(parameters.expand_bias)?, bias(parameters.contract_bias)?);
        let parameters = FeedForwardParameters {
            expand: &upcast.input(record, parameters.expand)?.into(),
            expand_bias: expand_bias.as_ref(),
            contract: &upcast.input(record, parameters.contract)?.into(),
            contract_bias: contract_bias.as_ref(),
            activation: parameters.activation,
        };
        let y = <Self as FeedForwardKernel<f32>>::try_feed_forward(
            &mut upcast.record,
            x,
            &parameters,
            residual.as_ref(),
        )?;
        upcast.output(record, y)
    }
}

impl<E: Half> AttentionKernel<E> for Cpu
where
    Self: KernelDevice<E>,
{
    fn try_attention(
        record: &mut Record<E, Self>,
        query: Rows<E, Self>,
        key_value: Rows<E, Self>,
        heads: Heads,
        mask: &Mask<Self>,
        attend: Attend,
    ) -> Result<Rows<E, Self>, CpuError> {
        let mut upcast = Upcast::new(record);
        let (query, key_value) = (upcast.input(record, &query)?, upcast.input(record, &key_value)?);
        let y = <Self as AttentionKernel<f32>>::try_attention(
            &mut upcast.record,
            query,
            key_value,
            heads,
            mask,
            attend,
        )?;
        upcast.output(record, y)
    }
}

impl<E: Half> ContextKernel<E> for Cpu
where
    Self: KernelDevice<E>,
{
    type Context = Dense<E, Self>;

    fn try_prepare(
        record: &mut Record<E, Self>,
        tokens: Positioned<E, Self>,
        attend: Attend,
    ) -> Result<Self::Context, CpuError> {
        context::plain_prepare(record, tokens, attend)
    }

    fn try_cross_attention(
        record: &mut Record<E, Self>,
        query: Rows<E, Self>,
        parameters: &CrossParameters<'_, E, Self>,
        context: &Self::Context,
    ) -> Result<Rows<E, Self>, CpuError> {
        context::cross_attention(record, query, parameters, context, |record, query| {
            let mut upcast = Upcast::new(record);
            let query = upcast.input(record, &query)?;
            let context = context.with_tokens(upcast.input(record, &context.tokens)?);
            let y = context::attend_dense(&mut upcast.record, query, &context)?;
            upcast.output(record, y)
        })
    }
}

impl<E: Half> AdamKernel<E> for Cpu
where
    Self: KernelDevice<E>,
{
    plain_adam!(E);
}

impl<E: Half> CacheKernel<E> for Cpu
where
    Self: KernelDevice<E>,
{
    copied!(E);
}

impl<E: Half> CrossEntropyKernel<E> for Cpu
where
    Self: KernelDevice<E>,
{
    fn try_cross_entropy(
        record: &mut Record<E, Self>,
        logits: Rows<E, Self>,
        targets: &[Option<usize>],
        smoothing: f64,
    ) -> Result<Tensor<(), E, Self>, CpuError> {
        let mut upcast = Upcast::new(record);
        let logits = upcast.input(record, &logits)?;
        let loss = <Self as CrossEntropyKernel<f32>>::try_cross_entropy(
            &mut upcast.record,
            logits,
            targets,
            smoothing,
        )?;
        upcast.output(record, loss)
    }
}

impl<E: Half> FlattenKernel<E> for Cpu where Self: KernelDevice<E> {}
impl<E: Half> EmbedKernel<E> for Cpu where Self: KernelDevice<E> {}

impl<E: Half> MeanKernel<E> for Cpu where Self: KernelDevice<E> {}
impl<E: Half> RepeatKernel<E> for Cpu where Self: KernelDevice<E> {}
impl<E: Half> ResidualKernel<E> for Cpu where Self: KernelDevice<E> {}
impl<E: Half> RotaryKernel<E> for Cpu where Self: KernelDevice<E> {}
