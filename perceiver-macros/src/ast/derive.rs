//! What an attribute derives.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Path, Token};

/// The traits that `attr` derives, each with the condition under which it does. What cannot be read here, rustc
/// reports.
pub fn derived(attr: &Attribute) -> Vec<(TokenStream, Path)> {
    if !attr.path().is_ident("cfg_attr") {
        let always = quote!(all());
        let paths = listed(&attr.meta).into_iter();
        return paths.map(|path| (always.clone(), path)).collect();
    }
    let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
    let metas = attr.parse_args_with(parser).unwrap_or_default();
    let mut metas = metas.iter();
    let condition = metas.next().to_token_stream();
    let paths = metas.flat_map(listed);
    paths.map(|path| (condition.clone(), path)).collect()
}

/// The traits in `derive(..)`.
fn listed(meta: &Meta) -> Vec<Path> {
    let parser = Punctuated::<Path, Token![,]>::parse_terminated;
    match meta {
        Meta::List(list) if list.path.is_ident("derive") => {
            let paths = list.parse_args_with(parser).unwrap_or_default();
            paths.into_iter().collect()
        }
        _ => Vec::new(),
    }
}
