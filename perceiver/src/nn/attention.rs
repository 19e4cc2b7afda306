//! Multi-head attention to a context of any width.

use dfdx::prelude::*;

use super::linear::{Linear, UnbiasedLinear};
use super::{Context, Dropout, LayerNorm};
use crate::dims::Inner;
use crate::ops::{AttentionOptions, KeyValue};

/// Multi-head attention of `QUERY` wide queries to a `CONTEXT` wide context.
///
/// For each head, `softmax(q · kᵀ / √DIM_HEAD) · v`; the heads, side by side `HEADS · DIM_HEAD` wide, are
/// then mapped back to the queries' width. The paper's section 3.1; unlike dfdx's `MultiHeadAttention`
/// the context has its own width, and the heads' width does not have to divide anything.
///
/// Called with queries alone, `(batch, queries, QUERY)`, they attend to each other, which needs
/// `CONTEXT` to be `QUERY`; called with `(queries, context)`, to a context
/// `(batch, tokens, CONTEXT)`. Gives `(batch, queries, QUERY)`.
/// [`try_attend`](Self::try_attend) takes a mask and dropout too.
///
/// ```
/// use perceiver::{dfdx::nn::BuildModule, nn::Attention, prelude::*};
///
/// let dev = Cpu::default();
/// let attention = Attention::<32, 29, 4, 16, f32, Cpu>::build(&dev);
/// let latents: Tensor<Rank3<2, 8, 32>, f32, _> = dev.sample_normal();
/// let tokens: Tensor<Rank3<2, 50, 29>, f32, _> = dev.sample_normal();
/// let out: Tensor<Rank3<2, 8, 32>, f32, _> = attention.forward((latents, tokens));
/// ```
///
/// Tokens of another width are an error of `cargo check`, with both numbers:
///
/// ```compile_fail,E0308
/// # use perceiver::{dfdx::nn::BuildModule, nn::Attention, prelude::*};
/// # let dev = Cpu::default();
/// # let attention = Attention::<32, 29, 4, 16, f32, Cpu>::build(&dev);
/// # let latents: Tensor<Rank3<2, 8, 32>, f32, _> = dev.sample_normal();
/// let tokens: Tensor<Rank3<2, 50, 30>, f32, _> = dev.sample_normal();
/// let out = attention.forward((latents, tokens)); // expected `29`, found `30`
/// ```
#[derive(Clone, Debug)]
pub struct Attention<
    const QUERY: usize,
    const CONTEXT: usize,
    const HEADS: usize,
    const DIM_HEAD: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// To queries.
    pub to_q: UnbiasedLinear<Const<QUERY>, Inner<HEADS, DIM_HEAD>, E, D>,
    /// To keys, in the upper half of the weight's rows, and values, in the lower.
    pub to_kv: UnbiasedLinear<Const<CONTEXT>, KeyValue<HEADS, DIM_HEAD>, E, D>,
    /// From the heads back to the queries' width.
    pub to_out: Linear<Inner<HEADS, DIM_HEAD>, Const<QUERY>, E, D>,
}

impl<const QUERY: usize, const CONTEXT: usize, const HEADS: usize, const DIM_HEAD: usize, E, D>
    Attention<QUERY, CONTEXT, HEADS, DIM_HEAD, E, D>
where
    E: Dtype,
    D: Storage<E>,
{
    /// The number of trainable parameters.
    pub const PARAMETERS: usize =
        UnbiasedLinear::<Const<QUERY>, Inner<HEADS, DIM_HEAD>, E, D>::PARAMETERS
            + UnbiasedLinear::<Const<CONTEXT>, KeyValue<HEADS, DIM_HEAD>, E, D>::PARAMETERS
            + Linear::<Inner<HEADS, DIM_HEAD>, Const<QUERY>, E, D>::PARAMETERS;
}

impl<const QUERY: usize, const CONTEXT: usize, const HEADS: usize, const DIM_HEAD: usize, E, D>
    Attention<QUERY, CONTEXT, HEADS, DIM_HEAD, E, D>
