//! From checked values to the tokens of a model. Nothing can go wrong here.

mod constants;
mod implementations;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Ident, Path};

use crate::ast::{Declaration, derived};
use crate::check::Values;
use constants::{constants, derived_constants};
use implementations::{completion, methods, traits, types};

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
    let structure = structure(krate, declaration, values);
    let name = &used(&declaration.name);
    let constants = constants(krate, name, values, error);
    let completion = completion(declaration);
    let derived_constants = derived_constants(name, values);
    let types = types(name, values);
    let methods = methods(name, values);
    let traits = traits(name, values);
    // What is configured away with the struct goes with it.
    let cfgs = declaration
        .attrs
        .iter()
        .filter(|attr| attr.path().is_ident("cfg"));
    let cfgs = quote!(#(#cfgs)*);
    let span = shown_as(name);
    quote_spanned! {span=>
        #structure
        #cfgs
        #[allow(deprecated, unused_braces, unused_parens)]
        #constants
        #cfgs
        #[allow(deprecated)]
        const _: () = {
            // Behind a name that no model has: one may be called like anything that is in there.
            #[allow(unused_imports)]
            use #krate::__private::{self as __, methods::*};
            #completion
            #derived_constants
            #types
            #methods
            #traits
        };
    }
}

/// The span of code that rustc may show: as it comes from the macro, but at the model's name. It would show
/// the whole declaration otherwise.
fn shown_as(name: &Ident) -> Span {
    Span::call_site().located_at(name.span())
}

/// The model's name where the expansion uses it. With its own span, what it is part of would be shown as the whole
/// declaration: it is the user's, the rest is the macro's.
fn used(name: &Ident) -> Ident {
    let mut used = name.clone();
    used.set_span(shown_as(name));
    used
}

/// Whether the declaration has a classifier head.
fn classifies(values: &Values) -> bool {
    !values.is_off("final_classifier_head")
}

fn structure(krate: &TokenStream, declaration: &Declaration, values: &Values) -> TokenStream {
    let Declaration {
        attrs, vis, name, ..
    } = declaration;
    let span = shown_as(name);
    let p = quote_spanned!(span=> #krate::__private);
    let derives = missing_derives(attrs);
    let this = &used(name);
    let layer = layer(this);
    let to_logits = classifies(values).then(|| {
        quote_spanned! {span=>
            /// The classifier head.
            pub to_logits: #p::ToLogits<{ #this::LATENT_DIM }, { #this::NUM_CLASSES }, E, D>,
        }
    });
    // A declaration without documentation of its own still has some.
    let summary = (!attrs.iter().any(|attr| attr.path().is_ident("doc")))
        .then(|| quote!(#[doc = "A Perceiver."]));
    quote_spanned! {span=>
        #summary
        #(#attrs)*
        #derives
        #vis struct #name<E: #p::Dtype = #p::f32, D: #p::Storage<E> = #p::Cpu> {
            /// The learned latents, `(NUM_LATENTS, LATENT_DIM)`.
            pub latents: #p::Tensor<#p::Rank2<{ #this::NUM_LATENTS }, { #this::LATENT_DIM }>, E, D>,
            /// The layers; with tied weights the last stands for all that follow.
            pub layers: #p::Repeated<
                #p::Layer<#layer, E, D>,
                { #p::stored_layers(#this::DEPTH, #this::WEIGHT_TIE_LAYERS) },
            >,
            #to_logits
        }
    }
}

/// `Clone` and `Debug`, as far as the declaration does not derive them itself.
fn missing_derives(attrs: &[Attribute]) -> TokenStream {
    let derives = [
        ("Clone", quote!(::core::clone::Clone)),
        ("Debug", quote!(::core::fmt::Debug)),
    ];
    let (mut missing, mut conditional) = (Vec::new(), Vec::new());
    for (name, path) in derives {
        let derived = attrs.iter().flat_map(derived);
        let derived = derived.filter(|(_, path)| is_named(path, name));
        let conditions: Vec<_> = derived.map(|(condition, _)| condition).collect();
        if conditions.is_empty() {
            missing.push(path);
        } else {
            conditional.push(quote!(#[cfg_attr(not(any(#(#conditions),*)), derive(#path))]));
        }
    }
    let missing = (!missing.is_empty()).then(|| quote!(#[derive(#(#missing),*)]));
    quote!(#missing #(#conditional)*)
}

/// Whether `path` ends in `name`.
fn is_named(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == name)
}

/// The widths and counts of a layer.
fn layer(name: &Ident) -> TokenStream {
    let span = shown_as(name);
    quote_spanned! {span=>
        { #name::LATENT_DIM },
        { #name::INPUT_DIM },
        { #name::CROSS_HEADS },
        { #name::CROSS_DIM_HEAD },
        { #name::LATENT_HEADS },
        { #name::LATENT_DIM_HEAD },
        { #name::SELF_PER_CROSS_ATTN }
    }
}
