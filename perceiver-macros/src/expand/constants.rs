//! The constants: one for each key, and those that follow from them.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Ident;

use super::{classifies, layer, shown_as};
use crate::check::{Value, Values};
use crate::keys::{KEYS, Key, Kind, MAX_WIDTH};

/// One constant for each key. These are outside the block of implementations, so that a value sees just the
/// names that it sees where it is written.
pub(super) fn constants(
    krate: &TokenStream,
    name: &Ident,
    values: &Values,
    error: Option<TokenStream>,
) -> TokenStream {
    let span = shown_as(name);
    let keys = KEYS.iter().map(|key| constant(krate, key, values, span));
    let error = error.map(|error| {
        quote_spanned! {span=>
            #[doc(hidden)]
            pub const DECLARATION_ERROR: ::core::primitive::usize = #error;
        }
    });
    quote_spanned! {span=>
        impl #name {
            #error
            #(#keys)*
        }
    }
}

/// The constants that follow from the keys.
pub(super) fn derived_constants(name: &Ident, values: &Values) -> TokenStream {
    let span = shown_as(name);
    let head = classifies(values).then(|| {
        quote_spanned! {span=>
            + __::ToLogits::<{ #name::LATENT_DIM }, { #name::NUM_CLASSES }, __::f32, __::Cpu>::PARAMETERS
        }
    });
    let layer = layer(name);
    quote_spanned! {span=>
        impl #name {
            /// The width of a token: its channels and its position encoding.
            pub const INPUT_DIM: __::usize = __::input_dim(
                #name::INPUT_CHANNELS,
                #name::INPUT_AXIS,
                #name::NUM_FREQ_BANDS,
                #name::FOURIER_ENCODE_DATA,
            );
            /// The number of trainable parameters.
            pub const PARAMETERS: __::usize = #name::NUM_LATENTS * #name::LATENT_DIM
                + __::stored_layers(#name::DEPTH, #name::WEIGHT_TIE_LAYERS)
                    * __::Layer::<#layer, __::f32, __::Cpu>::PARAMETERS
                #head;
        }
    }
}

fn constant(krate: &TokenStream, key: &Key, values: &Values, span: Span) -> TokenStream {
    let value = values.get(key.name);
    let ty = match key.kind {
        Kind::Count { .. } => quote_spanned!(span=> ::core::primitive::usize),
        Kind::Positive | Kind::Probability => quote_spanned!(span=> ::core::primitive::f64),
        Kind::Base => quote_spanned!(span=> ::core::option::Option<::core::primitive::f64>),
        Kind::Flag => quote_spanned!(span=> ::core::primitive::bool),
        Kind::Shape => {
            let len = values.axes().map_or_else(
                || quote_spanned!(span=> Self::INPUT_AXIS + 1),
                |axes| (axes + 1).to_token_stream(),
            );
            quote_spanned!(span=> ::core::option::Option<[::core::primitive::usize; #len]>)
        }
    };
    let tokens = match (key.name, values.axes()) {
        _ if values.poisoned && matches!(key.kind, Kind::Count { .. }) => {
            quote_spanned!(span=> Self::DECLARATION_ERROR)
        }
        ("input_axis", Some(axes)) => quote_spanned!(span=> #axes),
        ("input_channels", Some(axes)) => {
            quote_spanned!(span=> #krate::__private::size_at(Self::INPUT_SHAPE, #axes))
        }
        _ if value.opaque => checked(krate, key, value, &ty),
        _ => value.tokens.clone(),
    };
    let constant = format_ident!("{}", key.constant(), span = span);
    let docs = &value.docs;
    let doc = format!(" {}", key.sentence());
    let doc = docs
        .is_empty()
        .then(|| quote_spanned!(span=> #[doc = #doc]));
    quote_spanned!(span=> #doc #(#docs)* pub const #constant: #ty = #tokens;)
}

/// The value of a key that the macro could not read. The compiler checks a count where it is made, so that all
/// types that it is part of are wrong with it, and nothing more is said about them.
fn checked(krate: &TokenStream, key: &Key, value: &Value, ty: &TokenStream) -> TokenStream {
    let tokens = &value.tokens;
    if !matches!(key.kind, Kind::Count { .. } | Kind::Shape) {
        return tokens.clone();
    }
    let span = shown_at(value);
    let check = in_range(&quote!(#krate::__private), key, &quote!(__VALUE), span);
    quote_spanned! {span=> {
        const __VALUE: #ty = #tokens;
        #check;
        __VALUE
    }}
}

/// Has the compiler check what the macro could not read, whether it is used or not.
pub(super) fn checks(values: &Values, name: &Ident) -> TokenStream {
    let opaque = KEYS.iter().map(|key| (key, values.get(key.name)));
    let checks = opaque.filter(|(_, value)| value.opaque && !values.poisoned);
    let checks = checks.map(|(key, value)| {
        let constant = format_ident!("{}", key.constant());
        match key.kind {
            Kind::Count { .. } | Kind::Shape | Kind::Flag => {
                let span = shown_as(name);
                quote_spanned!(span=> const _: () = { let _ = #name::#constant; };)
            }
            Kind::Positive | Kind::Base | Kind::Probability => {
                let span = shown_at(value);
                let check = in_range(&quote!(__), key, &quote!(#name::#constant), span);
                quote_spanned!(span=> const _: () = #check;)
            }
        }
    });
    quote!(#(#checks)*)
}

/// The assertion that `value` is what `key` has to be.
fn in_range(p: &TokenStream, key: &Key, value: &TokenStream, span: Span) -> TokenStream {
    let condition = match key.kind {
        Kind::Count { max } => {
            let max = Literal::u64_unsuffixed(max);
            quote_spanned!(span=> #value >= 1 && #value <= #max)
        }
        Kind::Positive => quote_spanned!(span=> #value > 0.0 && #value < #p::f64::INFINITY),
        Kind::Probability => quote_spanned!(span=> #value >= 0.0 && #value < 1.0),
        Kind::Base => quote_spanned!(span=> #p::in_range_base(#value)),
        Kind::Shape => {
            let max = Literal::u64_unsuffixed(MAX_WIDTH);
            quote_spanned!(span=> #p::all_counts(#value, #max))
        }
        Kind::Flag => quote_spanned!(span=> true),
    };
    let message = format!("`{}` has to be {}", key.name, key.kind.expected());
    quote_spanned!(span=> ::core::assert!(#condition, #message))
}

/// At the value, but without making it the user's code that lints look at.
fn shown_at(value: &Value) -> Span {
    Span::call_site().located_at(value.span)
}
