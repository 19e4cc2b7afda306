//! Complete models: [`Perceiver`], described by a [`Spec`], and [`PerceiverAr`], described by a
//! [`CausalSpec`](crate::spec::CausalSpec).
//!
//! A model declared with [`perceiver!`](crate::perceiver!) wraps one of them and dereferences to it, so its parameters, its
//! checkpoints and its summary are documented here. The rest is for models written by hand: what a spec names as its
//! [`Output`], and the parameters of each [part](crate::nn::Part).
//!
//! A type that ends in `Part` names a part of a model in its type; the one that ends in `View` has its parameters as
//! fields, which [`Parameters::view`] returns.

pub(crate) mod causal;
mod checkpoint;
mod encoder;
pub(crate) mod modalities;
mod output;
mod queries;

use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection, TensorOptions};
use dfdx::prelude::*;

pub use causal::{
    CausalInput, CausalLayers, CausalLayersView, CausalNorm, Embedding, EmbeddingView, LogitBias,
    Logits, PerceiverAr, Window,
};
use encoder::{Contexts, Observe};
pub use encoder::{FinalNorm, LayerView, Layers};
pub use modalities::{
    Modalities, ModalitiesPart, ModalitiesView, OutputModality, OutputModalityView, OutputQueries,
};
pub use output::{
    ClassQuery, Encoded, Latents, MeanPool, MeanPoolPart, MeanPoolView, Output, OutputKind,
    OutputNames,
};
pub(crate) use queries::CHUNK;
pub use queries::{
    Given, Learned, NoProjection, OfGrid, OfInput, Project, ProjectEmbedding, Projection,
    ProjectionKind, Queries, QueriesPart, QueriesView, QueryGrid, QuerySource,
};

use crate::cost::{self, Plan};
use crate::error::ForwardError;
use crate::input::{Accepts, InputKind, Purpose, Source, Tokens};
use crate::nn::{Parameters, init};
use crate::ops::{
    self, AnyRank, Attend, AttentionWeights, Mask, Positioned, Record, Rows, Updates,
    WeightPrecision,
};
use crate::spec::{Family, Mode, Numbers, Softmax, Spec};
use crate::{Device, Summary, WrongSize};

/// The learned latents of a model with the spec `S`, `(NUM_LATENTS, LATENT_DIM)`.
pub type LatentArray<S, E, D> = Tensor<(<S as Spec>::NumLatents, <S as Spec>::LatentDim), E, D>;

/// The result of `embed`: the latents after the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`.
pub type Embeddings<S, B, E, D, T> =
    Tensor<(B, <S as Spec>::NumLatents, <S as Spec>::LatentDim), E, D, T>;

/// The result of `forward`, which the spec's [`Output`] computes from the latents. `L` is the number of queries that come with the
/// input, if any do.
pub type Outputs<S, B, E, D, T, L = usize> =
    <<S as Spec>::Output as Output>::Tensor<S, B, L, E, D, T>;

/// What a forward pass takes beside its input.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Beside<E: Dtype, D: Storage<E>> {
    /// Queries, `(batch, queries, dim)`.
    pub queries: Option<AnyRank<E, D>>,
    /// For each of the outputs, the rows to compute; `None` for all.
    pub points: Option<Vec<Vec<usize>>>,
}

impl<E: Dtype, D: Storage<E>> Beside<E, D> {
    /// Nothing.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { queries: None, points: None }
    }
}

/// Queries, as tokens without positions.
fn given<E: Dtype, D: Device<E>>(queries: Rows<E, D>) -> Positioned<E, D> {
    let axes = vec![queries.shape().1];
    Positioned { channels: queries, axes, features: Vec::new(), mask: None }
}

type BatchOf<S, I, E, D> = <<S as Spec>::Input as Accepts<I, E, D>>::Batch;
type TapeOf<S, I, E, D> = <<S as Spec>::Input as Accepts<I, E, D>>::Tape;

