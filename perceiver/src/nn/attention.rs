//! Multi-head attention to a context of any width.

use dfdx::prelude::*;

use super::linear::{Linear, UnbiasedLinear, matmul_rows};
use crate::dims::{Inner, Product};
use crate::ops::AttentionOptions;

/// The width of keys and values side by side.
type KeyValue<const HEADS: usize, const DIM_HEAD: usize> =
    Product<Const<2>, Inner<HEADS, DIM_HEAD>>;

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
        let context = context.put_tape(T::default());
        let query = self
            .to_q
            .try_forward(queries.put_tape(tape.merge(context_tape)))?;
        // The weight is split, which is small, rather than what it gives, which is not. It is copied
        // first: dfdx's `slice` overwrites the gradient of what it slices, so a tied weight must not
        // be sliced itself.
        let inner = Inner::<HEADS, DIM_HEAD>::SIZE;
        let to_kv = self
            .to_kv
            .weight
            .retaped::<T>()
            .try_permute::<_, Axes2<1, 0>>()?
            .try_contiguous()?;
        let to_k = to_kv.with_empty_tape().try_slice((.., ..inner))?;
        let to_v = to_kv.try_slice((.., inner..))?;
        let key = project_to_heads(context.with_empty_tape(), to_k)?;
        let value = project_to_heads(context, to_v)?;
        self.to_out
            .try_forward(D::try_attention(query, key, value, options)?)
    }
}

/// `x · weight`, for keys or values.
fn project_to_heads<
    B: Dim,
    M: Dim,
    const C: usize,
    const HEADS: usize,
    const DIM_HEAD: usize,
    E,
    D,
    T,
>(
    x: Tensor<(B, M, Const<C>), E, D, T>,
    weight: Tensor<(Const<C>, usize), E, D, T>,
) -> Result<Tensor<(B, M, Inner<HEADS, DIM_HEAD>), E, D, T>, D::Err>
where
    E: Dtype,
    D: Device<E>,
    T: Tape<E, D>,
{
    let inner = Inner::<HEADS, DIM_HEAD>::default();
    let weight = weight.try_reshape_like(&(Const, inner))?;
    matmul_rows(x, weight)
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
