//! The constants: one for each key, and those that follow from them.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Ident;

use super::{classifies, layer};
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
    let keys = KEYS.iter().map(|key| constant(krate, key, values));
    let error = error.map(|error| {
        quote! {
            #[doc(hidden)]
            pub const DECLARATION_ERROR: ::core::primitive::usize = #error;
        }
    });
    quote! {
        impl #name {
            #error
            #(#keys)*
        }
    }
}

/// The constants that follow from the keys.
pub(super) fn derived_constants(name: &Ident, values: &Values) -> TokenStream {
    let head = classifies(values).then(|| {
        quote! {
            + __::ToLogits::<{ #name::LATENT_DIM }, { #name::NUM_CLASSES }, __::f32, __::Cpu>::PARAMETERS
        }
    });
    let layer = layer(name);
    quote! {
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

fn constant(krate: &TokenStream, key: &Key, values: &Values) -> TokenStream {
    let value = values.get(key.name);
    let ty = match key.kind {
        Kind::Count { .. } => quote!(::core::primitive::usize),
        Kind::Positive | Kind::Probability => quote!(::core::primitive::f64),
        Kind::Base => quote!(::core::option::Option<::core::primitive::f64>),
        Kind::Flag => quote!(::core::primitive::bool),
        Kind::Shape => {
            let len = values.axes().map_or_else(
                || quote!(Self::INPUT_AXIS + 1),
                |axes| (axes + 1).to_token_stream(),
            );
            quote!(::core::option::Option<[::core::primitive::usize; #len]>)
        }
    };
    let tokens = match (key.name, values.axes()) {
        _ if values.poisoned && matches!(key.kind, Kind::Count { .. }) => {
            quote!(Self::DECLARATION_ERROR)
        }
        ("input_axis", Some(axes)) => quote!(#axes),
        ("input_channels", Some(axes)) => {
            quote!(#krate::__private::size_at(Self::INPUT_SHAPE, #axes))
        }
        _ if value.opaque => checked(krate, key, value, &ty),
        _ => value.tokens.clone(),
    };
    let constant = format_ident!("{}", key.constant());
    let docs = &value.docs;
    let doc = format!(" {}", key.sentence());
    let doc = docs.is_empty().then(|| quote!(#[doc = #doc]));
    quote!(#doc #(#docs)* pub const #constant: #ty = #tokens;)
}

/// The value of a key that the macro could not read: the compiler checks it where it is made, so that what is
/// wrong is wrong everywhere, and said once.
fn checked(krate: &TokenStream, key: &Key, value: &Value, ty: &TokenStream) -> TokenStream {
    let tokens = &value.tokens;
    let condition = match key.kind {
        Kind::Count { max } => {
            let max = Literal::u64_unsuffixed(max);
            quote!(__VALUE >= 1 && __VALUE <= #max)
        }
        Kind::Positive => quote!(__VALUE > 0.0 && __VALUE < #krate::__private::f64::INFINITY),
        Kind::Probability => quote!(__VALUE >= 0.0 && __VALUE < 1.0),
        Kind::Base => quote!(#krate::__private::in_range_base(__VALUE)),
        Kind::Shape => {
            let max = Literal::u64_unsuffixed(MAX_WIDTH);
            quote!(#krate::__private::all_counts(__VALUE, #max))
        }
        Kind::Flag => return tokens.clone(),
    };
    let message = format!("`{}` has to be {}", key.name, key.kind.expected());
    // At the value, but without making it the user's code that lints look at.
    let span = Span::call_site().located_at(value.span);
    quote_spanned! {span=> {
        const __VALUE: #ty = #tokens;
        ::core::assert!(#condition, #message);
        __VALUE
    }}
}

/// Has the compiler look at what the macro could not read, whether it is used or not.
pub(super) fn checks(values: &Values, name: &Ident) -> TokenStream {
    let opaque = KEYS.iter().map(|key| (key, values.get(key.name)));
    let checks = opaque.filter(|(_, value)| value.opaque && !values.poisoned);
    let checks = checks.map(|(key, value)| {
        let constant = format_ident!("{}", key.constant());
        let span = Span::call_site().located_at(value.span);
        quote_spanned!(span=> const _: () = { let _ = #name::#constant; };)
    });
    quote!(#(#checks)*)
}