/// The Perceiver described by a spec `S`: a dfdx module with parameters of type `E` on the device `D`.
///
/// A model declared with [`perceiver!`](crate::perceiver!) is its own spec. It wraps this type in `forward` methods of its own,
/// whose compiler errors are in terms of the declaration, and dereferences to it for everything else.
///
/// A model written by hand, which is the same as a declared one:
///
/// ```
/// use perceiver::dfdx::nn::BuildModule;
/// use perceiver::input::Grid;
/// use perceiver::model::{MeanPool, Perceiver};
/// use perceiver::position::{Fourier, MaxFreq, Position};
/// use perceiver::prelude::*;
/// use perceiver::spec::{Heads, Spec};
///
/// /// Images with three channels, ten classes.
/// #[derive(Clone, Debug)]
/// struct Small;
///
/// impl Spec for Small {
///     const NAME: &str = "Small";
///     type Input = Grid<2, 3>;
///     type NumLatents = Const<16>;
///     type LatentDim = Const<32>;
///     type Output = MeanPool<Const<10>>;
///     const POSITION: Position = Position::Fourier(Fourier { bands: 6, max_freq: MaxFreq::Same(10.0), base: None, endpoint: true });
///     const DEPTH: usize = 2;
///     const LATENT_HEADS: Heads = Heads::new(4, 8);
/// }
///
/// perceiver! {
///     struct Declared {
///         input_channels: 3, input_axis: 2, num_freq_bands: 6, max_freq: 10.0, depth: 2, num_latents: 16,
///         latent_dim: 32, latent_heads: 4, latent_dim_head: 8, num_classes: 10,
///     }
/// }
///
/// let dev = Cpu::default();
/// let by_hand = Perceiver::<Small, f32, Cpu>::build(&dev);
/// let mut declared = dev.build_module::<Declared, f32>();
/// # let file = std::env::temp_dir().join(format!("perceiver-by-hand-{}", std::process::id()));
/// by_hand.save_checkpoint(&file)?;
/// declared.load_checkpoint(&file)?;
/// # std::fs::remove_file(&file)?;
///
/// let images: Tensor<Rank4<5, 24, 24, 3>, f32, _> = dev.sample_normal();
/// let logits: Tensor<Rank2<5, 10>, f32, _> = by_hand.try_forward(images.clone())?;
/// assert_eq!(logits.array(), declared.forward(images).array());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Perceiver<S: Spec, E: Dtype = f32, D: Storage<E> = Cpu> {
    /// The learned latents.
    pub latents: LatentArray<S, E, D>,
    /// What turns the input into tokens: its stem, embedding or learned positions. Without any, it has no parameters.
    pub input: Parameters<<S::Input as InputKind>::Part<S>, E, D>,
    /// The layers that have weights of their own. With shared weights, the last one is also used for all that follow.
    pub layers: Parameters<Layers<S>, E, D>,
    /// The norm of the latents after the last layer, if there is one.
    pub norm: Parameters<FinalNorm<S>, E, D>,
    /// The output, which computes the result of `forward` from the latents.
    pub output: Parameters<<S::Output as Output>::Part<S>, E, D>,
}

impl<S: Spec, E: Dtype, D: Storage<E>> Perceiver<S, E, D> {
    /// The number of trainable parameters, known at compile time.
    pub const PARAMETERS: usize = cost::parameters::of_model::<S>();
}

impl<S: Spec, E: Dtype, D: Device<E>> Perceiver<S, E, D> {
    /// Returns the output of a model written by hand, without dropout. A declared model has its own `try_forward`, which takes
    /// precedence over this.
    ///
    /// What it takes depends on the spec's [input](crate::input): for a [`Grid`](crate::input::Grid), a tensor
    /// `(batch, axis 1, .., channels)`, or a pair of such a tensor and a `bool` mask `(batch, axis 1, ..)`, true where a
    /// position may be attended to; for a [`Text`](crate::input::Text), ids `(batch, tokens)`, alone or with a mask.
    ///
    /// # Errors
    /// If the batch or an axis is empty; if the mask and the input differ in size; if an id is not in the vocabulary, or there
    /// are more than the model has positions for; or if the device runs out of memory.
    pub fn try_forward<I>(
        &self,
        input: I,
    ) -> Result<Outputs<S, BatchOf<S, I, E, D>, E, D, TapeOf<S, I, E, D>>, ForwardError<D::Err>>
    where
        S::Input: Accepts<I, E, D>,
    {
        self.try_run::<_, usize, _>(S::Input::tokens(input)?, Beside::nothing())
    }

