//! What an attribute derives.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Path, Token};

/// The traits that `attr` derives, each with the condition under which it does. What cannot be read here, rustc
/// reports.
pub fn derived(attr: &Attribute) -> Vec<(TokenStream, Path)> {
    listed(&attr.meta, &quote!(all()))
}

/// The traits in `derive(..)`, or in a `cfg_attr` around it.
fn listed(meta: &Meta, condition: &TokenStream) -> Vec<(TokenStream, Path)> {
    match meta {
        Meta::List(list) if list.path.is_ident("derive") => {
            let parser = Punctuated::<Path, Token![,]>::parse_terminated;
            let paths = list.parse_args_with(parser).unwrap_or_default();
            paths
                .into_iter()
                .map(|path| (condition.clone(), path))
                .collect()
        }
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let parser = Punctuated::<Meta, Token![,]>::parse_terminated;
            let metas = list.parse_args_with(parser).unwrap_or_default();
            let mut metas = metas.iter();
            let own = metas.next().to_token_stream();
            let both = quote!(all(#condition, #own));
            metas.flat_map(|meta| listed(meta, &both)).collect()
        }
        _ => Vec::new(),
    }
}
