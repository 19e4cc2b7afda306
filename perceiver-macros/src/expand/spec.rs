//! The model's spec.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;

use crate::model::{
    DecoderFeedForward, Extent, Family, FeedForward, Inverted, Learned, MaxFreq, Model, Output,
    Projection, Queries, QuerySource, Scalar, Setting, Share, Stem,
};

pub fn spec(name: &Ident, model: &Model) -> TokenStream {
    let span = name.span();
    let input = match model.input.extent {
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
    };
    let max_freq = match &model.input.position.max_freq {
        MaxFreq::Same(_) => quote_spanned!(span=> __::MaxFreq::Same(#name::MAX_FREQ)),
        MaxFreq::PerAxis { .. } => quote_spanned!(span=> __::MaxFreq::PerAxis(&#name::MAX_FREQ)),
    };
    let position = if model.input.position.is_encoded {
        quote_spanned! {span=>
            __::Position::Fourier(__::Fourier {
                bands: #name::NUM_FREQ_BANDS,
                max_freq: #max_freq,
                base: #name::FREQ_BASE,
            })
        }
    } else if let Some(Learned { channels, project }) = &model.input.position.learned {
        let channels = &channels.tokens;
        let project = match project.as_ref().map(|width| &width.tokens) {
            Some(width) => quote_spanned!(span=> __::Option::Some(#width)),
            None => quote_spanned!(span=> __::Option::None),
        };
        quote_spanned!(span=> __::Position::Learned { channels: #channels, project: #project })
    } else {
        quote_spanned!(span=> __::Position::None)
    };
    let shape = shape(name, model);
    let stem = (!model.input.stem.is_empty()).then(|| {
        let steps = model.input.stem.iter().map(|step| match step {
            Stem::Linear(Scalar { tokens, .. }) => quote_spanned!(span=> __::Stem::Linear(#tokens)),
            Stem::Patches(sizes) => {
                let sizes = sizes.iter().map(|size| &size.tokens);
                quote_spanned!(span=> __::Stem::Patches(&[#(#sizes),*]))
            }
        });
        quote_spanned!(span=> const STEM: &'static [__::Stem] = &[#(#steps),*];)
    });
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
        Output::MeanPool(_) | Output::ClassQuery(_) | Output::Latents => None,
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

/// The sizes of the axes, if something depends on them.
fn shape(name: &Ident, model: &Model) -> Option<TokenStream> {
    let span = name.span();
    let Extent::Shape { sizes, .. } = &model.input.extent else {
        return None;
    };
    if model.input.stem.is_empty() && model.input.position.learned.is_none() {
        return None;
    }
    let sizes = (0..sizes.len() - 1)
        .map(|axis| quote_spanned!(span=> __::size_at(#name::INPUT_SHAPE, #axis)));
    Some(quote_spanned!(span=> const SHAPE: &'static [__::usize] = &[#(#sizes),*];))
}

fn mlp(name: &Ident, FeedForward { activation, mult, bias }: &FeedForward) -> TokenStream {
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