    /// Same as [`try_forward`](Self::try_forward), but for training: with the spec's [dropout](Spec::DROPOUT) if the input is
    /// traced.
    ///
    /// # Errors
    /// Same as [`try_forward`](Self::try_forward).
    pub fn try_forward_mut<I>(
        &mut self,
        input: I,
    ) -> Result<Outputs<S, BatchOf<S, I, E, D>, E, D, TapeOf<S, I, E, D>>, ForwardError<D::Err>>
    where
        S::Input: Accepts<I, E, D>,
    {
        self.try_run_mut::<_, usize, _>(S::Input::tokens(input)?, Beside::nothing())
    }

    /// Returns the latents after the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`, without dropout. It takes the same input as
    /// [`try_forward`](Self::try_forward).
    ///
    /// # Errors
    /// Same as [`try_forward`](Self::try_forward).
    pub fn try_embed<I>(
        &self,
        input: I,
    ) -> Result<Embeddings<S, BatchOf<S, I, E, D>, E, D, TapeOf<S, I, E, D>>, ForwardError<D::Err>>
    where
        S::Input: Accepts<I, E, D>,
    {
        self.try_run_embed(S::Input::tokens(input)?)
    }

    /// Computes the result from tokens, and from what else comes with them. `L` is the number of queries that do, or that
    /// the tokens are.
    #[doc(hidden)]
    pub fn try_run<B: Dim, L: Dim, T: Tape<E, D>>(
        &self,
        tokens: Tokens<B, E, D, T>,
        beside: Beside<E, D>,
    ) -> Result<Outputs<S, B, E, D, T, L>, ForwardError<D::Err>> {
        let (result, _) = self.run::<B, L, T>(tokens, beside, Mode::Inference)?;
        Ok(result)
    }

    /// Same as `try_run`, but in training if the tokens have a tape.
    #[doc(hidden)]
    pub fn try_run_mut<B: Dim, L: Dim, T: Tape<E, D>>(
        &mut self,
        tokens: Tokens<B, E, D, T>,
        beside: Beside<E, D>,
    ) -> Result<Outputs<S, B, E, D, T, L>, ForwardError<D::Err>> {
        let (result, updates) = self.run::<B, L, T>(tokens, beside, Mode::Training)?;
        self.input.apply(updates);
        Ok(result)
    }

    /// Returns the result, and the next values of buffers.
    #[allow(clippy::type_complexity)]
    fn run<B: Dim, L: Dim, T: Tape<E, D>>(
        &self,
        tokens: Tokens<B, E, D, T>,
        beside: Beside<E, D>,
        mode: Mode,
    ) -> Result<(Outputs<S, B, E, D, T, L>, Updates<E, D>), ForwardError<D::Err>> {
        S::Input::check::<S, E, D>(&tokens.source)?;
        let tape = tokens.tape;
        let mut record = Record::for_tape::<T>();
        let mode = if record.is_on() { mode } else { Mode::Inference };
        let rows = memory_is_an_error(|| {
            let queries = match beside.queries {
                Some(queries) => Some(given(D::try_flatten(&mut record, queries)?)),
                None => None,
            };
            let keeps_tokens = S::Output::TAKES_TOKENS;
            let prepared =
                self.prepare(&mut record, tokens.source, tokens.mask, mode, keeps_tokens)?;
            let latents = self.encode(&mut record, &prepared, mode, &mut |_, _, _| Ok(()))?;
            let encoded = Encoded {
                latents,
                queries: queries.or(prepared.kept),
                embedding: S::Input::embedding::<S, E, D>(&self.input),
                points: beside.points.as_deref(),
            };
            let dropout = mode.dropout::<S>();
            S::Output::try_forward::<S, E, D>(&self.output, &mut record, encoded, dropout)
        })?;
        let updates = record.take_updates();
        Ok((S::Output::typed::<S, B, L, E, D, T>(rows, record, tape)?, updates))
    }

    /// Computes the latents after the last layer from tokens.
    #[doc(hidden)]
    pub fn try_run_embed<B: Dim, T: Tape<E, D>>(
        &self,
        tokens: Tokens<B, E, D, T>,
    ) -> Result<Embeddings<S, B, E, D, T>, ForwardError<D::Err>> {
        S::Input::check::<S, E, D>(&tokens.source)?;
        let mut tape = tokens.tape;
        let mut record = Record::for_tape::<T>();
        let latents = memory_is_an_error(|| {
            let mode = Mode::Inference;
            let prepared = self.prepare(&mut record, tokens.source, tokens.mask, mode, false)?;
            self.encode(&mut record, &prepared, mode, &mut |_, _, _| Ok(()))
        })?;
        record.put_on(&mut tape);
        Ok(ops::typed(latents, tape)?)
    }

