//! How far a value goes, whatever it is.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Expr, Ident};

use super::key::{is_key, separator};
use super::tokens::{is_punct, is_type};

/// Reads an expression, and gives what is behind it. Most end at the first comma; one that does not has one of its own,
/// as in `max::<usize, 6>()`.
pub fn expression(trees: &[TokenTree]) -> syn::Result<(Expr, &[TokenTree])> {
    let end = skip_entry(trees);
    match parse(&trees[..trees.len() - end.len()]) {
        Ok((value, [])) => Ok((value, end)),
        _ => parse(trees),
    }
}

fn parse(trees: &[TokenTree]) -> syn::Result<(Expr, &[TokenTree])> {
    let parser = |input: ParseStream| {
        let value = Expr::parse(input)?;
        Ok((value, input.parse::<TokenStream>()?.into_iter().count()))
    };
    let (value, rest) = parser.parse2(trees.iter().cloned().collect())?;
    Ok((value, &trees[trees.len().saturating_sub(rest)..]))
}

/// Tokens as text, to compare them.
pub fn text(trees: &[TokenTree]) -> String {
    trees.iter().map(|tree| format!("{tree} ")).collect()
}

/// Whether this is a number that ends in a `.`.
pub fn ends_in_point(value: &Expr) -> bool {
    matches!(value, Expr::Lit(lit) if lit.lit.to_token_stream().to_string().ends_with('.'))
}

/// Whether one more word makes an expression of `trees`.
pub fn is_begun(trees: &[TokenTree]) -> bool {
    let word = TokenTree::Ident(Ident::new("word", Span::call_site()));
    let whole = trees.iter().chain([&word]).cloned().collect();
    syn::parse2::<Expr>(whole).is_ok()
}

/// What is in front of the next `key:` that is not inside brackets. No value has one in it: one that seems to has
/// no end.
pub fn until_key(trees: &[TokenTree]) -> &[TokenTree] {
    let is_next = |&i: &usize| {
        let is_label = i > 0 && is_punct(&trees[i - 1], '\'');
        is_key(&trees[i]) && !is_label && separator(&trees[i + 1..]).is_some()
    };
    let end = (0..trees.len()).find(is_next).unwrap_or(trees.len());
    &trees[..end]
}

/// Moves to the end of the entry: a comma or semicolon that is not inside brackets, or the next key.
pub fn skip_entry(trees: &[TokenTree]) -> &[TokenTree] {
    let is_end = |tree: &TokenTree| is_punct(tree, ',') || is_punct(tree, ';');
    let entry = until_key(trees);
    let end = entry.iter().position(is_end).unwrap_or(entry.len());
    &trees[end..]
}

/// How many tokens are a type with generics and nothing behind it, `Rank3<8, 8, 3>`, which no value is.
pub fn type_with_generics(trees: &[TokenTree]) -> Option<usize> {
    let name = match trees {
        [TokenTree::Ident(name), sign, ..] if is_type(name) && is_punct(sign, '<') => 1,
        [sign, ..] if is_punct(sign, '<') => 0,
        _ => return None,
    };
    let mut open = 0_usize;
    for (i, tree) in trees.iter().enumerate().skip(name) {
        if is_punct(tree, '<') {
            open += 1;
        } else if is_punct(tree, '>') {
            open = open.checked_sub(1)?;
        }
        if open == 0 {
            let rest = &trees[i + 1..];
            return (skip_entry(rest).len() == rest.len()).then_some(i + 1);
        }
    }
    None
}

/// How many tokens follow that can only belong to the value before them: `, 8, 3` behind `8`.
pub fn more_values(trees: &[TokenTree]) -> usize {
    let mut count = 0;
    while let [comma, value @ TokenTree::Literal(_), rest @ ..] = &trees[count..]
        && is_punct(comma, ',')
        && !is_key(value)
        && skip_entry(rest).len() == rest.len()
    {
        count += 2;
    }
    count
}
