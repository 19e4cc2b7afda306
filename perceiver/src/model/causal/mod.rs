//! Perceiver AR: an autoregressive language model whose latents are the last positions of its input.

mod generate;
mod input;
mod parts;

use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection};
use dfdx::prelude::*;

pub use generate::Generation;
use input::Checked;
pub use input::{CausalInput, Window};
pub use parts::{CausalLayers, CausalLayersView, CausalNorm, Embedding, EmbeddingView, LogitBias};

use super::memory_is_an_error;
use crate::error::ForwardError;
use crate::nn::{Before, Parameters, Part};
use crate::ops::{self, Angles, Record, Rows, WeightPrecision};
use crate::spec::{CausalNumbers, CausalSpec, Dropout, Mode};
use crate::{Device, Summary};

/// The [Perceiver AR](https://arxiv.org/abs/2202.07765) described by a spec `S`: an autoregressive language model, and a dfdx
/// module.
///
/// Its latents are the last tokens of its input. They attend to all tokens up to their own once, then to each other, and
/// each predicts the token after it. A model declared with `family: PerceiverAr` is its own spec, wraps this type and
/// dereferences to it:
///
/// ```
/// use perceiver::{generate::Options, prelude::*};
///
/// perceiver! {
///     struct Bytes {
///         family: PerceiverAr,
///         input: Text { vocab: 256, max_len: 32, dim: 16 },
///         latents: Last(8),
///         cross_heads: 2,
///         latent_heads: 2,
///         depth: 1,
///         self_per_cross_attn: 2,
///         output: Embedding,
///     }
/// }
///
/// let dev = Cpu::seed_from_u64(1);
/// let model = dev.build_module::<Bytes, f32>();
///
/// // The logits of the token after each of the last 8 tokens.
/// let ids = dev.tensor_from_vec((0..24_usize).collect(), (Const::<2>, 12));
/// let logits: Tensor<(Const<2>, usize, Const<256>), f32, _> = model.forward(ids.clone());
/// assert_eq!(logits.shape().1, 8);
///
/// // What follows each of the two texts.
/// let texts = model.generate(&ids, &Options { max_new_tokens: 5, ..Options::default() })?;
/// assert_eq!(texts.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PerceiverAr<S: CausalSpec, E: Dtype = f32, D: Storage<E> = Cpu> {
    /// The embedding of ids and positions.
    pub input: Parameters<Embedding<S>, E, D>,
    /// The cross attention and the self attentions.
    pub layers: Parameters<CausalLayers<S>, E, D>,
    /// The norm of the latents after the last layer, if there is one.
    pub norm: Parameters<CausalNorm<S>, E, D>,
    /// The bias of the logits, if there is one.
    pub output: Parameters<LogitBias<S>, E, D>,
}

/// The result of a Perceiver AR, `(batch, latents, vocab)`: for each latent, the logits of the token after it.
pub type Logits<S, B, E, D, T> = Tensor<(B, usize, <S as CausalSpec>::Vocab), E, D, T>;

/// The keys and values of all tokens, rotated: of the cross attention, and of each self attention.
struct KeyValues<E: Dtype, D: Storage<E>> {
    cross: Rows<E, D>,
    latent: Vec<Rows<E, D>>,
}

impl<S: CausalSpec, E: Dtype, D: Storage<E>> PerceiverAr<S, E, D> {
    /// The number of trainable parameters, known at compile time.
    pub const PARAMETERS: usize = {
        let layers = <CausalLayers<S> as Part>::PARAMETERS;
        let ends = <Embedding<S> as Part>::PARAMETERS
            .saturating_add(<CausalNorm<S> as Part>::PARAMETERS)
            .saturating_add(<LogitBias<S> as Part>::PARAMETERS);
        layers.saturating_add(ends)
    };
}