    /// Computes the weights with which the latents attend to tokens in some `layers`, `(batch, heads, latents, tokens)` for
    /// each, and the sizes of the axes of the tokens.
    #[doc(hidden)]
    pub fn try_run_attention<B: Dim>(
        &self,
        tokens: Tokens<B, E, D>,
        layers: &[usize],
    ) -> Result<(Vec<AttentionWeights<E, D>>, Vec<usize>), ForwardError<D::Err>> {
        S::Input::check::<S, E, D>(&tokens.source)?;
        let attends = S::CROSS_ATTENDS;
        if let Some(&layer) = layers.iter().find(|layer| **layer >= attends) {
            return Err(ForwardError::Layer { layer, attends });
        }
        let mut record = Record::for_tape::<NoneTape>();
        Ok(memory_is_an_error(|| {
            let mode = Mode::Inference;
            let prepared = self.prepare(&mut record, tokens.source, tokens.mask, mode, true)?;
            let Some(kept) = &prepared.kept else {
                return Err(D::Err::wrong_size());
            };
            let mask = kept.mask.clone().map_or(Mask::None, Mask::Keys);
            let mut off = Record::for_tape::<NoneTape>();
            let rows = kept.clone().try_encode(&mut off)?;
            let mut found = Vec::new();
            let numbers = Numbers::of::<S>();
            self.encode(&mut record, &prepared, mode, &mut |layer, cross, latents| {
                if layers.contains(&layer) {
                    let latents = latents.clone();
                    let softmax = numbers.softmax_of(layer);
                    let keys_too = numbers.queries_contribute_kv;
                    let weights =
                        cross.try_weights(latents, rows.clone(), &mask, softmax, keys_too)?;
                    found.push((layer, weights));
                }
                Ok(())
            })?;
            let weights_of = |layer: &usize| {
                let weights = found.iter().find(|(found, _)| found == layer);
                weights.map(|(_, weights)| weights.clone()).ok_or_else(D::Err::wrong_size)
            };
            let weights = layers.iter().map(weights_of).collect::<Result<_, _>>()?;
            Ok((weights, kept.axes.clone()))
        })?)
    }

    /// Prepares tokens for each axis over which weights sum to 1 in some layer.
    fn prepare(
        &self,
        record: &mut Record<E, D>,
        source: Source<E, D>,
        mask: Option<AnyRank<bool, D>>,
        mode: Mode,
        keeps_tokens: bool,
    ) -> Result<Contexts<E, D>, D::Err> {
        let numbers = const { Numbers::checked::<S>() };
        let mut contexts = Contexts { batch: 0, tokens: None, queries: None, kept: None };
        for softmax in [Softmax::Tokens, Softmax::Queries] {
            if !(0..numbers.cross_attends).any(|layer| numbers.softmax_of(layer) == softmax) {
                continue;
            }
            let attend = Attend {
                softmax,
                dropout: mode.dropout::<S>().attention,
                queries_as_keys: if numbers.queries_contribute_kv {
                    numbers.num_latents
                } else {
                    0
                },
            };
            let purpose = Purpose { attend, mode, keeps_tokens };
            let (source, mask) = (source.clone(), mask.clone());
            let prepared =
                S::Input::prepare::<S, E, D>(&self.input, record, source, mask, purpose)?;
            contexts.batch = prepared.context.batch();
            contexts.kept = contexts.kept.or(prepared.tokens);
            match softmax {
                Softmax::Tokens => contexts.tokens = Some(prepared.context),
                Softmax::Queries => contexts.queries = Some(prepared.context),
            }
        }
        Ok(contexts)
    }

    /// Computes the latents after the last layer.
    fn encode(
        &self,
        record: &mut Record<E, D>,
        contexts: &Contexts<E, D>,
        mode: Mode,
        observe: &mut Observe<'_, E, D>,
    ) -> Result<Rows<E, D>, D::Err> {
        let numbers = Numbers::of::<S>();
        let latents = ops::untyped(self.latents.clone());
        let (layers, dropout) = (self.layers.view(), mode.dropout::<S>());
        let latents = encoder::run(record, &numbers, latents, &layers, contexts, dropout, observe)?;
        match self.norm.view() {
            Some(norm) => norm.try_forward(record, latents),
            None => Ok(latents),
        }
    }

