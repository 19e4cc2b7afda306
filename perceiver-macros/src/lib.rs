//! The expansion of `perceiver::perceiver!`; used through the crate `perceiver`.
//!
//! Tokens become a declaration (`ast`), with errors recovered from at each comma; a declaration becomes
//! checked values (`check`), with every error found; values become tokens (`expand`), which cannot fail.
//! One table of keys (`keys`) drives all of it.

#![forbid(unsafe_code)]

mod ast;
mod check;
mod expand;
mod keys;
mod report;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use report::Report;

/// `declare! { path::to::perceiver; <declaration> }`. What `perceiver::perceiver!` calls, so that it works
/// under whatever name the crate is known.
#[doc(hidden)]
#[proc_macro]
pub fn declare(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expansion(input.into()).into()
}

fn expansion(input: TokenStream) -> TokenStream {
    let mut report = Report::default();
    let (krate, mut declaration) = ast::parse(input, &mut report);
    // Such a model is an error, but what uses it is not another.
    let name = declaration.name.clone();
    let is_generic = ast::GENERICS.iter().any(|generic| name == generic);
    let alias = is_generic.then(|| {
        let message = format!("a model cannot be called `{name}`: a part of what it is made of is");
        report.error(&name, message);
        let (vis, stub) = (&declaration.vis, format_ident!("{name}_"));
        let p = quote!(#krate::__private);
        let alias =
            quote!(#vis type #name<Dtype = #p::f32, Device = #p::Cpu> = #stub<Dtype, Device>;);
        declaration.name = stub;
        alias
    });
    let values = check::check(&declaration, &mut report);
    let error = report.last_as_expression();
    let mut tokens = expand::completion(&krate, &declaration);
    tokens.extend(report.others_as_items());
    tokens.extend(expand::expand(&krate, &declaration, &values, error));
    if let Some(behind) = declaration.behind {
        let name = &declaration.name;
        let values = report.quietly(|report| check::check(&behind, report));
        let error = quote!(#name::DECLARATION_ERROR);
        tokens.extend(expand::expand(&krate, &behind, &values, Some(error)));
    }
    tokens.extend(alias);
    tokens
}