impl<S: CausalSpec, E: Dtype, D: Device<E>> PerceiverAr<S, E, D> {
    /// Returns the logits of the token after each of the latents, `(batch, latents, vocab)`, without dropout.
    ///
    /// Takes a [`CausalInput`]: ids, with or without a mask of padding and the number of tokens before the latents. The latents
    /// are the last tokens: those after the first `prefix_len`, or by default as many as possible, up to `MAX_LATENTS`. The
    /// logits of padding are unspecified. A declared model has its own `try_forward`, which is the same.
    ///
    /// # Errors
    /// If there are no ids or more than `MAX_LEN`; if an id is not in the vocabulary; if the prefix leaves no latents or more
    /// than `MAX_LATENTS`, or is itself longer than `MAX_LEN - MAX_LATENTS`; if the mask differs in size from the ids or is false
    /// anywhere but at the beginning of a text; or if the device runs out of memory.
    pub fn try_forward<I: CausalInput<E, D>>(
        &self,
        input: I,
    ) -> Result<Logits<S, I::Batch, E, D, I::Tape>, ForwardError<D::Err>> {
        self.run(input, Mode::Inference)
    }

    /// Same as [`try_forward`](Self::try_forward), but for training: if the ids are traced, tokens before the latents are
    /// dropped at the rate `PREFIX_DROPOUT`, and the spec's other dropout applies.
    ///
    /// # Errors
    /// Same as [`try_forward`](Self::try_forward).
    pub fn try_forward_mut<I: CausalInput<E, D>>(
        &mut self,
        input: I,
    ) -> Result<Logits<S, I::Batch, E, D, I::Tape>, ForwardError<D::Err>> {
        self.run(input, Mode::Training)
    }

    fn run<I: CausalInput<E, D>>(
        &self,
        input: I,
        mode: Mode,
    ) -> Result<Logits<S, I::Batch, E, D, I::Tape>, ForwardError<D::Err>> {
        let numbers = const { CausalNumbers::checked::<S>() };
        let (window, device, mut tape) = input.into_parts();
        let window = window.check(&numbers)?;
        let mut record = Record::for_tape::<I::Tape>();
        let logits = memory_is_an_error(|| {
            let (latents, _) = self.encode(&mut record, &device, &window, mode)?;
            self.logits(&mut record, latents)
        })?;
        record.put_on(&mut tape);
        Ok(ops::typed(logits, tape)?)
    }

    /// Computes the latents after the last layer, and all keys and values.
    fn encode(
        &self,
        record: &mut Record<E, D>,
        device: &D,
        window: &Checked,
        mode: Mode,
    ) -> Result<(Rows<E, D>, KeyValues<E, D>), D::Err> {
        let numbers = CausalNumbers::of::<S>();
        let is_training = mode == Mode::Training && record.is_on();
        let (rate, dropout) = match is_training {
            true => (numbers.prefix_dropout, numbers.dropout),
            false => (0.0, Dropout::NONE),
        };
        let prefix = kept(device, window, rate)?;
        let latents = window.prefix..window.len;
        let count = prefix.len() / window.batch;
        let rows = count + latents.len();
        // For each item, the places of the tokens that are left.
        let places: Vec<Vec<usize>> = (0..window.batch)
            .map(|item| {
                let prefix = &prefix[item * count..][..count];
                prefix.iter().copied().chain(latents.clone()).collect()
            })
            .collect();
        let position = |item: usize, place: usize| place.saturating_sub(window.padding[item]);
        let are_equal = count == window.prefix && !window.is_padded();
        let items = if are_equal { 1 } else { window.batch };
        let positions = (0..items)
            .flat_map(|item| places[item].iter().map(move |&place| position(item, place)));
        let positions: Vec<usize> = positions.collect();
        let is_text = window.is_padded().then(|| {
            let items = places.iter().zip(&window.padding);
            items.flat_map(|(places, padding)| places.iter().map(move |i| i >= padding)).collect()
        });

        let embed = |record: &mut Record<E, D>, range: std::ops::Range<usize>| {
            let places = places.iter().enumerate();
            let tokens = places.flat_map(|(item, places)| {
                places[range.clone()].iter().map(move |&place| {
                    (window.ids[item * window.len + place], position(item, place))
                })
            });
            let (ids, positions) = tokens.unzip();
            self.embed(record, device, ids, positions, (window.batch, range.len()))
        };
        let x = embed(record, count..rows)?;
        let before = match count {
            0 => None,
            count => Some(embed(record, 0..count)?),
        };
        self.layers(record, x, before, &positions, is_text, dropout)
    }