    /// Lays out the weights for fast inference, in place of their tensors.
    ///
    /// On the `Cpu` in `f32`, forward passes without a tape then take about a quarter less time, with the same results and
    /// the same memory. The preparation takes as long as a forward pass. On other devices nothing changes.
    ///
    /// Everything else works as before. What needs the tensors makes them again, and they stay until the model is
    /// prepared again: a forward pass with a tape, an optimizer, `save_checkpoint`, `summary`.
    ///
    /// ```
    /// use perceiver::prelude::*;
    ///
    /// perceiver! {
    ///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8, latent_dim: 32 }
    /// }
    ///
    /// let dev = Cpu::default();
    /// let mut model = dev.build_module::<Digits, f32>();
    /// let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
    /// let logits = model.forward(images.clone());
    /// model.prepare_for_inference();
    /// assert_eq!(model.forward(images).array(), logits.array());
    /// ```
    pub fn prepare_for_inference(&mut self) {
        self.prepare_for_inference_in(WeightPrecision::F32);
    }

    /// Lays out the weights for inference, and rounds those of linear layers to a lower
    /// [precision](crate::WeightPrecision): same as [`prepare_for_inference`](Self::prepare_for_inference) otherwise.
    ///
    /// Rounded are the weights of attention, of feed-forward layers, of stems and for logits; norms, biases, latents, embeddings
    /// and positions stay as they are. This is for the `Cpu` in `f32`; on other devices nothing changes.
    ///
    /// | | bytes of a weight | products |
    /// | --- | --- | --- |
    /// | `Bf16` | 2 | in `f32`, as exact as with other weights |
    /// | `Int8` | 1, and 4 for each output | in `f32`, as exact as with other weights |
    /// | `Int8Dynamic` | 1, and 4 for each output | of integers: the rows that weights are multiplied with are rounded too |
    ///
    /// With `Bf16` and `Int8`, a model computes exactly what one with the rounded weights would. Generating text is faster, since
    /// most of its time goes into reading weights; a forward pass for many latents takes up to a quarter longer. `Int8Dynamic`
    /// makes both faster on a machine with AVX-512 VNNI, and is the same as `Int8` on any other, so its results differ between
    /// machines.
    ///
    /// Accuracy, on one machine with AVX-512 VNNI:
    ///
    /// | | `F32` | `Bf16` | `Int8` | `Int8Dynamic` | command |
    /// | --- | --- | --- | --- | --- | --- |
    /// | handwritten digits classified correctly | 98.9 % | 98.9 % | 98.9 % | 98.9 % | `cargo run --release --example digits` |
    /// | bits per byte of the held-out part of a book | 2.011 | 2.011 | 2.012 | 2.013 | `cargo run --release --example language` |
    ///
    /// The exact weights are lost, so save the model before: `save_checkpoint` is an error until weights are loaded or trained
    /// again. Whatever else needs the tensors gets the rounded weights, in `f32`: a forward pass with a tape, an optimizer,
    /// dfdx's own `save`. So do the cross attentions, which first multiply their projections to keys and values by the weights
    /// of the norm.
    ///
    /// ```
    /// use perceiver::{WeightPrecision, prelude::*};
    ///
    /// perceiver! {
    ///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8, latent_dim: 32 }
    /// }
    ///
    /// let dev = Cpu::seed_from_u64(1);
    /// let mut model = dev.build_module::<Digits, f32>();
    /// let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
    /// let logits = model.forward(images.clone());
    /// model.prepare_for_inference_in(WeightPrecision::Bf16);
    /// let difference = (model.forward(images) - logits).abs().max::<Rank0, _>().array();
    /// assert!(difference > 0.0 && difference < 0.02);
    /// assert!(model.save_checkpoint("digits.safetensors").is_err());
    /// ```
    pub fn prepare_for_inference_in(&mut self, weights: WeightPrecision) {
        self.input.prepare(weights);
        self.layers.prepare(weights);
        self.norm.prepare(weights);
        self.output.prepare(weights);
    }

