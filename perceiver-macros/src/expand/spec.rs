//! The model's spec.

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;

use crate::model::{MaxFreq, Model, Output};

pub fn spec(name: &Ident, model: &Model) -> TokenStream {
    let span = name.span();
    let output = match model.output {
        Output::MeanPool(_) => {
            quote_spanned!(span=> __::MeanPool<__::Const<{ #name::NUM_CLASSES }>>)
        }
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
    } else {
        quote_spanned!(span=> __::Position::None)
    };
    quote_spanned! {span=>
        impl __::Spec for #name {
            const NAME: &'static __::str = ::core::stringify!(#name);
            type Input = __::Grid<{ #name::INPUT_AXIS }, { #name::INPUT_CHANNELS }>;
            type NumLatents = __::Const<{ #name::NUM_LATENTS }>;
            type LatentDim = __::Const<{ #name::LATENT_DIM }>;
            type Output = #output;
            const POSITION: __::Position = #position;
            const DEPTH: __::usize = #name::DEPTH;
            const SELF_PER_CROSS_ATTN: __::usize = #name::SELF_PER_CROSS_ATTN;
            const CROSS_HEADS: __::Heads = __::Heads::new(#name::CROSS_HEADS, #name::CROSS_DIM_HEAD);
            const LATENT_HEADS: __::Heads = __::Heads::new(#name::LATENT_HEADS, #name::LATENT_DIM_HEAD);
            const SHARE: __::Share = __::Share::tied(#name::WEIGHT_TIE_LAYERS);
            const CROSS_SOFTMAX: __::Softmax = __::Softmax::inverted(#name::INVERTED_CROSS_ATTN);
            const DROPOUT: __::Dropout =
                __::Dropout { attention: #name::ATTN_DROPOUT, feed_forward: #name::FF_DROPOUT };
        }
    }
}
