//! What tokens are, where entries begin and end, and the error at one that is not expected.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;

/// What is before the next `,` or the next key.
pub fn skip(trees: &[TokenTree]) -> &[TokenTree] {
    let comma = trees.iter().position(is_separator);
    let end = comma.map_or(trees.len(), |index| index + 1);
    let entry = next_entry(&trees[end.min(1)..end]).map(|index| index + 1);
    &trees[entry.unwrap_or(end)..]
}

/// Where the next `key:` begins, its documentation not included.
pub fn next_entry(trees: &[TokenTree]) -> Option<usize> {
    (0..trees.len()).find(|&i| {
        // The label of a loop and the parameter of a closure have a `:` too.
        let is_other = i > 0 && (is_punct(&trees[i - 1], '\'') || is_punct(&trees[i - 1], '|'));
        !is_other && is_entry(&trees[i..])
    })
}

/// Whether `trees` begin with `key:`.
pub fn is_entry(trees: &[TokenTree]) -> bool {
    match trees {
        [TokenTree::Ident(_), colon, rest @ ..] if is_punct(colon, ':') => {
            let is_path = is_joint(colon) && rest.first().is_some_and(|tree| is_punct(tree, ':'));
            !is_path
        }
        _ => false,
    }
}

/// How many tokens of a `:`, or of an `=` or `=>` in its place, `trees` begin with.
pub fn separator(trees: &[TokenTree]) -> usize {
    match trees {
        [colon, next, ..] if is_punct(colon, ':') && is_joint(colon) && is_punct(next, ':') => 0,
        [colon, ..] if is_punct(colon, ':') => 1,
        [equals, next, ..] if is_punct(equals, '=') && is_joint(equals) => {
            match is_punct(next, '>') {
                true => 2,
                false => 0,
            }
        }
        [equals, ..] if is_punct(equals, '=') => 1,
        _ => 0,
    }
}

pub fn is_separator(tree: &TokenTree) -> bool {
    is_punct(tree, ',') || is_punct(tree, ';')
}

pub fn is_punct(tree: &TokenTree, char: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == char)
}

/// Whether another sign follows this one without a space.
fn is_joint(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.spacing() == proc_macro2::Spacing::Joint)
}

pub fn is_group(tree: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == delimiter)
}

/// Whether this is neither a keyword nor `_`.
pub fn is_name(word: &Ident) -> bool {
    syn::parse2::<Ident>(word.to_token_stream()).is_ok()
}

/// Whether this is written like the name of a type that could be declared: `Self` could not.
pub fn is_type(word: &Ident) -> bool {
    let text = word.unraw().to_string();
    text.starts_with(char::is_uppercase) && text.contains(char::is_lowercase) && is_name(word)
}

/// An error at the first of `trees`, where something else was expected.
pub fn unexpected(expected: &str, trees: &[TokenTree]) -> syn::Error {
    let (place, found) = first(trees);
    let message = match &*found {
        "" => expected.into(),
        // Documentation is in the tokens as `#[doc = ..]`.
        "#" => expected.into(),
        found => format!("{expected}, found `{found}`"),
    };
    syn::Error::new_spanned(place, message)
}

/// The first of `trees` as one sees it, and where it is: all of an operator, and of a group just its bracket.
pub fn first(trees: &[TokenTree]) -> (TokenStream, String) {
    if let [TokenTree::Group(group), ..] = trees {
        let open = match group.delimiter() {
            Delimiter::Parenthesis => "(",
            Delimiter::Brace => "{",
            Delimiter::Bracket => "[",
            Delimiter::None => "",
        };
        return (Ident::new("bracket", group.span_open()).to_token_stream(), open.into());
    }
    let is_operator = |tree: &&TokenTree| matches!(tree, TokenTree::Punct(_)) && is_joint(tree);
    let len = trees.iter().take_while(is_operator).count() + 1;
    let mut trees = &trees[..len.min(trees.len())];
    if let [operator @ .., TokenTree::Ident(_)] = trees
        && !operator.is_empty()
    {
        trees = operator;
    }
    let text = trees.iter().map(ToString::to_string).collect();
    (trees.iter().cloned().collect(), text)
}