    /// The sums of the rows for ids and for positions, `(batch, tokens, dim)`.
    fn embed(
        &self,
        record: &mut Record<E, D>,
        device: &D,
        ids: Vec<usize>,
        positions: Vec<usize>,
        shape: (usize, usize),
    ) -> Result<Rows<E, D>, D::Err> {
        let view = self.input.view();
        let ids = device.try_tensor_from_vec(ids, shape)?;
        let Some(table) = view.positions else {
            return D::try_embed(record, &[(view.embeddings, &ids)]);
        };
        let positions = device.try_tensor_from_vec(positions, shape)?;
        D::try_embed(record, &[(view.embeddings, &ids), (table, &positions)])
    }

    /// Runs latents through all layers. They attend to a `prefix` and to themselves. `positions` are those of all keys of the
    /// cross attention, of each item or of one if they are the same for all; `is_text` is false for those that are padding.
    fn layers(
        &self,
        record: &mut Record<E, D>,
        mut x: Rows<E, D>,
        prefix: Option<Rows<E, D>>,
        positions: &[usize],
        is_text: Option<Vec<bool>>,
        dropout: Dropout,
    ) -> Result<(Rows<E, D>, KeyValues<E, D>), D::Err> {
        let numbers = CausalNumbers::of::<S>();
        let (layers, device) = (self.layers.view(), x.device().clone());
        let (batch, latents, _) = *x.shape();
        let rows = latents + prefix.as_ref().map_or(0, |prefix| prefix.shape().1);
        let mask = |is_text: Option<Vec<bool>>, keys: usize| {
            let flags = |is_text: Vec<bool>| {
                ops::flags::<_, E, _>(&device, is_text.into_iter(), (batch, keys))
            };
            is_text.map(flags).transpose()
        };
        let angles = |positions: &[usize], rows: usize, channels: usize| {
            (channels > 0).then(|| Angles::new(positions, rows, channels))
        };
        let [in_cross, in_latent] = numbers.rotated;

        let keys = mask(is_text.clone(), rows)?;
        let of_rows = angles(positions, rows, in_cross);
        let before = Before { prefix, angles: of_rows.as_ref(), keys: keys.as_ref() };
        let (updated, cross) = layers.cross.try_causal(record, x, before, dropout)?;
        x = updated;

        let keys = mask(is_text.map(|is_text| last_of_each(&is_text, rows, latents)), latents)?;
        let angles = angles(&last_of_each(positions, rows, latents), latents, in_latent);
        let mut key_values = KeyValues { cross, latent: Vec::new() };
        for (i, block) in layers.latent.iter().enumerate() {
            let angles = angles.as_ref().filter(|_| i < numbers.rotary_layers);
            let before = Before { prefix: None, angles, keys: keys.as_ref() };
            let (updated, key_value) = block.try_causal(record, x, before, dropout)?;
            x = updated;
            key_values.latent.push(key_value);
        }
        if let Some(norm) = self.norm.view() {
            x = norm.try_forward(record, x)?;
        }
        Ok((x, key_values))
    }

    fn logits(&self, record: &mut Record<E, D>, latents: Rows<E, D>) -> Result<Rows<E, D>, D::Err> {
        D::try_linear(record, latents, self.input.view().embeddings, self.output.view(), None)
    }

    /// Lays out the weights for fast inference, in place of their tensors: same as
    /// [`Perceiver::prepare_for_inference`](crate::model::Perceiver::prepare_for_inference). [`generate`](Self::generate) does
    /// this by itself, but keeps the tensors.
    pub fn prepare_for_inference(&mut self) {
        self.prepare_for_inference_in(WeightPrecision::F32);
    }

    /// Lays out the weights for inference, and rounds those of linear layers to a lower precision: same as
    /// [`Perceiver::prepare_for_inference_in`](crate::model::Perceiver::prepare_for_inference_in). The embedding is rounded only
    /// where it computes logits; its rows are looked up in `f32`.
    pub fn prepare_for_inference_in(&mut self, weights: WeightPrecision) {
        self.input.prepare(weights);
        self.layers.prepare(weights);
        self.norm.prepare(weights);
        self.output.prepare(weights);
    }

    /// What the weights were rounded to.
    pub(super) fn rounded(&self) -> Option<WeightPrecision> {
        let layers = self.layers.rounded();
        layers.or_else(|| self.input.rounded()).or_else(|| self.output.rounded())
    }

