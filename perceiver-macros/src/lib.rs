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
use syn::ext::IdentExt;

use ast::Declaration;
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
    let mut tokens = expand::completion(&krate, &declaration);
    let alias = renamed(&krate, &mut declaration, &mut report);
    let values = check::check(&declaration, &mut report);
    let error = report.last_as_expression();
    tokens.extend(report.others_as_items(&declaration.cfgs()));
    tokens.extend(expand::expand(&krate, &declaration, &values, error));
    tokens.extend(alias);
    let name = &declaration.name;
    for mut behind in declaration.behind {
        let (alias, values) = report.quietly(|report| {
            let alias = renamed(&krate, &mut behind, report);
            (alias, check::check(&behind, report))
        });
        let error = quote!(#name::DECLARATION_ERROR);
        tokens.extend(expand::expand(&krate, &behind, &values, Some(error)));
        tokens.extend(alias);
    }
    tokens
}

/// Gives a model another name than one that its expansion needs itself, which is an error, and an alias of its own, since
/// what uses it is not another error.
fn renamed(
    krate: &TokenStream,
    declaration: &mut Declaration,
    report: &mut Report,
) -> Option<TokenStream> {
    let name = declaration.name.clone();
    let unraw = name.unraw();
    if !ast::TAKEN.iter().any(|taken| unraw == taken) {
        return None;
    }
    let message = format!("a model cannot be called `{name}`: a part of what it is made of is");
    report.error(&name, message);
    declaration.name = format_ident!("{unraw}_", span = name.span());
    let (vis, cfgs, stub) = (&declaration.vis, declaration.cfgs(), &declaration.name);
    let p = quote!(#krate::__private);
    Some(quote! {
        #cfgs
        #vis type #name<Dtype = #p::f32, Device = #p::Cpu> = #stub<Dtype, Device>;
    })
}
