//! The expansion of `perceiver::perceiver!`; used through the crate `perceiver`, which needs exactly this version. Nothing here is
//! public API: it can change in any release, also in a patch.
//!
//! Tokens become declarations (`grammar`, which knows no key); a declaration is read by the rows of the schema (`schema`)
//! into a typed model (`model`), with every error found; a model becomes tokens (`expand`), which cannot fail. What is said
//! about mistakes is in `messages`.

#![forbid(unsafe_code)]

mod expand;
mod grammar;
mod messages;
mod model;
mod report;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt;

use grammar::Declaration;
use model::Declared;

/// `declare! { path::to::perceiver; <declarations> }`. What `perceiver::perceiver!` calls, so that it works
/// under whatever name the crate is known.
#[doc(hidden)]
#[proc_macro]
pub fn declare(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expansion(input.into()).into()
}

fn expansion(input: TokenStream) -> TokenStream {
    let mut trees = input.into_iter();
    let is_end =
        |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ';');
    let krate = trees.by_ref().take_while(|tree| !is_end(tree)).collect();
    let trees: Vec<_> = trees.collect();
    let (declarations, outside) = grammar::parse(&trees);
    let mut names = HashSet::new();
    let declarations = declarations.into_iter().map(|declaration| {
        // Of those with a `#[cfg]`, all but one may be left out.
        let is_repeated = expand::cfgs(&declaration).is_empty()
            && !names.insert(declaration.name.unraw().to_string());
        one(&krate, declaration, is_repeated)
    });
    let mut tokens: TokenStream = declarations.collect();
    tokens.extend(outside.as_items());
    tokens
}

/// What the expansion calls type parameters, and itself.
const RESERVED: [&str; 9] = ["E", "D", "I", "P", "Q", "V", "E2", "D2", "__"];

fn one(krate: &TokenStream, mut declaration: Declaration, is_repeated: bool) -> TokenStream {
    let mut report = std::mem::take(&mut declaration.report);
    let mut tokens = expand::completion(krate, &declaration);
    let name = &declaration.name;
    let is_reserved = RESERVED.iter().any(|reserved| name.unraw() == reserved);
    if is_reserved || is_repeated {
        let message = if is_reserved { messages::reserved } else { messages::same_name };
        report.error(name, message(name));
        tokens.extend(report.as_items());
        return tokens;
    }
    expand::check_derives(&declaration, &mut report);
    let model = Declared::new(&declaration, &mut report);
    let error = report.last_as_expression();
    tokens.extend(report.others_as_items(&expand::cfgs(&declaration)));
    tokens.extend(expand::expand(krate, &declaration, &model, error.as_ref()));
    tokens
}
