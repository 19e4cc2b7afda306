//! Attention without materialising keys and values.
//!
//! With x̂ the normalised tokens, γ and β the weight and bias of their norm and W the projection, keys and values are
//! `(x̂ γ + β) · Wᵀ`, linear in x̂. So each layer's own weights move to the smaller side: queries are projected into
//! token space, attend to x̂, and the weighted sum is projected to values. If tokens are wide and few, computing keys
//! and values takes fewer operations; both are exact.

use dfdx::prelude::*;

use super::{CrossParameters, Dense};
use crate::ops::record::with_tape;
use crate::ops::{
    AttentionKernel, KernelDevice, LinearKernel, Matrix, Record, Rows, Vector, matrix, untyped,
    vector,
};
use crate::spec::Heads;

/// Attends to a context in the cheapest order; `attend` computes `softmax(query · x̂ᵀ) · x̂`.
pub(in crate::ops) fn cross_attention<E: Dtype, D: LinearKernel<E> + AttentionKernel<E>>(
    record: &mut Record<E, D>,
    query: Rows<E, D>,
    parameters: &CrossParameters<'_, E, D>,
    context: &Dense<E, D>,
    attend: impl FnOnce(&mut Record<E, D>, Rows<E, D>) -> Result<Rows<E, D>, D::Err>,
) -> Result<Rows<E, D>, D::Err> {
    let (batch, _, width) = *context.tokens.shape();
    let heads = parameters.heads;
    let needs_weights = context.attend.needs_weights(record.is_on());
    if needs_weights || !absorbs(width, heads, query.shape().1) {
        parameters.check(&query, (batch, width))?;
        let (weight, bias) = folded(record, parameters)?;
        let tokens = context.tokens.clone();
        let key_value = D::try_linear(record, tokens, &weight.into(), Some(&bias), None)?;
        D::try_attention(record, query, key_value, heads, &context.mask, context.attend)
    } else {
        absorbed(record, query, parameters, (batch, width), attend)
    }
}

/// Whether projecting `queries` into token space takes fewer operations than projecting all tokens to keys and values.
pub(crate) const fn absorbs(width: usize, heads: Heads, queries: usize) -> bool {
    let inner = heads.dim.saturating_add(heads.value_dim);
    let projected = inner.saturating_mul(queries.saturating_add(width));
    width.saturating_mul(2).saturating_mul(queries) <= projected
}

/// Attends without materialising keys and values, to tokens with this `(batch, width)`.
pub(super) fn absorbed<E: Dtype, D: LinearKernel<E>>(
    record: &mut Record<E, D>,
    query: Rows<E, D>,
    parameters: &CrossParameters<'_, E, D>,
    tokens: (usize, usize),
    attend: impl FnOnce(&mut Record<E, D>, Rows<E, D>) -> Result<Rows<E, D>, D::Err>,
) -> Result<Rows<E, D>, D::Err> {
    parameters.check(&query, tokens)?;
    let (weight, bias) = folded(record, parameters)?;
    let (heads, queries) = (parameters.heads, query.shape().1);
    let query = with_tape!(record, into_token_space(query, &weight, heads))?;
    let sums = attend(record, query)?;
    with_tape!(record, into_values(sums, &weight, &bias, heads, queries))
}

/// Folds the norm's weight and bias into the projection to keys and values: `(x̂ γ + β) · Wᵀ` is
/// `x̂ · (γ W)ᵀ + β · Wᵀ`.
fn folded<E: Dtype, D: LinearKernel<E>>(
    record: &mut Record<E, D>,
    parameters: &CrossParameters<'_, E, D>,
) -> Result<(Matrix<E, D>, Vector<E, D>), D::Err> {
    fn scaled<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        norm: Tensor<(usize,), E, D, T>,
        to_kv: &Matrix<E, D>,
    ) -> Result<Tensor<(usize, usize), E, D, T>, D::Err> {
        let weight = matrix(to_kv);
        let norm = norm.try_broadcast_like::<_, Axis<0>>(weight.shape())?;
        norm.try_mul(weight)
    }
    fn as_row<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        bias: Tensor<(usize,), E, D, T>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        let width = bias.shape().0;
        bias.try_reshape_like(&(1, 1, width))
    }
    fn as_vector<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        row: Rows<E, D, T>,
    ) -> Result<Tensor<(usize,), E, D, T>, D::Err> {
        let width = row.shape().2;
        row.try_reshape_like(&(width,))
    }
    let CrossParameters { norm_weight, norm_bias, to_kv, kv_bias, .. } = *parameters;
    let weight = with_tape!(record, scaled(vector(norm_weight), to_kv))?;
    let row = with_tape!(record, as_row(vector(norm_bias)))?;
    let bias = D::try_linear(record, row, &to_kv.clone().into(), kv_bias, None)?;
    let bias = with_tape!(record, as_vector(bias))?;
    Ok((untyped(weight), untyped(bias)))
}

/// Maps `(batch, queries, heads)` to `(batch, heads · queries, width of a token)`. Each head is a separate product,
/// over the queries of all items.
fn into_token_space<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    query: Rows<E, D, T>,
    weight: &Matrix<E, D>,
    heads: Heads,
) -> Result<Rows<E, D, T>, D::Err> {
    let (b, l, inner) = *query.shape();
    let Heads { count, dim, .. } = heads;
    let width = weight.shape().1.size();
    let scale = E::from_f64(heads.scale()).unwrap_or(E::ONE);
    // Keys and values are sliced once each, since dfdx's `slice` overwrites the gradient of its input.
    let to_key = matrix(weight)
        .put_tape(T::default())
        .try_slice((..inner, ..))?
        .try_reshape_like(&(count, dim, width))?
        .try_mul(scale)?;
    query
        .try_reshape_like(&(b, l, count, dim))?
        .try_permute::<_, Axes4<2, 0, 1, 3>>()?
        .try_reshape_like(&(count, b * l, dim))?
        .try_matmul(to_key)?
        .try_reshape_like(&(count, b, l, width))?
        .try_permute::<_, Axes4<1, 0, 2, 3>>()?
        .try_reshape_like(&(b, count * l, width))
}

/// Maps `(batch, heads · queries, width of a token)` to `(batch, queries, heads)`.
fn into_values<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    sums: Rows<E, D, T>,
    weight: &Matrix<E, D>,
    bias: &Vector<E, D>,
    heads: Heads,
    queries: usize,
) -> Result<Rows<E, D, T>, D::Err> {
    let (b, _, width) = *sums.shape();
    let Heads { count, value_dim, .. } = heads;
    let (keys, inner) = (heads.width(), heads.value_width());
    let to_value = matrix(weight)
        .put_tape(T::default())
        .try_slice((keys.., ..))?
        .try_reshape_like(&(count, value_dim, width))?
        .try_permute::<_, Axes3<0, 2, 1>>()?;
    let out = sums
        .try_reshape_like(&(b, count, queries, width))?
        .try_permute::<_, Axes4<1, 0, 2, 3>>()?
        .try_reshape_like(&(count, b * queries, width))?
        .try_matmul(to_value)?
        .try_reshape_like(&(count, b, queries, value_dim))?
        .try_permute::<_, Axes4<1, 2, 0, 3>>()?
        .try_reshape_like(&(b, queries, inner))?;
    // The bias of the keys adds the same to all scores of a query, which cancels out in the softmax.
    let bias =
        vector(bias).put_tape(T::default()).try_slice((keys..,))?.try_reshape_like(&(inner,))?;
    let shape = *out.shape();
    out.try_add(bias.try_broadcast_like::<_, Axes2<0, 1>>(&shape)?)
}