where
    E: Dtype,
    D: crate::Device<E>,
{
    /// Attends from `queries`, `(batch, queries, QUERY)`, to `context`, `(batch, tokens, CONTEXT)`, and
    /// gives `(batch, queries, QUERY)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_attend<B: Dim, L: Dim, M: Dim, T: Tape<E, D> + Merge<R>, R: Tape<E, D>>(
        &self,
        queries: Tensor<(B, L, Const<QUERY>), E, D, T>,
        context: Tensor<(B, M, Const<CONTEXT>), E, D, R>,
        options: &AttentionOptions<B, M, E, D>,
    ) -> Result<Tensor<(B, L, Const<QUERY>), E, D, T>, D::Err> {
        let (queries, tape) = queries.split_tape();
        let (context, context_tape) = context.split_tape();
        let query = self
            .to_q
            .try_forward(queries.put_tape(tape.merge(context_tape)))?;
        let (query, tape) = query.split_tape();
        let (key_value, tape) = self.to_kv.try_forward(context.put_tape(tape))?.split_tape();
        let heads = D::try_attention(query.put_tape(tape), key_value, options)?;
        self.to_out.try_forward(heads)
    }

    /// Attends from `queries`, `(batch, queries, QUERY)`, to `context`, normalised with `norm`, and gives
    /// `(batch, queries, QUERY)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_attend_normalized<B: Dim, L: Dim, T: Tape<E, D>>(
        &self,
        queries: Tensor<(B, L, Const<QUERY>), E, D, T>,
        norm: &LayerNorm<CONTEXT, E, D>,
        context: &Context<B, CONTEXT, E, D>,
        inverted: bool,
        dropout: Dropout,
    ) -> Result<Tensor<(B, L, Const<QUERY>), E, D, T>, D::Err> {
        let (batch, count, _) = *queries.shape();
        // With x̂ the normalised tokens, weight γ and bias β of the norm: (x̂ γ + β) · W is x̂ · (γ W) + β · W.
        let weight = self.to_kv.weight.retaped::<T>();
        let shape = *weight.shape();
        let weight = weight.try_mul(norm.weight.clone().try_broadcast_like(&shape)?)?;
        let bias = norm.bias.retaped::<T>();
        let bias = bias.try_reshape_like(&(Const::<1>, Const::<1>, Const::<CONTEXT>))?;
        let bias = D::try_linear(bias, &self.to_kv.weight, None)?
            .try_reshape_like(&(KeyValue::<HEADS, DIM_HEAD>::default(),))?;
        let query = self.to_q.try_forward(queries)?;

        let heads = match D::dense(&context.prepared) {
            Some(dense)
                if inverted
                    || !absorbs(CONTEXT, DIM_HEAD, count.size())
                    || (dropout.attention > 0.0 && T::OWNS_TAPE) =>
            {
                let tokens = dense.tokens.shape().1;
                let mask = match &dense.mask {
                    None => None,
                    Some(mask) => Some(mask.clone().try_reshape_like(&(batch, tokens))?),
                };
                let (weight, weight_tape) = weight.split_tape();
                let (bias, bias_tape) = bias.split_tape();
                let (query, tape) = query.split_tape();
                let tape = tape.merge(weight_tape).merge(bias_tape);
                let tokens = dense.tokens.clone().put_tape(tape);
                let tokens = tokens.try_reshape_like(&(batch, dense.tokens.shape().1, Const))?;
                let (key_value, tape) = D::try_linear(tokens, &weight, Some(&bias))?.split_tape();
                let options = AttentionOptions {
                    mask,
                    dropout: dropout.attention,
                    inverted,
                };
                D::try_attention(query.put_tape(tape), key_value, &options)?
            }
            _ => self.try_absorbed(query, weight, bias, context)?,
        };
        self.to_out.try_forward(heads)
    }

    /// Attends with keys and values never made: the queries are mapped to the width of a token, and what is
    /// summed up there is mapped to values.
    fn try_absorbed<B: Dim, L: Dim, T: Tape<E, D>>(
        &self,
        query: Tensor<(B, L, Inner<HEADS, DIM_HEAD>), E, D, T>,
        weight: Tensor<(KeyValue<HEADS, DIM_HEAD>, Const<CONTEXT>), E, D, T>,
        bias: Tensor<(KeyValue<HEADS, DIM_HEAD>,), E, D, T>,
        context: &Context<B, CONTEXT, E, D>,
    ) -> Result<Tensor<(B, L, Inner<HEADS, DIM_HEAD>), E, D, T>, D::Err> {
        let (batch, queries, inner) = *query.shape();
        let (b, l) = (batch.size(), queries.size());
        let heads = (Const::<HEADS>, Const::<DIM_HEAD>, Const::<CONTEXT>);
        // Each half is sliced once: dfdx's `slice` overwrites the gradient of what it slices.
        let scale = E::from_f64((DIM_HEAD as f64).powf(-0.5)).unwrap_or(E::ONE);
        let to_key = weight
            .with_empty_tape()
            .try_slice((..inner.size(), ..))?
            .try_reshape_like(&heads)?
            .try_mul(scale)?;
        let to_value = weight
            .try_slice((inner.size().., ..))?
            .try_reshape_like(&heads)?
            .try_permute::<_, Axes3<0, 2, 1>>()?;
        // The bias of the keys adds the same to all scores of a query, which a softmax does not see.
        let value_bias = bias
            .try_slice((inner.size()..,))?
            .try_reshape_like(&(inner,))?;

        // Each head is a product of its own, over the queries of all items.
        let query = query
            .try_reshape_like(&(b, l, heads.0, heads.1))?
            .try_permute::<_, Axes4<2, 0, 1, 3>>()?
            .try_reshape_like(&(heads.0, b * l, heads.1))?
            .try_matmul(to_key)?
            .try_reshape_like(&(HEADS, b, l, CONTEXT))?
            .try_permute::<_, Axes4<1, 0, 2, 3>>()?
            .try_reshape_like(&(b, HEADS * l, CONTEXT))?;
        let out = D::try_attend(query, &context.prepared)?
            .try_reshape_like(&(b, HEADS, l, CONTEXT))?
            .try_permute::<_, Axes4<1, 0, 2, 3>>()?
            .try_reshape_like(&(heads.0, b * l, heads.2))?
            .try_matmul(to_value)?
            .try_reshape_like(&(heads.0, b, l, heads.1))?
            .try_permute::<_, Axes4<1, 2, 0, 3>>()?
            .try_reshape_like(&(batch, queries, inner))?;
        let shape = *out.shape();
        out.try_add(value_bias.try_broadcast_like(&shape)?)
    }
}