    /// What the weights were rounded to.
    fn rounded(&self) -> Option<WeightPrecision> {
        let layers = self.layers.rounded();
        layers.or_else(|| self.input.rounded()).or_else(|| self.output.rounded())
    }

    /// Returns a printable table of the model's parts, with their shapes and parameter counts.
    ///
    /// If the sizes of the input are fixed, the table also has the [cost](crate::Cost) of a forward pass of one input; for other
    /// sizes, add it with [`Summary::with_cost`].
    #[must_use]
    pub fn summary(&self) -> Summary {
        let summary = Summary::of(S::NAME, self);
        match const { Plan::of::<S>().fixed_cost() } {
            Some(cost) => summary.with_cost(cost),
            None => summary,
        }
    }
}

impl<S: Spec, I, E: Dtype, D: Device<E>> Module<I> for Perceiver<S, E, D>
where
    S::Input: Accepts<I, E, D>,
{
    type Output = Outputs<S, BatchOf<S, I, E, D>, E, D, TapeOf<S, I, E, D>>;
    type Error = D::Err;

    fn try_forward(&self, input: I) -> Result<Self::Output, D::Err> {
        Self::try_forward(self, input).map_err(ForwardError::into_device_error)
    }
}

impl<S: Spec, I, E: Dtype, D: Device<E>> ModuleMut<I> for Perceiver<S, E, D>
where
    S::Input: Accepts<I, E, D>,
{
    type Output = <Self as Module<I>>::Output;
    type Error = D::Err;

    fn try_forward_mut(&mut self, input: I) -> Result<Self::Output, D::Err> {
        Self::try_forward_mut(self, input).map_err(ForwardError::into_device_error)
    }
}

#[cfg(feature = "cuda")]
use crate::cuda::memory_is_an_error;

/// Only has an effect on a GPU, where it turns dfdx's out-of-memory panic into an error.
#[cfg(not(feature = "cuda"))]
fn memory_is_an_error<T, Err>(f: impl FnOnce() -> Result<T, Err>) -> Result<T, Err> {
    f()
}

impl<S: Spec, E: Dtype, D: Storage<E>> Perceiver<S, E, D> {
    /// Visits the tensors of a model `M` that consists of a Perceiver alone.
    #[doc(hidden)]
    pub fn iter_tensors_of<M, V>(
        visitor: &mut V,
        get: fn(&M) -> &Self,
        get_mut: fn(&mut M) -> &mut Self,
        wrap: impl FnOnce(Perceiver<S, V::E2, V::D2>) -> M::To<V::E2, V::D2>,
    ) -> Result<Option<M::To<V::E2, V::D2>>, V::Err>
    where
        D: dfdx::tensor_ops::Device<E>,
        M: TensorCollection<E, D>,
        V: ModuleVisitor<M, E, D>,
    {
        visitor.visit_fields(
            (
                M::tensor(
                    "latents",
                    |model| &get(model).latents,
                    |model| &mut get_mut(model).latents,
                    TensorOptions::reset_with(match S::FAMILY {
                        Family::PerceiverPytorch => init::normal,
                        Family::Transformers => init::small_normal,
                    }),
                ),
                M::module("input", |model| &get(model).input, |model| &mut get_mut(model).input),
                M::module("layers", |model| &get(model).layers, |model| &mut get_mut(model).layers),
                M::module("norm", |model| &get(model).norm, |model| &mut get_mut(model).norm),
                M::module("output", |model| &get(model).output, |model| &mut get_mut(model).output),
            ),
            |(latents, input, layers, norm, output)| {
                wrap(Perceiver { latents, input, layers, norm, output })
            },
        )
    }
}

impl<S: Spec, E: Dtype, D: dfdx::tensor_ops::Device<E>> TensorCollection<E, D>
    for Perceiver<S, E, D>
{
    type To<E2: Dtype, D2: dfdx::tensor_ops::Device<E2>> = Perceiver<S, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        Self::iter_tensors_of(visitor, |model| model, |model| model, |model| model)
    }
}

impl<S: Spec, E: Dtype, D: Storage<E>, E2: Dtype, D2: dfdx::tensor_ops::Device<E2>>
    BuildOnDevice<D2, E2> for Perceiver<S, E, D>
{
    type Built = Perceiver<S, E2, D2>;
}