    /// Returns a printable table of the model's parts, with their shapes and parameter counts. [`Summary::with_cost`] adds the cost
    /// of a forward pass.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(S::NAME, self)
    }
}

/// The last `count` of the `rows` of each item.
fn last_of_each<T: Copy>(items: &[T], rows: usize, count: usize) -> Vec<T> {
    let last = |item: &[T]| item[item.len() - count..].to_vec();
    items.chunks_exact(rows).flat_map(last).collect()
}

/// The places of the tokens before the latents that are left after dropout at this rate, in their order: as many for each
/// item.
fn kept<E: Dtype, D: Device<E>>(
    device: &D,
    window: &Checked,
    rate: f64,
) -> Result<Vec<usize>, D::Err> {
    let Checked { batch, prefix, .. } = *window;
    let dropped = (prefix as f64 * rate) as usize;
    if dropped == 0 {
        return Ok((0..batch).flat_map(|_| 0..prefix).collect());
    }
    let order = ops::order::<E, D>(device, (batch, prefix))?;
    let kept = order.chunks(prefix).flat_map(|order| {
        let mut places: Vec<usize> = (0..prefix).collect();
        places.sort_by(|a, b| order[*a].total_cmp(&order[*b]));
        places.truncate(prefix - dropped);
        places.sort_unstable();
        places
    });
    Ok(kept.collect())
}

impl<S: CausalSpec, E: Dtype, D: Device<E>, I: CausalInput<E, D>> Module<I>
    for PerceiverAr<S, E, D>
{
    type Output = Logits<S, I::Batch, E, D, I::Tape>;
    type Error = D::Err;

    fn try_forward(&self, input: I) -> Result<Self::Output, D::Err> {
        Self::try_forward(self, input).map_err(ForwardError::into_device_error)
    }
}

impl<S: CausalSpec, E: Dtype, D: Device<E>, I: CausalInput<E, D>> ModuleMut<I>
    for PerceiverAr<S, E, D>
{
    type Output = Logits<S, I::Batch, E, D, I::Tape>;
    type Error = D::Err;

    fn try_forward_mut(&mut self, input: I) -> Result<Self::Output, D::Err> {
        Self::try_forward_mut(self, input).map_err(ForwardError::into_device_error)
    }
}

impl<S: CausalSpec, E: Dtype, D: Storage<E>> PerceiverAr<S, E, D> {
    /// Visits the tensors of a model `M` that consists of a Perceiver AR alone.
    #[doc(hidden)]
    pub fn iter_tensors_of<M, V>(
        visitor: &mut V,
        get: fn(&M) -> &Self,
        get_mut: fn(&mut M) -> &mut Self,
        wrap: impl FnOnce(PerceiverAr<S, V::E2, V::D2>) -> M::To<V::E2, V::D2>,
    ) -> Result<Option<M::To<V::E2, V::D2>>, V::Err>
    where
        D: dfdx::tensor_ops::Device<E>,
        M: TensorCollection<E, D>,
        V: ModuleVisitor<M, E, D>,
    {
        visitor.visit_fields(
            (
                M::module("input", |model| &get(model).input, |model| &mut get_mut(model).input),
                M::module("layers", |model| &get(model).layers, |model| &mut get_mut(model).layers),
                M::module("norm", |model| &get(model).norm, |model| &mut get_mut(model).norm),
                M::module("output", |model| &get(model).output, |model| &mut get_mut(model).output),
            ),
            |(input, layers, norm, output)| wrap(PerceiverAr { input, layers, norm, output }),
        )
    }
}

impl<S: CausalSpec, E: Dtype, D: dfdx::tensor_ops::Device<E>> TensorCollection<E, D>
    for PerceiverAr<S, E, D>
{
    type To<E2: Dtype, D2: dfdx::tensor_ops::Device<E2>> = PerceiverAr<S, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        Self::iter_tensors_of(visitor, |model| model, |model| model, |model| model)
    }
}

impl<S: CausalSpec, E: Dtype, D: Storage<E>, E2: Dtype, D2: dfdx::tensor_ops::Device<E2>>
    BuildOnDevice<D2, E2> for PerceiverAr<S, E, D>
{
    type Built = PerceiverAr<S, E2, D2>;
}
