//! The model's spec.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;
use syn::ext::IdentExt;

use crate::model::{
    DecoderFeedForward, Extent, Family, FeedForward, Inverted, Learned, MaxFreq, Modality, Model,
    Output, OutputModality, OutputQueries, Position, Projection, Queries, QueryGrid, QuerySource,
    Scalar, Setting, Share, Stem,
};

pub fn spec(name: &Ident, model: &Model) -> TokenStream {
    let span = name.span();
    let input = match model.input.extent {
        Extent::Modalities { .. } => quote_spanned!(span=> __::Modalities),
        Extent::Text { .. } => {
            quote_spanned!(span=> __::Text<{ #name::VOCAB }, { #name::MAX_LEN }, { #name::INPUT_CHANNELS }>)
        }
        _ => quote_spanned!(span=> __::Grid<{ #name::INPUT_AXIS }, { #name::INPUT_CHANNELS }>),
    };
    let classes = quote_spanned!(span=> __::Const<{ #name::NUM_CLASSES }>);
    let output = match &model.output {
        Output::MeanPool(_) => quote_spanned!(span=> __::MeanPool<#classes>),
        Output::ClassQuery(_) => quote_spanned!(span=> __::ClassQuery<#classes>),
        Output::Queries(queries) => self::queries(name, queries),
        Output::Latents => quote_spanned!(span=> __::LatentsOutput),
        Output::Modalities { .. } => quote_spanned!(span=> __::ModalitiesOutput),
    };
    let position = position(name, &model.input.position, Named::Constants);
    let shape = shape(name, model);
    let stem = (!model.input.stem.is_empty()).then(|| {
        let stem = stem(span, &model.input.stem);
        quote_spanned!(span=> const STEM: &'static [__::Stem] = #stem;)
    });
    let modalities = match &model.input.extent {
        Extent::Modalities { list, .. } => {
            let list = list.iter().map(|modality| self::modality(name, modality));
            Some(quote_spanned! {span=>
                const MODALITIES: &'static [__::Modality] = &[#(#list),*];
                const INPUT_PADDING: __::usize = #name::INPUT_PADDING;
            })
        }
        _ => None,
    };
    let outputs = match &model.output {
        Output::Modalities { list, .. } => {
            let list = list.iter().map(|output| self::output(name, output));
            Some(quote_spanned! {span=>
                const OUTPUTS: &'static [__::OutputModality] = &[#(#list),*];
                const OUTPUT_PADDING: __::usize = #name::OUTPUT_PADDING;
                const OUTPUT_DIM: __::usize = #name::OUTPUT_DIM;
            })
        }
        Output::Queries(queries) => match &queries.source {
            QuerySource::Grid(grid) => {
                let grid = query_grid(name, grid);
                Some(quote_spanned! {span=>
                    const QUERY_GRID: __::Option<__::QueryGrid> = __::Option::Some(#grid);
                })
            }
            _ => None,
        },
        _ => None,
    };
    let scale = match &model.output {
        Output::Queries(queries) if queries.scale.is_given => {
            Some(quote_spanned!(span=> const OUTPUT_SCALE: __::f64 = #name::SCALE;))
        }
        _ => None,
    };
    let values =
        model.v_channels.as_ref().map(|_| quote_spanned!(span=> .with_values(#name::V_CHANNELS)));
    let share = match model.share {
        Share::Tied(_) => quote_spanned!(span=> __::Share::tied(#name::WEIGHT_TIE_LAYERS)),
        Share::Variant(share) => {
            let share = Ident::new(share, span);
            quote_spanned!(span=> __::Share::#share)
        }
    };
    // What is not here has the default.
    let family = (model.family == Family::Transformers)
        .then(|| quote_spanned!(span=> const FAMILY: __::Family = __::Family::Transformers;));
    let cross_attends = model
        .cross_attends
        .as_ref()
        .map(|_| quote_spanned!(span=> const CROSS_ATTENDS: __::usize = #name::CROSS_ATTENDS;));
    let flag = |setting: &Option<Setting>| {
        let name_of = setting.as_ref().map(|setting| setting.key.name.to_uppercase());
        name_of.map(|constant| {
            let constant = Ident::new(&constant, span);
            quote_spanned!(span=> const #constant: __::bool = #name::#constant;)
        })
    };
    let queries_contribute_kv = flag(&model.queries_contribute_kv);
    let final_norm = flag(&model.final_norm);
    let inverted = match &model.inverted_cross_attn {
        Inverted::Same(_) => quote_spanned! {span=>
            const CROSS_SOFTMAX: __::Softmax = __::Softmax::inverted(#name::INVERTED_CROSS_ATTN);
        },
        Inverted::PerLayer { .. } => quote_spanned! {span=>
            const INVERTED: &'static [__::bool] = &#name::INVERTED_CROSS_ATTN;
        },
    };
    let attn_residual = model.attn_residual.as_ref().map(|_| {
        quote_spanned! {span=>
            const ATTN_RESIDUAL_RANK: __::Option<__::usize> =
                if #name::ATTN_RESIDUAL { __::Option::Some(#name::ATTN_RESIDUAL_RANK) } else { __::Option::None };
        }
    });
    let attn_bias = match (&model.attn_bias, model.family) {
        (Some(_), _) => Some(quote_spanned!(span=> __::AttentionBias::all(#name::ATTN_BIAS))),
        (None, Family::Transformers) => Some(quote_spanned!(span=> __::AttentionBias::ALL)),
        (None, Family::PerceiverPytorch) => None,
    };
    let attn_bias =
        attn_bias.map(|bias| quote_spanned!(span=> const ATTN_BIAS: __::AttentionBias = #bias;));
    let feed_forward = model.feed_forward.as_ref().map(|feed_forward| {
        let mlp = mlp(name, feed_forward);
        quote_spanned!(span=> const FEED_FORWARD: __::Mlp = #mlp;)
    });
    let decoder = match &model.output {
        Output::Queries(queries) => Some(decoder(name, queries)),
        Output::MeanPool(_)
        | Output::ClassQuery(_)
        | Output::Latents
        | Output::Modalities { .. } => None,
    };
    quote_spanned! {span=>
        impl __::Spec for #name {
            const NAME: &'static __::str = ::core::stringify!(#name);
            type Input = #input;
            type NumLatents = __::Const<{ #name::NUM_LATENTS }>;
            type LatentDim = __::Const<{ #name::LATENT_DIM }>;
            type Output = #output;
            const POSITION: __::Position = #position;
            #shape
            #stem
            #modalities
            #outputs
            #family
            const DEPTH: __::usize = #name::DEPTH;
            #cross_attends
            const SELF_PER_CROSS_ATTN: __::usize = #name::SELF_PER_CROSS_ATTN;
            const CROSS_HEADS: __::Heads = __::Heads::new(#name::CROSS_HEADS, #name::CROSS_DIM_HEAD)#values;
            const LATENT_HEADS: __::Heads = __::Heads::new(#name::LATENT_HEADS, #name::LATENT_DIM_HEAD)#values;
            #attn_bias
            #feed_forward
            #decoder
            #scale
            #queries_contribute_kv
            #final_norm
            const SHARE: __::Share = #share;
            #inverted
            #attn_residual
            const DROPOUT: __::Dropout =
                __::Dropout { attention: #name::ATTN_DROPOUT, feed_forward: #name::FF_DROPOUT };
        }
    }
}

/// How numbers are written that have a constant in a model with one input.
#[derive(Clone, Copy)]
enum Named {
    /// By these constants.
    Constants,
    /// As they are.
    AsGiven,
}

fn option(span: Span, value: Option<&Scalar>) -> TokenStream {
    match value.map(|value| &value.tokens) {
        Some(value) => quote_spanned!(span=> __::Option::Some(#value)),
        None => quote_spanned!(span=> __::Option::None),
    }
}

fn position(name: &Ident, position: &Position, named: Named) -> TokenStream {
    let span = name.span();
    if let Some(Learned { channels, project }) = &position.learned {
        let channels = &channels.tokens;
        let project = option(span, project.as_ref());
        return quote_spanned!(span=> __::Position::Learned { channels: #channels, project: #project });
    }
    if let Some(width) = position.given.as_ref().map(|width| &width.tokens) {
        return quote_spanned!(span=> __::Position::Given(#width));
    }
    if !position.is_encoded {
        return quote_spanned!(span=> __::Position::None);
    }
    let fourier = fourier(name, position, named);
    quote_spanned!(span=> __::Position::Fourier(#fourier))
}

fn fourier(name: &Ident, position: &Position, named: Named) -> TokenStream {
    let span = name.span();
    let (bands, max_freq, base) = match (named, &position.max_freq) {
        (Named::Constants, max_freq) => {
            let max_freq = match max_freq {
                MaxFreq::Same(_) => quote_spanned!(span=> Same(#name::MAX_FREQ)),
                MaxFreq::PerAxis { .. } => quote_spanned!(span=> PerAxis(&#name::MAX_FREQ)),
            };
            (
                quote_spanned!(span=> #name::NUM_FREQ_BANDS),
                max_freq,
                quote_spanned!(span=> #name::FREQ_BASE),
            )
        }
        (Named::AsGiven, max_freq) => {
            let max_freq = match max_freq {
                MaxFreq::Same(Setting { value, .. }) => {
                    let value = &value.tokens;
                    quote_spanned!(span=> Same(#value))
                }
                MaxFreq::PerAxis { values, .. } => {
                    let values = values.iter().map(|value| &value.tokens);
                    quote_spanned!(span=> PerAxis(&[#(#values),*]))
                }
            };
            let base = option(span, position.base.as_ref().map(|base| &base.value));
            (position.bands.value.tokens.clone(), max_freq, base)
        }
    };
    let endpoint = &position.endpoint.tokens;
    quote_spanned! {span=>
        __::Fourier { bands: #bands, max_freq: __::MaxFreq::#max_freq, base: #base, endpoint: #endpoint }
    }
}

fn stem(span: Span, stem: &[Stem]) -> TokenStream {
    let steps = stem.iter().map(|step| match step {
        Stem::Linear(Scalar { tokens, .. }) => quote_spanned!(span=> __::Stem::Linear(#tokens)),
        Stem::ConvPool(Scalar { tokens, .. }) => quote_spanned!(span=> __::Stem::ConvPool(#tokens)),
        Stem::Patches(sizes) => {
            let sizes = sizes.iter().map(|size| &size.tokens);
            quote_spanned!(span=> __::Stem::Patches(&[#(#sizes),*]))
        }
    });
    quote_spanned!(span=> &[#(#steps),*])
}

/// One of several inputs.
fn modality(name: &Ident, Modality { name: modality, input, mask, .. }: &Modality) -> TokenStream {
    let span = name.span();
    let modality = modality.unraw().to_string();
    let grid = |axes: TokenStream, channels: &Scalar, shape: &[Scalar]| {
        let (channels, shape) = (&channels.tokens, shape.iter().map(|size| &size.tokens));
        let (stem, position) =
            (stem(span, &input.stem), position(name, &input.position, Named::AsGiven));
        quote_spanned! {span=>
            Grid(__::GridSpec {
                axes: #axes, channels: #channels, shape: &[#(#shape),*], stem: #stem, position: #position,
            })
        }
    };
    let input = match &input.extent {
        Extent::Axes { axes, channels } => grid(axes.value.tokens.clone(), &channels.value, &[]),
        Extent::Shape { sizes, .. } => {
            let (axes, channels) = (&sizes[..sizes.len() - 1], &sizes[sizes.len() - 1]);
            let count = axes.len();
            grid(quote_spanned!(span=> #count), channels, axes)
        }
        Extent::Text { vocab, max_len, dim } => {
            let [vocab, max_len, dim] = [vocab, max_len, dim].map(|setting| &setting.value.tokens);
            quote_spanned! {span=>
                Text(__::TextSpec { vocab: #vocab, max_len: #max_len, dim: #dim })
            }
        }
        // There are none in others.
        Extent::Modalities { .. } => TokenStream::new(),
    };
    let mask = option(span, mask.as_ref());
    quote_spanned! {span=>
        __::Modality { name: #modality, input: __::ModalityInput::#input, mask: #mask }
    }
}

/// One of several outputs.
fn output(name: &Ident, output: &OutputModality) -> TokenStream {
    let span = name.span();
    let modality = output.name.unraw().to_string();
    let queries = match &output.queries {
        OutputQueries::Learned { count, dim } => {
            let (count, dim) = (&count.tokens, &dim.tokens);
            quote_spanned!(span=> Learned { count: #count, dim: #dim })
        }
        OutputQueries::Grid(grid) => {
            let grid = query_grid(name, grid);
            quote_spanned!(span=> Grid(#grid))
        }
    };
    let project = option(span, output.project.as_ref());
    quote_spanned! {span=>
        __::OutputModality { name: #modality, queries: __::OutputQueries::#queries, project: #project }
    }
}

fn query_grid(name: &Ident, QueryGrid { sizes, position }: &QueryGrid) -> TokenStream {
    let span = name.span();
    let sizes = sizes.iter().map(|size| &size.tokens);
    let position = fourier(name, position, Named::AsGiven);
    quote_spanned!(span=> __::QueryGrid { axes: &[#(#sizes),*], position: #position })
}

/// The sizes of the axes, if something depends on them.
fn shape(name: &Ident, model: &Model) -> Option<TokenStream> {
    let span = name.span();
    let Extent::Shape { sizes, .. } = &model.input.extent else {
        return None;
    };
    let sizes = (0..sizes.len() - 1)
        .map(|axis| quote_spanned!(span=> __::size_at(#name::INPUT_SHAPE, #axis)));
    Some(quote_spanned!(span=> const SHAPE: &'static [__::usize] = &[#(#sizes),*];))
}

pub(super) fn mlp(
    name: &Ident,
    FeedForward { activation, mult, bias }: &FeedForward,
) -> TokenStream {
    let span = name.span();
    let activation = Ident::new(activation, span);
    let (mult, bias) = (&mult.tokens, &bias.tokens);
    quote_spanned! {span=>
        __::Mlp { activation: __::Activation::#activation, mult: #mult, bias: #bias }
    }
}

/// The type of an output with queries.
fn queries(name: &Ident, queries: &Queries) -> TokenStream {
    let span = name.span();
    let source = match queries.source {
        QuerySource::Learned { .. } => {
            quote_spanned!(span=> __::Learned<__::Const<{ #name::NUM_QUERIES }>>)
        }
        QuerySource::Given(_) => quote_spanned!(span=> __::Given),
        QuerySource::Grid(_) => quote_spanned!(span=> __::OfGrid),
        QuerySource::Input => quote_spanned!(span=> __::OfInput),
    };
    let project = match queries.project {
        Projection::Linear(_) => quote_spanned!(span=> __::Project),
        Projection::Embedding => quote_spanned!(span=> __::ProjectEmbedding),
        Projection::None => quote_spanned!(span=> __::NoProjection),
    };
    quote_spanned!(span=> __::Queries<#source, #project<__::Const<{ #name::OUTPUT_DIM }>>>)
}

/// The block in which queries attend to the latents.
fn decoder(name: &Ident, queries: &Queries) -> TokenStream {
    let span = name.span();
    let values = queries
        .v_channels
        .as_ref()
        .map(|_| quote_spanned!(span=> .with_values(#name::DECODER_V_CHANNELS)));
    let mlp = match &queries.feed_forward {
        DecoderFeedForward::Same => {
            quote_spanned!(span=> __::Option::Some(<#name as __::Spec>::FEED_FORWARD))
        }
        DecoderFeedForward::None => quote_spanned!(span=> __::Option::None),
        DecoderFeedForward::Own(own) => {
            let mlp = mlp(name, own);
            quote_spanned!(span=> __::Option::Some(#mlp))
        }
    };
    quote_spanned! {span=>
        const DECODER: __::Option<__::BlockShape> = __::Option::Some(__::BlockShape {
            dim: #name::QUERY_DIM,
            context: __::Option::Some(#name::LATENT_DIM),
            heads: __::Heads::new(#name::DECODER_HEADS, #name::DECODER_DIM_HEAD)#values,
            bias: <#name as __::Spec>::ATTN_BIAS,
            mlp: #mlp,
            residual: #name::QUERY_RESIDUAL,
        });
    }
}
