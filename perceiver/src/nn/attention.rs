//! Multi-head attention to a context of any width.

use dfdx::prelude::*;

use super::context::{Context, Keys};
use super::linear::{self, LinearView};
use super::norm::NormView;
use super::{ParameterSource, Parameters, Part, rows_of};
use crate::ops::{
    self, Attend, AttentionKernel, AttentionWeights, CrossParameters, LinearKernel, Mask, Record,
    Rows, Vector, Weight,
};
use crate::spec::{AttentionBias, Heads, Softmax};

/// Multi-head attention from queries of width `QUERY` to a context of width `CONTEXT`.
///
/// Each head computes `softmax(q · kᵀ / √DIM_HEAD) · v`; the concatenated heads, of width `HEADS · DIM_HEAD`, are then
/// projected back to the width of the queries (section 3.1 of the paper). Unlike dfdx's `MultiHeadAttention`, the context
/// has a width of its own, and `DIM_HEAD` is independent of both widths.
///
/// `forward((queries, context))` attends from queries `(batch, queries, QUERY)` to a context `(batch, tokens, CONTEXT)`, and
/// `forward(queries)` computes self attention, for which `CONTEXT` must equal `QUERY`. Both return `(batch, queries, QUERY)`.
/// [`try_attend`](Self::try_attend) also takes a mask and dropout. There is no norm and no residual connection.
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
/// Tokens of a different width are a `cargo check` error that shows both widths:
///
/// ```compile_fail,E0308
/// # use perceiver::{dfdx::nn::BuildModule, nn::Attention, prelude::*};
/// # let dev = Cpu::default();
/// # let attention = Attention::<32, 29, 4, 16, f32, Cpu>::build(&dev);
/// # let latents: Tensor<Rank3<2, 8, 32>, f32, _> = dev.sample_normal();
/// let tokens: Tensor<Rank3<2, 50, 30>, f32, _> = dev.sample_normal();
/// let out = attention.forward((latents, tokens)); // expected `29`, found `30`
/// ```
pub type Attention<
    const QUERY: usize,
    const CONTEXT: usize,
    const HEADS: usize,
    const DIM_HEAD: usize,
    E = f32,
    D = Cpu,
> = Parameters<AttentionPart<QUERY, CONTEXT, HEADS, DIM_HEAD>, E, D>;

/// [`Attention`], as a part of a model.
#[derive(Clone, Copy, Debug)]
pub struct AttentionPart<
    const QUERY: usize,
    const CONTEXT: usize,
    const HEADS: usize,
    const DIM_HEAD: usize,
>;

impl<const QUERY: usize, const CONTEXT: usize, const HEADS: usize, const DIM_HEAD: usize> Part
    for AttentionPart<QUERY, CONTEXT, HEADS, DIM_HEAD>
{
    type View<M, V> = AttentionView<M, V>;
    const PARAMETERS: usize = parameters(QUERY, CONTEXT, Self::HEADS, AttentionBias::OUTPUT);

    fn read<S: ParameterSource>(source: &mut S) -> AttentionView<S::Matrix, S::Vector> {
        AttentionView::read(source, QUERY, CONTEXT, Self::HEADS, AttentionBias::OUTPUT)
    }
}

impl<const QUERY: usize, const CONTEXT: usize, const HEADS: usize, const DIM_HEAD: usize>
    AttentionPart<QUERY, CONTEXT, HEADS, DIM_HEAD>
{
    const HEADS: Heads = Heads::new(HEADS, DIM_HEAD);
}

/// The parameters of an attention layer.
#[derive(Clone, Debug)]
pub struct AttentionView<M, V> {
    /// Projects the rows that attend to queries.
    pub to_q: LinearView<M, V>,
    /// Projects the context to keys, with the upper rows of the weight, and to values, with the lower rows.
    pub to_kv: LinearView<M, V>,
    /// Projects the heads back to the width of the queries.
    pub to_out: LinearView<M, V>,
    /// The number and dimensions of the heads.
    pub heads: Heads,
}

