//! From checked values to the tokens of a model. Nothing can go wrong here.

mod constants;
mod implementations;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Ident};

use crate::ast::Declaration;
use crate::check::Values;
use constants::{checks, constants, derived_constants};
use implementations::{completion, methods, traits};

/// The expansion: the struct, its constants, and the implementations over the layers of `krate`.
///
/// An `error`, an expression, becomes the value of every count, and so a part of every type: what uses the
/// model then compiles without a second error, whatever it expects of it.
pub fn expand(
    krate: &TokenStream,
    declaration: &Declaration,
    values: &Values,
    error: Option<TokenStream>,
) -> TokenStream {
    let name = &declaration.name;
    let structure = structure(krate, declaration, values);
    let constants = constants(krate, name, values, error);
    let completion = completion(declaration);
    let checks = checks(values, name);
    let derived_constants = derived_constants(name, values);
    let methods = methods(name, values);
    let traits = traits(name, values);
    // What is configured away with the struct goes with it.
    let cfgs = declaration
        .attrs
        .iter()
        .filter(|attr| attr.path().is_ident("cfg"));
    let cfgs = quote!(#(#cfgs)*);
    quote! {
        #structure
        #cfgs
        #[allow(deprecated, unused_braces, unused_parens)]
        #constants
        #cfgs
        #[allow(deprecated)]
        const _: () = {
            // Behind a letter, since a model may be called like anything that is in there.
            #[allow(unused_imports)]
            use #krate::__private::{self as p, methods::*};
            #completion
            #checks
            #derived_constants
            #methods
            #traits
        };
    }
}

/// Whether the declaration has a classifier head.
fn classifies(values: &Values) -> bool {
    !values.is_off("final_classifier_head")
}

fn structure(krate: &TokenStream, declaration: &Declaration, values: &Values) -> TokenStream {
    let Declaration {
        attrs, vis, name, ..
    } = declaration;
    let p = quote!(#krate::__private);
    let derives = missing_derives(attrs);
    let layer = layer(name);
    let to_logits = classifies(values).then(|| {
        quote! {
            /// The classifier head.
            pub to_logits: #p::ToLogits<{ #name::LATENT_DIM }, { #name::NUM_CLASSES }, E, D>,
        }
    });
    // A declaration without documentation of its own still has some.
    let summary = (!attrs.iter().any(|attr| attr.path().is_ident("doc")))
        .then(|| quote!(#[doc = "A Perceiver."]));
    quote! {
        #summary
        #(#attrs)*
        #derives
        #vis struct #name<E: #p::Dtype = f32, D: #p::Storage<E> = #p::Cpu> {
            /// The learned latents, `(NUM_LATENTS, LATENT_DIM)`.
            pub latents: #p::Tensor<#p::Rank2<{ #name::NUM_LATENTS }, { #name::LATENT_DIM }>, E, D>,
            /// The layers; with tied weights the last stands for all that follow.
            pub layers: #p::Repeated<
                #p::Layer<#layer, E, D>,
                { #p::stored_layers(#name::DEPTH, #name::WEIGHT_TIE_LAYERS) },
            >,
            #to_logits
        }
    }
}

/// `Clone` and `Debug`, as far as the declaration does not derive them itself.
fn missing_derives(attrs: &[Attribute]) -> TokenStream {
    let mut derived = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("derive")) {
        // What cannot be read here, rustc reports.
        let _ = attr.parse_nested_meta(|meta| {
            derived.extend(meta.path.segments.last().map(|last| last.ident.to_string()));
            Ok(())
        });
    }
    let missing = [
        ("Clone", quote!(::core::clone::Clone)),
        ("Debug", quote!(::core::fmt::Debug)),
    ];
    let missing = missing
        .into_iter()
        .filter(|(name, _)| !derived.iter().any(|other| other == name));
    let missing: Vec<_> = missing.map(|(_, path)| path).collect();
    if missing.is_empty() {
        TokenStream::new()
    } else {
        quote!(#[derive(#(#missing),*)])
    }
}

/// The widths and counts of a layer.
fn layer(name: &Ident) -> TokenStream {
    quote! {
        { #name::LATENT_DIM },
        { #name::INPUT_DIM },
        { #name::CROSS_HEADS },
        { #name::CROSS_DIM_HEAD },
        { #name::LATENT_HEADS },
        { #name::LATENT_DIM_HEAD },
        { #name::SELF_PER_CROSS_ATTN }
    }
}
