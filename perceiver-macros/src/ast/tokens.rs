//! What the parser asks of single tokens, and how it quotes them.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Attribute, Ident, LitStr};

use super::source::source;
use crate::report::Report;

pub fn is_punct(tree: &TokenTree, char: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == char)
}

/// Whether another sign comes right behind this one.
pub fn is_joint(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint)
}

pub fn is_word(tree: &TokenTree, word: &str) -> bool {
    matches!(tree, TokenTree::Ident(ident) if ident == word)
}

pub fn is_group(tree: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == delimiter)
}

/// The name that this is, if it is neither a keyword nor something else. Quotes are not in the way.
pub fn name(tree: &TokenTree) -> Option<Ident> {
    let name = match tree {
        TokenTree::Ident(ident) => syn::parse2(ident.to_token_stream()),
        TokenTree::Literal(_) => syn::parse2(tree.to_token_stream()).and_then(|string: LitStr| {
            // What is no name at all is not to be read as tokens, of which the compiler could have its own opinion.
            let is_word = string
                .value()
                .chars()
                .all(|c| c == '_' || c.is_alphanumeric());
            let string = is_word
                .then_some(string)
                .ok_or_else(|| syn::Error::new(tree.span(), ""))?;
            string.parse()
        }),
        _ => return None,
    };
    name.ok()
}

/// Whether this is written like the name of a type, and not like a constant's.
pub fn is_type(name: &Ident) -> bool {
    let name = unraw(name);
    let is_capital = name.starts_with(char::is_uppercase) && name != "Struct";
    is_capital && (name.chars().count() == 1 || name.contains(char::is_lowercase))
}

/// An identifier without `r#`, as a string.
pub fn unraw(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// Skips what looks like an attribute.
pub fn skip_attributes(mut trees: &[TokenTree]) -> &[TokenTree] {
    while let [hash, group, rest @ ..] = trees
        && is_punct(hash, '#')
        && is_group(group, Delimiter::Bracket)
    {
        trees = rest;
    }
    trees
}

/// Reads attributes, and gives what is behind them.
pub fn attributes<'a>(
    mut trees: &'a [TokenTree],
    report: &mut Report,
) -> (Vec<Attribute>, &'a [TokenTree]) {
    let mut attrs = Vec::new();
    while let [hash, rest @ ..] = trees
        && is_punct(hash, '#')
    {
        match rest {
            [group, rest @ ..] if is_group(group, Delimiter::Bracket) => {
                let tokens = [hash, group].map(ToTokens::to_token_stream);
                match Attribute::parse_outer.parse2(tokens.into_iter().collect()) {
                    Ok(attr) => attrs.extend(attr),
                    Err(error) => report.push(error),
                }
                trees = rest;
            }
            [bang, group, rest @ ..]
                if is_punct(bang, '!') && is_group(group, Delimiter::Bracket) =>
            {
                let inner = quote!(#hash #bang #group);
                let message = if is_documentation(group) {
                    "expected `///`, found `//!`: that documents what it is in, not what follows"
                } else {
                    "expected `#[..]`, found `#![..]`: leave out the `!`"
                };
                report.error(&inner, message.into());
                trees = rest;
            }
            // Another kind of comment, which whoever expects something at this place reports.
            _ => break,
        }
    }
    (attrs, trees)
}

/// The first of `trees` with the punctuation that belongs to it: where it is, and what it is called.
pub fn first(trees: &[TokenTree]) -> (TokenStream, String) {
    let count = trees.iter().take_while(|tree| is_joint(tree)).count() + 1;
    let trees = &trees[..count.min(trees.len())];
    if let [TokenTree::Group(group)] = trees {
        let open = match group.delimiter() {
            Delimiter::Parenthesis => "(",
            Delimiter::Brace => "{",
            Delimiter::Bracket => "[",
            Delimiter::None => "",
        };
        // A group points at all that is in it, so another token stands in for its bracket.
        let stand_in = Ident::new("open", group.span_open());
        return (stand_in.to_token_stream(), format!("`{open}`"));
    }
    let shown: String = trees.iter().map(TokenTree::to_string).collect();
    let is_value = ["_", "true", "false"].contains(&&*shown);
    let keyword = match trees {
        [tree @ TokenTree::Ident(_)] if name(tree).is_none() && !is_value => "the keyword ",
        _ => "",
    };
    (
        trees.iter().cloned().collect(),
        format!("{keyword}`{shown}`"),
    )
}

/// An error at the first of `trees`, or at `end` if there is none: something else was expected.
pub fn unexpected(expected: &str, trees: &[TokenTree], end: &impl ToTokens) -> syn::Error {
    let (tokens, found) = first(trees);
    match trees {
        [] => syn::Error::new_spanned(end, format!("expected {expected}")),
        [hash, rest @ ..] if is_punct(hash, '#') => sharp(expected, hash, rest),
        _ => syn::Error::new_spanned(tokens, format!("expected {expected}, found {found}")),
    }
}

/// An error at a `#` where something else was expected: an attribute, documentation, or what other languages call a
/// comment.
fn sharp(expected: &str, hash: &TokenTree, rest: &[TokenTree]) -> syn::Error {
    let attributes = [
        "allow",
        "cfg",
        "cfg_attr",
        "deprecated",
        "derive",
        "doc",
        "must_use",
    ];
    match rest {
        [group, ..] if is_group(group, Delimiter::Bracket) => {
            let attr = quote!(#hash #group);
            let message = if is_documentation(group) {
                "expected documentation in front of what it documents: a comment begins with `//`"
                    .into()
            } else {
                let found = source(&attr);
                format!(
                    "expected {expected}, found `{found}`: an attribute stands in front of `struct`"
                )
            };
            syn::Error::new_spanned(attr, message)
        }
        [name, ..] if attributes.iter().any(|attribute| is_word(name, attribute)) => {
            let message = format!("expected `#[{name}(..)]`, found `#{name}`");
            syn::Error::new_spanned(quote!(#hash #name), message)
        }
        _ => syn::Error::new_spanned(hash, "a comment begins with `//`, not `#`"),
    }
}

/// Whether these are the brackets of a `#[doc..]`.
fn is_documentation(brackets: &TokenTree) -> bool {
    match brackets {
        TokenTree::Group(group) => {
            let first = group.stream().into_iter().next();
            first.is_some_and(|tree| is_word(&tree, "doc"))
        }
        _ => false,
    }
}