impl<M, V> AttentionView<M, V> {
    /// Reads an attention layer from queries of width `query` to a context of width `context`.
    pub fn read<S: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut S,
        query: usize,
        context: usize,
        heads: Heads,
        bias: AttentionBias,
    ) -> Self {
        let AttentionBias { input, output } = bias;
        Self {
            to_q: source.within(format_args!("to_q"), |source| {
                LinearView::read(source, query, heads.width(), input)
            }),
            to_kv: source.within(format_args!("to_kv"), |source| {
                LinearView::read(source, context, heads.key_value_width(), input)
            }),
            to_out: source.within(format_args!("to_out"), |source| {
                LinearView::read(source, heads.value_width(), query, output)
            }),
            heads,
        }
    }
}

/// The number of parameters of an attention layer from queries of width `query` to a context of width `context`.
pub(crate) const fn parameters(
    query: usize,
    context: usize,
    heads: Heads,
    bias: AttentionBias,
) -> usize {
    let to_query = linear::parameters(query, heads.width(), bias.input);
    let to_kv = linear::parameters(context, heads.key_value_width(), bias.input);
    let to_out = linear::parameters(heads.value_width(), query, bias.output);
    to_query.saturating_add(to_kv).saturating_add(to_out)
}

/// The floating-point operations of an attention layer, for each item of a batch, from `queries` of width `query` to `tokens` of
/// width `context`.
pub(crate) const fn flops(
    (queries, query): (u64, usize),
    (tokens, context): (u64, usize),
    heads: Heads,
) -> u64 {
    let to_query = linear::flops(queries, query, heads.width());
    let to_kv = linear::flops(tokens, context, heads.key_value_width());
    let to_out = linear::flops(queries, heads.value_width(), query);
    to_query
        .saturating_add(to_kv)
        .saturating_add(attended(queries, tokens, heads))
        .saturating_add(to_out)
}

/// Those of the scores and of the sums of values alone.
pub(crate) const fn attended(queries: u64, tokens: u64, heads: Heads) -> u64 {
    let pairs = 2_u64.saturating_mul(queries).saturating_mul(tokens);
    pairs.saturating_mul(heads.key_value_width() as u64)
}

impl<E: Dtype, D: LinearKernel<E> + AttentionKernel<E>>
    AttentionView<&Weight<E, D>, &Vector<E, D>>
{
    /// Attends from `queries`, `(batch, queries, query)`, to `context`, `(batch, tokens, context)`, and adds the `residual`;
    /// returns `(batch, queries, query)`.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn try_attend(
        &self,
        record: &mut Record<E, D>,
        queries: Rows<E, D>,
        context: Rows<E, D>,
        mask: &Mask<D>,
        attend: Attend,
        residual: Option<&Rows<E, D>>,
    ) -> Result<Rows<E, D>, D::Err> {
        let query = self.to_q.try_forward(record, queries)?;
        let key_value = self.to_kv.try_forward(record, context)?;
        let out = D::try_attention(record, query, key_value, self.heads, mask, attend)?;
        self.to_out.try_forward_onto(record, out, residual)
    }

    /// The weights with which `queries` attend to `context`, `(batch, heads, queries, tokens)`.
    pub(crate) fn try_weights(
        &self,
        queries: Rows<E, D>,
        context: Rows<E, D>,
        mask: &Mask<D>,
        softmax: Softmax,
    ) -> Result<AttentionWeights<E, D>, D::Err> {
        let mut record = Record::for_tape::<NoneTape>();
        let query = self.to_q.try_forward(&mut record, queries)?;
        let key_value = self.to_kv.try_forward(&mut record, context)?;
        let (batch, tokens, _) = *key_value.shape();
        let width = self.heads.width();
        let key = key_value.try_slice((.., .., ..width))?;
        let key = key.try_reshape_like(&(batch, tokens, width))?;
        ops::attention_weights(query, key, self.heads, mask, softmax)
    }

    /// Attends from `queries`, `(batch, queries, query)`, to a prepared context, which is normalised with `norm`, and adds the
    /// `residual`; returns `(batch, queries, query)`.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub fn try_attend_context(
        &self,
        record: &mut Record<E, D>,
        queries: Rows<E, D>,
        norm: &NormView<&Vector<E, D>>,
        context: &Context<E, D>,
        residual: Option<&Rows<E, D>>,
    ) -> Result<Rows<E, D>, D::Err>
    where
        D: crate::Device<E>,
    {
        let prepared = match context.keys() {
            Keys::Tokens(prepared) => prepared,
            Keys::WithQueries { tokens, mask, attend } => {
                let tokens = norm.try_forward(record, tokens.clone())?;
                let keys = ops::concat(record, tokens, queries.clone())?;
                return self.try_attend(record, queries, keys, mask, *attend, residual);
            }
        };
        let query = self.to_q.try_forward(record, queries)?;
        let parameters = CrossParameters {
            norm_weight: norm.weight,
            norm_bias: norm.bias,
            to_kv: self.to_kv.weight,
            kv_bias: self.to_kv.bias,
            heads: self.heads,
        };
        let out = D::try_cross_attention(record, query, &parameters, prepared)?;
        self.to_out.try_forward_onto(record, out, residual)
    }
}

