//! The parameters of a Perceiver AR.

use std::marker::PhantomData;

use crate::nn::{BlockView, Init, NormView, ParameterSource, Part, block, norm};
use crate::spec::{CausalNumbers, CausalSpec, Family};

/// perceiver-io initialises parameters as Transformers do.
const START: Family = Family::Transformers;

/// The embedding of ids and positions, as a part of a [`PerceiverAr`](super::PerceiverAr).
#[derive(Clone, Copy, Debug)]
pub struct Embedding<S>(PhantomData<S>);

/// The parameters of an [`Embedding`].
#[derive(Clone, Debug)]
pub struct EmbeddingView<M> {
    /// A row for each id, `(vocab, dim)`, which also projects the latents to logits.
    pub embeddings: M,
    /// A row for each position, `(max_len, dim)`, if positions are learned.
    pub positions: Option<M>,
}

impl<S: CausalSpec> Part for Embedding<S> {
    type View<M, V> = EmbeddingView<M>;
    const PARAMETERS: usize = {
        let n = CausalNumbers::of::<S>();
        let positions = if n.has_positions { n.max_len } else { 0 };
        n.vocab.saturating_add(positions).saturating_mul(n.dim)
    };

    fn read<R: ParameterSource>(source: &mut R) -> EmbeddingView<R::Matrix> {
        source.start_as(START);
        let n = CausalNumbers::of::<S>();
        EmbeddingView {
            embeddings: source.embedding("embeddings.weight", n.vocab, n.dim),
            positions: n
                .has_positions
                .then(|| source.embedding("positions.weight", n.max_len, n.dim)),
        }
    }
}

/// The cross attention and the self attentions, as a part of a [`PerceiverAr`](super::PerceiverAr).
#[derive(Clone, Copy, Debug)]
pub struct CausalLayers<S>(PhantomData<S>);

/// The parameters of [`CausalLayers`].
#[derive(Clone, Debug)]
pub struct CausalLayersView<M, V> {
    /// Attention from the latents to all tokens up to their own.
    pub cross: BlockView<M, V>,
    /// Attention from each latent to those up to it.
    pub latent: Vec<BlockView<M, V>>,
}

impl<S: CausalSpec> Part for CausalLayers<S> {
    type View<M, V> = CausalLayersView<M, V>;
    const PARAMETERS: usize = {
        let n = CausalNumbers::of::<S>();
        let latent = block::parameters(n.latent).saturating_mul(n.self_attentions);
        block::parameters(n.cross).saturating_add(latent)
    };

    fn read<R: ParameterSource>(source: &mut R) -> CausalLayersView<R::Matrix, R::Vector> {
        source.start_as(START);
        let n = CausalNumbers::of::<S>();
        CausalLayersView {
            cross: source
                .within(format_args!("0.cross"), |source| BlockView::read(source, n.cross)),
            latent: (0..n.self_attentions)
                .map(|block| {
                    source.within(format_args!("0.latent.{block}"), |source| {
                        BlockView::read(source, n.latent)
                    })
                })
                .collect(),
        }
    }
}

/// The norm of the latents after the last layer, if there is one, as a part of a [`PerceiverAr`](super::PerceiverAr).
#[derive(Clone, Copy, Debug)]
pub struct CausalNorm<S>(PhantomData<S>);

impl<S: CausalSpec> Part for CausalNorm<S> {
    type View<M, V> = Option<NormView<V>>;
    const PARAMETERS: usize = if S::FINAL_NORM { norm::parameters(S::DIM) } else { 0 };

    fn read<R: ParameterSource>(source: &mut R) -> Option<NormView<R::Vector>> {
        S::FINAL_NORM.then(|| NormView::read(source, S::DIM))
    }
}

/// The bias of the logits, if they have one, as a part of a [`PerceiverAr`](super::PerceiverAr).
#[derive(Clone, Copy, Debug)]
pub struct LogitBias<S>(PhantomData<S>);

impl<S: CausalSpec> Part for LogitBias<S> {
    type View<M, V> = Option<V>;
    const PARAMETERS: usize = if S::OUTPUT_BIAS { CausalNumbers::of::<S>().vocab } else { 0 };

    fn read<R: ParameterSource>(source: &mut R) -> Option<R::Vector> {
        let n = CausalNumbers::of::<S>();
        n.output_bias.then(|| source.vector("bias", n.vocab, Init::Zeros))
    }
}
