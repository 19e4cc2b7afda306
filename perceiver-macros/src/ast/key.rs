//! What looks like a key, and what does not quite.

use proc_macro2::{Delimiter, TokenTree};
use syn::Ident;

use super::tokens::{
    first, is_group, is_joint, is_punct, name, skip_attributes, unexpected, unraw,
};
use crate::keys;

/// Whether `trees` begin with `key:`, whatever the key, also if another sign is in place of the `:`.
pub fn starts_with_entry(trees: &[TokenTree]) -> bool {
    match skip_attributes(trees) {
        [TokenTree::Ident(_), rest @ ..] => separator(rest).is_some(),
        [key, rest @ ..] => is_key(key) && separator(rest).is_some(),
        [] => false,
    }
}

/// Whether `trees` begin with a key that there is.
pub fn starts_with_key(trees: &[TokenTree]) -> bool {
    matches!(trees, [key @ TokenTree::Ident(_), ..] if is_key(key))
}

/// Whether this is a key that there is, maybe in quotes.
pub fn is_key(tree: &TokenTree) -> bool {
    name(tree).is_some_and(|name| keys::find(&unraw(&name)).is_some())
}

/// What stands between a key and its value, and how many tokens it has. A sign may come right behind it.
pub fn separator(trees: &[TokenTree]) -> Option<(&'static str, usize)> {
    let [sign, rest @ ..] = trees else {
        return None;
    };
    let joined = |char| is_joint(sign) && rest.first().is_some_and(|tree| is_punct(tree, char));
    if is_punct(sign, ':') && !joined(':') && !joined('=') {
        Some((":", 1))
    } else if is_punct(sign, '=') && joined('>') {
        Some(("=>", 2))
    } else if is_punct(sign, '=') && joined(':') {
        Some(("=:", 2))
    } else if is_punct(sign, '=') && !joined('=') {
        Some(("=", 1))
    } else {
        None
    }
}

/// An error at the first of `trees`, where a key was expected.
pub fn expected_key(trees: &[TokenTree]) -> syn::Error {
    let (tokens, found) = first(trees);
    let hint = match &trees[0] {
        tree if is_punct(tree, '#') => return unexpected("a key", trees, tree),
        tree if is_punct(tree, '-') && found == "`--`" => ": a comment begins with `//`",
        tree if is_punct(tree, '.') => ": a key that is left out has its default",
        tree if is_group(tree, Delimiter::Brace) => ": leave out these braces",
        _ => "",
    };
    let message = format!("expected a key, as in `depth: 6`, found {found}{hint}");
    syn::Error::new_spanned(tokens, message)
}

/// Words that are written like one, `num-latents`, `num latents` or `num.latents`, as they are written and as the
/// one, `num_latents`.
pub fn joined(words: &[TokenTree]) -> Option<(String, Ident)> {
    let (first, last) = (words.first()?, words.last()?);
    let is_joint = |tree: &TokenTree| ['-', '.', ':'].iter().any(|sign| is_punct(tree, *sign));
    if is_joint(first) || is_joint(last) {
        return None;
    }
    let signs = words.iter().filter(|tree| is_joint(tree)).count();
    let names = words.iter().filter(|tree| !is_joint(tree));
    let names: Option<Vec<_>> = names
        .map(|tree| name(tree).map(|name| unraw(&name)))
        .collect();
    let mut name: Ident = syn::parse_str(&names?.join("_")).ok()?;
    name.set_span(first.span());
    let words: Vec<_> = words.iter().map(TokenTree::to_string).collect();
    Some((words.join(if signs > 0 { "" } else { " " }), name))
}