impl<const QUERY: usize, const CONTEXT: usize, const HEADS: usize, const DIM_HEAD: usize, E, D>
    Attention<QUERY, CONTEXT, HEADS, DIM_HEAD, E, D>
where
    E: Dtype,
    D: crate::Device<E>,
{
    /// Attends from `queries`, `(batch, queries, QUERY)`, to `context`, `(batch, tokens, CONTEXT)`, with a mask and with
    /// dropout; returns `(batch, queries, QUERY)`.
    ///
    /// What tokens masked by [`Mask::Keys`] contain does not matter. Gradients are tracked, and dropout applies, only if the
    /// queries have an owned tape, as after `traced`.
    ///
    /// ```
    /// use perceiver::ops::{Attend, Mask};
    /// use perceiver::{dfdx::nn::BuildModule, nn::Attention, prelude::*};
    ///
    /// let dev = Cpu::default();
    /// let attention = Attention::<32, 29, 4, 16, f32, Cpu>::build(&dev);
    /// let latents: Tensor<Rank3<1, 8, 32>, f32, _> = dev.sample_normal();
    /// let tokens: Tensor<Rank3<1, 3, 29>, f32, _> = dev.sample_normal();
    ///
    /// // The last token is padding.
    /// let mask = Mask::Keys(dev.tensor_from_vec(vec![true, true, false], (1, 3)));
    /// let out: Tensor<Rank3<1, 8, 32>, f32, _> =
    ///     attention.try_attend(latents, tokens, &mask, Attend::default())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the batch sizes of queries and context differ, or the mask has another size than both, as far as sizes are known only
    /// at run time; or if the device runs out of memory.
    pub fn try_attend<B: Dim, L: Dim, M: Dim, T: Tape<E, D> + Merge<R>, R: Tape<E, D>>(
        &self,
        queries: Tensor<(B, L, Const<QUERY>), E, D, T>,
        context: Tensor<(B, M, Const<CONTEXT>), E, D, R>,
        mask: &Mask<D>,
        attend: Attend,
    ) -> Result<Tensor<(B, L, Const<QUERY>), E, D, T>, D::Err> {
        let (queries, tape) = queries.split_tape();
        let (context, context_tape) = context.split_tape();
        let mut tape = tape.merge(context_tape);
        let mut record = Record::for_tape::<T>();
        let queries = rows_of(&mut record, queries)?;
        let mut context = rows_of(&mut record, context)?;
        if let Mask::Keys(mask) = mask {
            ops::check::<D::Err>(*mask.shape() == (context.shape().0, context.shape().1))?;
            context = D::try_clear_masked(&mut record, context, mask)?;
        }
        let (view, mask) = (self.view(), mask.clone().try_contiguous::<E>()?);
        let out = view.try_attend(&mut record, queries, context, &mask, attend, None)?;
        record.put_on(&mut tape);
        ops::typed(out, tape)
    }
}