/// Whether it takes fewer operations to map `queries` to the width of a token than to map all tokens to keys and
/// values.
fn absorbs(width: usize, dim_head: usize, queries: usize) -> bool {
    width * queries <= dim_head * (queries + width)
}

impl<
    B,
    L,
    M,
    const QUERY: usize,
    const CONTEXT: usize,
    const HEADS: usize,
    const DIM_HEAD: usize,
    E,
    D,
    T,
    R,
>
    Module<(
        Tensor<(B, L, Const<QUERY>), E, D, T>,
        Tensor<(B, M, Const<CONTEXT>), E, D, R>,
    )> for Attention<QUERY, CONTEXT, HEADS, DIM_HEAD, E, D>
where
    B: Dim,
    L: Dim,
    M: Dim,
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D> + Merge<R>,
    R: Tape<E, D>,
{
    type Output = Tensor<(B, L, Const<QUERY>), E, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        (queries, context): (
            Tensor<(B, L, Const<QUERY>), E, D, T>,
            Tensor<(B, M, Const<CONTEXT>), E, D, R>,
        ),
    ) -> Result<Self::Output, D::Err> {
        self.try_attend(queries, context, &AttentionOptions::default())
    }
}

impl<B, L, const DIM: usize, const HEADS: usize, const DIM_HEAD: usize, E, D, T>
    Module<Tensor<(B, L, Const<DIM>), E, D, T>> for Attention<DIM, DIM, HEADS, DIM_HEAD, E, D>
where
    B: Dim,
    L: Dim,
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
{
    type Output = Tensor<(B, L, Const<DIM>), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, Const<DIM>), E, D, T>) -> Result<Self::Output, D::Err> {
        let context = x.with_empty_tape();
        self.try_attend(x, context, &AttentionOptions::default())
    }
}

impl<const QUERY: usize, const CONTEXT: usize, const HEADS: usize, const DIM_HEAD: usize, E, D>
    NonMutableModule for Attention<QUERY, CONTEXT, HEADS, DIM_HEAD, E, D>
where
    E: Dtype,
    D: Storage<E>,
{
}

impl<const QUERY: usize, const CONTEXT: usize, const HEADS: usize, const DIM_HEAD: usize, E, D>
    TensorCollection<E, D> for Attention<QUERY, CONTEXT, HEADS, DIM_HEAD, E, D>
where
    E: Dtype,
    D: Device<E>,
{
    type To<E2: Dtype, D2: Device<E2>> = Attention<QUERY, CONTEXT, HEADS, DIM_HEAD, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("to_q", |s| &s.to_q, |s| &mut s.to_q),
                Self::module("to_kv", |s| &s.to_kv, |s| &mut s.to_kv),
                Self::module("to_out", |s| &s.to_out, |s| &mut s.to_out),
            ),
            |(to_q, to_kv, to_out)| Attention {
                to_q,
                to_kv,
                to_out,
            },
        )
    }
}
