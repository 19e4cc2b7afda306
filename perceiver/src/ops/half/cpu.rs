//! Half precision on dfdx's `Cpu`: the kernels for `f32`.

use dfdx::prelude::{Cpu, CpuError, Dim, Dtype, PutTape, Shape, SplitTape, Tape, Tensor};
use dfdx::tensor_ops::Device as TensorDevice;

use super::Half;
use super::wide::{self, Wide, WideTape};
use crate::dims::{GatedWidth, Inner};
use crate::ops::{
    Accumulation, AttentionOptions, CpuContext, Dense, Device, FeedForwardParameters, KeyValue,
    Positioned, context,
};

impl<E: Half> Device<E> for Cpu
where
    Self: TensorDevice<E>,
{
    type Context = Dense<E, Self>;

    fn try_linear<B: Dim, L: Dim, I: Dim, O: Dim, T: Tape<E, Self>>(
        x: Tensor<(B, L, I), E, Self, T>,
        weight: &Tensor<(O, I), E, Self>,
        bias: Option<&Tensor<(O,), E, Self>>,
    ) -> Result<Tensor<(B, L, O), E, Self, T>, CpuError> {
        let (x, tape) = x.split_tape();
        let mut wide = Wide::new(tape);
        let x = wide.input(&x)?.put_tape(WideTape::default());
        let weight = wide.input(weight)?;
        let bias = match bias {
            None => None,
            Some(bias) => Some(wide.input(bias)?),
        };
        wide.output(<Self as Device<f32>>::try_linear(
            x,
            &weight,
            bias.as_ref(),
        )?)
    }

    fn try_layer_norm<B: Dim, L: Dim, C: Dim, T: Tape<E, Self>>(
        x: Tensor<(B, L, C), E, Self, T>,
        weight: &Tensor<(C,), E, Self>,
        bias: &Tensor<(C,), E, Self>,
    ) -> Result<Tensor<(B, L, C), E, Self, T>, CpuError> {
        let (x, tape) = x.split_tape();
        let mut wide = Wide::new(tape);
        let x = wide.input(&x)?.put_tape(WideTape::default());
        let (weight, bias) = (wide.input(weight)?, wide.input(bias)?);
        wide.output(<Self as Device<f32>>::try_layer_norm(x, &weight, &bias)?)
    }

    fn try_feed_forward<B: Dim, L: Dim, I: Dim, G: GatedWidth<H>, H: Dim, T: Tape<E, Self>>(
        x: Tensor<(B, L, I), E, Self, T>,
        parameters: &FeedForwardParameters<'_, I, G, H, E, Self>,
    ) -> Result<Tensor<(B, L, I), E, Self, T>, CpuError> {
        let (x, tape) = x.split_tape();
        let mut wide = Wide::new(tape);
        let x = wide.input(&x)?.put_tape(WideTape::default());
        let parameters = FeedForwardParameters {
            expand: &wide.input(parameters.expand)?,
            expand_bias: &wide.input(parameters.expand_bias)?,
            contract: &wide.input(parameters.contract)?,
            contract_bias: &wide.input(parameters.contract_bias)?,
        };
        wide.output(<Self as Device<f32>>::try_feed_forward(x, &parameters)?)
    }

    fn try_attention<B, L, M, const HEADS: usize, const DIM_HEAD: usize, T>(
        query: Tensor<(B, L, Inner<HEADS, DIM_HEAD>), E, Self, T>,
        key_value: Tensor<(B, M, KeyValue<HEADS, DIM_HEAD>), E, Self>,
        options: &AttentionOptions<B, M, E, Self>,
    ) -> Result<Tensor<(B, L, Inner<HEADS, DIM_HEAD>), E, Self, T>, CpuError>
    where
        B: Dim,
        L: Dim,
        M: Dim,
        T: Tape<E, Self>,
    {
        let (query, tape) = query.split_tape();
        let mut wide = Wide::new(tape);
        let query = wide.input(&query)?;
        let key_value = wide.input(&key_value)?;
        let options = AttentionOptions {
            mask: widened(&options.mask)?,
            dropout: if T::OWNS_TAPE { options.dropout } else { 0.0 },
            inverted: options.inverted,
        };
        let query = query.put_tape(WideTape::default());
        wide.output(<Self as Device<f32>>::try_attention(
            query, key_value, &options,
        )?)
    }

    fn try_context<T: Tape<E, Self>>(
        tokens: Positioned<E, Self, T>,
        _whole: bool,
    ) -> Result<(Self::Context, T), CpuError> {
        context::plain_prepare(tokens)
    }

    fn dense(context: &Self::Context) -> Option<&Dense<E, Self>> {
        Some(context)
    }

    fn try_attend<T: Tape<E, Self>>(
        query: Tensor<(usize, usize, usize), E, Self, T>,
        context: &Self::Context,
    ) -> Result<Tensor<(usize, usize, usize), E, Self, T>, CpuError> {
        let (query, tape) = query.split_tape();
        let mut wide = Wide::new(tape);
        let query = wide.input(&query)?.put_tape(WideTape::default());
        let context = CpuContext::Dense(Dense {
            tokens: wide.input(&context.tokens)?,
            mask: widened(&context.mask)?,
        });
        wide.output(<Self as Device<f32>>::try_attend(query, &context)?)
    }

    fn try_accumulate<S: Shape, Op: Accumulation<S, Self>, T: Tape<E, Self>>(
        x: Tensor<S, E, Self, T>,
        op: Op,
    ) -> Result<Tensor<Op::Output, E, Self, T>, CpuError> {
        wide::try_accumulate(x, op)
    }

    fn wrong_number_of_elements() -> CpuError {
        CpuError::WrongNumElements
    }
}

/// A mask's ones and zeros in `f32`.
fn widened<S: Shape, E: Dtype>(
    mask: &Option<Tensor<S, E, Cpu>>,
) -> Result<Option<Tensor<S, f32, Cpu>>, CpuError>
where
    Cpu: TensorDevice<E>,
{
    mask.clone().map(|mask| mask.try_to_dtype()).transpose()
}