impl<
    B: Dim,
    L: Dim,
    M: Dim,
    const QUERY: usize,
    const CONTEXT: usize,
    const HEADS: usize,
    const DIM_HEAD: usize,
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D> + Merge<R>,
    R: Tape<E, D>,
> Module<(Tensor<(B, L, Const<QUERY>), E, D, T>, Tensor<(B, M, Const<CONTEXT>), E, D, R>)>
    for Attention<QUERY, CONTEXT, HEADS, DIM_HEAD, E, D>
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
        self.try_attend(queries, context, &Mask::None, Attend::default())
    }
}

impl<B: Dim, L: Dim, const DIM: usize, const HEADS: usize, const DIM_HEAD: usize, E, D, T>
    Module<Tensor<(B, L, Const<DIM>), E, D, T>> for Attention<DIM, DIM, HEADS, DIM_HEAD, E, D>
where
    E: Dtype,
    D: crate::Device<E>,
    T: Tape<E, D>,
{
    type Output = Tensor<(B, L, Const<DIM>), E, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, L, Const<DIM>), E, D, T>) -> Result<Self::Output, D::Err> {
        super::layer(x, |record, x| {
            let (mask, attend) = (Mask::None, Attend::default());
            self.view().try_attend(record, x.clone(), x, &mask, attend, None)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::compare::{assert_close, numbers, samples, tensor};

    type Small<E> = Attention<6, 5, 2, 4, E, Cpu>;

    /// Results and gradients are the same as with zeros in place of masked tokens.
    #[test]
    fn masked_tokens_may_hold_anything() {
        fn run<E: Dtype>()
        where
            Cpu: crate::Device<E>,
        {
            let dev = Cpu::seed_from_u64(1);
            let attention = Small::<E>::build(&dev);
            let queries: Tensor<Rank3<1, 3, 6>, E, _> = tensor(Default::default(), &samples(1, 18));
            let allowed = vec![true, false, true, false];
            let mask = Mask::Keys(dev.tensor_from_vec(allowed, (1, 4)));
            let outcomes = [0.0, f64::NAN, f64::INFINITY, f64::MAX].map(|held| {
                let mut data = samples(2, 20);
                data[5..10].fill(held);
                data[18] = held;
                let tokens: Tensor<Rank3<1, 4, 5>, E, _> = tensor(Default::default(), &data);
                let (queries, traced) = (queries.clone(), tokens.leaky_trace());
                let attend = Attend::default();
                let out = attention
                    .try_attend(queries.traced(Gradients::leaky()), traced, &mask, attend)
                    .unwrap();
                let found = numbers(&out.with_empty_tape().split_tape().0);
                let gradients = out.square().mean().backward();
                vec![found, numbers(&gradients.get(&tokens))]
            });
            for outcome in &outcomes {
                assert_close(outcome, &outcomes[0], 1e-6);
            }
        }
        run::<f32>();
        run::<f64>();
    }

    #[test]
    fn a_weight_of_another_size_is_an_error() {
        let dev = Cpu::default();
        let mut attention = Small::<f32>::build(&dev);
        let queries: Tensor<Rank3<1, 3, 6>, f32, _> = dev.sample_normal();
        let tokens: Tensor<Rank3<1, 4, 5>, f32, _> = dev.sample_normal();
        let input = (queries, tokens);
        assert!(attention.try_forward(input.clone()).is_ok());
        let narrow = crate::ops::cpu::compare::matrix(16, 4, &[0.0; 64]);
        *attention.view_mut().to_kv.weight = narrow;
        assert!(attention.try_forward(input).is_err());
    }
}
