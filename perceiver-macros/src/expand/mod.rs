//! From a model to its tokens: a struct around the library's `Perceiver`, its constants, its spec, and thin methods.
//! Nothing can go wrong here.

mod causal;
mod checks;
mod completion;
mod constants;
mod costs;
mod methods;
mod modalities;
mod returns;
mod spec;
mod takes;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Meta, Path, Token};

pub use completion::completion;

use returns::Returns;
use takes::Takes;

use crate::grammar::{Declaration, Entry};
use crate::messages;
use crate::model::{Declared, Model};
use crate::report::Report;
use crate::schema::{self, Kind};

/// The expansion.
///
/// An `error`, an expression, becomes the value of every count, and so a part of every type: what uses the model then
/// compiles without a second error, whatever it expects of it.
pub fn expand(
    krate: &TokenStream,
    declaration: &Declaration,
    model: &Declared,
    error: Option<&TokenStream>,
) -> TokenStream {
    match model {
        Declared::Perceiver(model) => perceiver(krate, declaration, model, error),
        Declared::Causal(model) => causal::expand(krate, declaration, model, error),
    }
}

fn perceiver(
    krate: &TokenStream,
    declaration: &Declaration,
    model: &Model,
    error: Option<&TokenStream>,
) -> TokenStream {
    let name = &used(declaration);
    let modalities = modalities::structures(declaration, name, model);
    let constants = constants::constants(krate, name, constants::all(model), error);
    let markers = modalities::markers(name, model);
    let checks = checks::checks(name, model, error);
    let spec = spec::spec(name, model);
    let takes = Takes::new(name, model, error.is_some());
    let returns = Returns::new(name, model, &takes, error.is_some());
    let methods = methods::methods(name, model, &takes, &returns, error.is_some());
    let costs = costs::costs(name, model, error.is_some());
    let items = quote!(#markers #checks #spec #methods #costs);
    let usage = usage(&returns.input(&takes), &returns.what);
    around(krate, declaration, ["Perceiver", &usage], &modalities, &constants, &items)
}

/// What the documentation of the struct says about its use, since the types of `forward` hardly do.
fn usage(takes: &str, returns: &str) -> String {
    format!(
        "\n # Input and output\n\n [`forward`](Self::forward) takes {takes}.\n\n It returns {returns}."
    )
}

/// A struct around the library's `inner`, whose documentation ends with its `usage`, with structs `beside` it, its
/// `constants`, and `items` that know the library as `__`.
fn around(
    krate: &TokenStream,
    declaration: &Declaration,
    [inner, usage]: [&str; 2],
    beside: &TokenStream,
    constants: &TokenStream,
    items: &TokenStream,
) -> TokenStream {
    let name = &used(declaration);
    let span = name.span();
    let inner = Ident::new(inner, span);
    let structure = structure(krate, declaration, name, &inner, usage);
    // What is configured away with the struct goes with it.
    let cfgs = cfgs(declaration);
    let is_deprecated = declaration.attrs.iter().any(|attr| attr.path().is_ident("deprecated"));
    let allow = is_deprecated.then(|| quote_spanned!(span=> #[allow(deprecated)]));
    quote_spanned! {span=>
        #structure
        #beside
        #cfgs
        #allow
        #constants
        #cfgs
        #allow
        const _: () = {
            // Under a name that no model has, which may be called like anything that is in there.
            use #krate::__private as __;
            #items
            __::module!(#name, #inner);
        };
    }
}

/// The `#[cfg(..)]` attributes.
pub fn cfgs(declaration: &Declaration) -> TokenStream {
    let cfgs = declaration.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    quote!(#(#cfgs)*)
}

/// The model's name where the expansion uses it: from the macro, so that lints do not take it for the user's code, but
/// shown in one place instead of all over the declaration.
fn used(declaration: &Declaration) -> Ident {
    let mut used = declaration.name.clone();
    used.set_span(Span::call_site().located_at(declaration.place));
    used
}

/// Whether this is documentation, and not an attribute about it, like `#[doc(hidden)]`.
fn is_text(attr: &Attribute) -> bool {
    attr.path().is_ident("doc") && matches!(attr.meta, Meta::NameValue(_))
}

fn structure(
    krate: &TokenStream,
    declaration: &Declaration,
    this: &Ident,
    inner: &Ident,
    usage: &str,
) -> TokenStream {
    let Declaration { attrs, vis, name, .. } = declaration;
    let span = this.span();
    // Where it is written, or else lints take the struct for another's code.
    let keyword = Token![struct](declaration.keyword.unwrap_or(span));
    let p = quote_spanned!(span=> #krate::__private);
    let derived: Vec<_> = attrs.iter().flat_map(derived).collect();
    let attrs = attrs.iter().map(|attr| match attr.path().is_ident("derive") {
        true => {
            let derived = self::derived(attr).into_iter().filter(can_derive);
            quote_spanned!(attr.span()=> #[derive(#(#derived),*)])
        }
        false => attr.to_token_stream(),
    });
    let is_missing = |name| !derived.iter().any(|path| is_named(path, name));
    let clone = is_missing("Clone").then(|| quote!(#[derive(::core::clone::Clone)]));
    let debug = is_missing("Debug").then(|| quote!(#[derive(::core::fmt::Debug)]));
    // A declaration without documentation of its own still has some.
    let summary = (!declaration.attrs.iter().any(is_text)).then(|| quote!(#[doc = "A Perceiver."]));
    let of_keys = declaration.entries.iter().filter_map(without_constant);
    let usage = usage.lines();
    quote_spanned! {span=>
        #summary
        #(#attrs)*
        #(#of_keys)*
        #(#[doc = #usage])*
        #clone
        #debug
        #vis #keyword #name<E: #p::Dtype = #p::f32, D: #p::Storage<E> = #p::Cpu> {
            perceiver: #p::#inner<#this, E, D>,
        }
    }
}

/// The documentation of a key that has no constant to be shown at, as a paragraph of the struct's.
fn without_constant(Entry { docs, key, .. }: &Entry) -> Option<TokenStream> {
    let has_constant =
        schema::ROOT.iter().any(|row| key == row.name && !matches!(row.kind, Kind::Choice(_)));
    let docs: Vec<_> = docs.iter().filter(|attr| is_text(attr)).collect();
    if has_constant || docs.is_empty() {
        return None;
    }
    let begin = format!(" `{key}`:");
    Some(quote!(#[doc = ""] #[doc = #begin] #(#docs)*))
}

/// The traits in a `#[derive(..)]`. What cannot be read here, rustc reports.
fn derived(attr: &Attribute) -> Punctuated<Path, Token![,]> {
    if !attr.path().is_ident("derive") {
        return Punctuated::new();
    }
    attr.parse_args_with(Punctuated::parse_terminated).unwrap_or_default()
}

/// Whether `path` ends in `name`.
fn is_named(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == name)
}

fn can_derive(path: &Path) -> bool {
    is_named(path, "Clone") || is_named(path, "Debug")
}

/// Reports what a model cannot derive.
pub fn check_derives(declaration: &Declaration, report: &mut Report) {
    for path in declaration.attrs.iter().flat_map(derived) {
        if !can_derive(&path) {
            report.error(&path, messages::derive(&path));
        }
    }
}
