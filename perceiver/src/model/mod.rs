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
mod forward;
pub(crate) mod modalities;
mod module;
mod output;
mod prepare;
mod queries;

use dfdx::prelude::*;

pub use causal::{
    CausalInput, CausalLayers, CausalLayersView, CausalNorm, Embedding, EmbeddingView, LogitBias,
    Logits, PerceiverAr, Window,
};
pub use encoder::{FinalNorm, LayerView, Layers};
pub use forward::Beside;
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
use crate::input::{Accepts, InputKind};
use crate::nn::Parameters;
use crate::spec::Spec;
use crate::{Device, Summary};

/// The learned latents of a model with the spec `S`, `(NUM_LATENTS, LATENT_DIM)`.
pub type LatentArray<S, E, D> = Tensor<(<S as Spec>::NumLatents, <S as Spec>::LatentDim), E, D>;

/// The result of `embed`: the latents after the last layer, `(batch, NUM_LATENTS, LATENT_DIM)`.
pub type Embeddings<S, B, E, D, T> =
    Tensor<(B, <S as Spec>::NumLatents, <S as Spec>::LatentDim), E, D, T>;

/// The result of `forward`, which the spec's [`Output`] computes from the latents. `L` is the number of queries that come with the
/// input, if any do.
pub type Outputs<S, B, E, D, T, L = usize> =
    <<S as Spec>::Output as Output>::Tensor<S, B, L, E, D, T>;

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

#[cfg(feature = "cuda")]
use crate::cuda::memory_is_an_error;

/// Only has an effect on a GPU, where it turns dfdx's out-of-memory panic into an error.
#[cfg(not(feature = "cuda"))]
fn memory_is_an_error<T, Err>(f: impl FnOnce() -> Result<T, Err>) -> Result<T, Err> {
    f()
}
