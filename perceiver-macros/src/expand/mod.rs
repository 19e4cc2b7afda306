//! From checked values to the tokens of a model. Nothing can go wrong here.

mod constants;
mod implementations;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Ident, Meta, Path, Token};

use crate::ast::{Declaration, derived};
use crate::check::Values;
use constants::{constants, derived_constants};
use implementations::{methods, spec, traits};

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
    let structure = structure(krate, declaration);
    let name = &used(declaration);
    let constants = constants(krate, name, values, error);
    let derived_constants = derived_constants(name);
    let methods = methods(name, values);
    let spec = spec(name, values);
    let traits = traits(name, values);
    // What is configured away with the struct goes with it.
    let cfgs = declaration.cfgs();
    let span = name.span();
    // Only what is needed is allowed: users may forbid it.
    let mut attrs = declaration.attrs.iter();
    let is_deprecated = attrs.any(|attr| attr.path().is_ident("deprecated"));
    let allow = is_deprecated.then(|| quote_spanned!(span=> #[allow(deprecated)]));
    let allow_groups = values
        .has_groups()
        .then(|| quote_spanned!(span=> #[allow(unused_braces, unused_parens)]));
    quote_spanned! {span=>
        #structure
        #cfgs
        #allow
        #allow_groups
        #constants
        #cfgs
        #allow
        const _: () = {
            // Behind a name that no model has: one may be called like anything that is in there.
            use #krate::__private as __;
            #derived_constants
            #spec
            #methods
            #traits
        };
    }
}

/// The keys as the fields that they look like, for rust-analyzer alone: it completes and explains them from here, also
/// one that is only half written. It finds its way back by position, so nothing may stand before this that depends on
/// what is written, an error least of all.
pub fn completion(krate: &TokenStream, declaration: &Declaration) -> TokenStream {
    let words = &declaration.words;
    let keys = (0..words.len()).filter(|&i| !words[..i].contains(&words[i]));
    let keys = keys.map(|i| &words[i]);
    quote! {
        #[allow(unexpected_cfgs)]
        const _: () = {
            #[cfg(rust_analyzer)]
            const _: #krate::__private::Keys = #krate::__private::Keys { #(#keys: (),)* ..#krate::__private::Keys::NONE };
        };
    }
}

/// The model's name where the expansion uses it, with the span of what surrounds it: code that comes from the macro,
/// but is shown in one place. What it is part of would be shown as the whole declaration otherwise.
fn used(declaration: &Declaration) -> Ident {
    let mut used = declaration.name.clone();
    used.set_span(Span::call_site().located_at(declaration.place));
    used
}

/// Whether this is documentation, and not an attribute about it, like `#[doc(hidden)]`.
fn is_text(attr: &Attribute) -> bool {
    attr.path().is_ident("doc") && matches!(attr.meta, Meta::NameValue(_))
}

/// Whether the declaration has a classifier head.
fn classifies(values: &Values) -> bool {
    !values.is_off("final_classifier_head")
}

fn structure(krate: &TokenStream, declaration: &Declaration) -> TokenStream {
    let Declaration {
        attrs, vis, name, ..
    } = declaration;
    let this = &used(declaration);
    let span = this.span();
    // Where it is written, or else lints take it for another's code.
    let keyword = Token![struct](declaration.keyword.unwrap_or(span));
    let p = quote_spanned!(span=> #krate::__private);
    let derives = missing_derives(attrs);
    // A declaration without documentation of its own still has some.
    let summary = (!attrs.iter().any(is_text)).then(|| quote!(#[doc = "A Perceiver."]));
    quote_spanned! {span=>
        #summary
        #(#attrs)*
        #derives
        #vis #keyword #name<E: #p::Dtype = #p::f32, D: #p::Storage<E> = #p::Cpu> {
            perceiver: #p::Perceiver<#this, E, D>,
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
