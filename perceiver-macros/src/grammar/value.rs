//! The value of a key: an expression, or a name with entries.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::Expr;
use syn::parse::{ParseStream, Parser};

use super::entry::entries;
use super::tokens::{is_entry, is_name, is_punct, is_separator, unexpected};
use super::{MAX_TOKENS, Value};
use crate::messages;
use crate::report::Report;

/// Reads the value of `key` from `trees`, which end before the next key. Returns it and how many tokens were read; those
/// that are left begin with a `,` or a `;`.
pub fn value(key: &Ident, trees: &[TokenTree], report: &mut Report) -> (Option<Value>, usize) {
    let end = |trees: &[TokenTree]| trees.first().is_none_or(is_separator);
    let to_comma = trees.iter().position(is_separator).unwrap_or(trees.len());
    if end(trees) {
        report.error(key, messages::no_value(key));
        return (None, 0);
    }
    if let [TokenTree::Ident(name), TokenTree::Group(group), rest @ ..] = trees
        && group.delimiter() == Delimiter::Brace
        && is_name(name)
        && end(rest)
    {
        let inner: Vec<_> = group.stream().into_iter().collect();
        let entries = entries(&inner, report);
        return (Some(Value::Struct(name.clone(), entries, group.clone())), 2);
    }
    if count(trees) > MAX_TOKENS {
        report.error(&trees[0], messages::too_long(key));
        return (None, trees.len());
    }
    let written: TokenStream = trees[..to_comma].iter().cloned().collect();
    let (expr, used) = match expression(trees) {
        _ if is_punct(&trees[0], '#') || is_entries(&trees[0]) => {
            report.push(unexpected(&messages::expected_value(key), trees));
            return (None, to_comma);
        }
        Ok(read) => read,
        Err(error) => {
            // What is complete with one more word is incomplete without.
            let word = TokenTree::Ident(Ident::new("more", Span::call_site()));
            let longer: Vec<_> = trees[..to_comma].iter().cloned().chain([word]).collect();
            if expression(&longer).is_ok_and(|(_, used)| used == longer.len()) {
                report.error(&written, messages::incomplete(key));
            } else if syn::parse2::<syn::Type>(written.clone()).is_ok() {
                report.error(&written, messages::is_type(key, &written));
            } else {
                report.push(syn::Error::new(error.span(), messages::invalid(key, &error)));
            }
            return (None, to_comma);
        }
    };
    if let Expr::Assign(assign) = &expr {
        let error = syn::Error::new_spanned(&assign.left, messages::annotated(key));
        report.once("annotation", error);
        return (None, to_comma);
    }
    match &trees[used..] {
        // Sizes without brackets, or a decimal comma.
        [comma, TokenTree::Literal(_), ..] if is_punct(comma, ',') => {
            report.error(comma, messages::comma_in_value(key));
            let more =
                |tree: &TokenTree| is_punct(tree, ',') || matches!(tree, TokenTree::Literal(_));
            let more = trees[used..].iter().take_while(|tree| more(tree)).count();
            (None, used + more)
        }
        rest if end(rest) => (Some(Value::Expr(expr)), used),
        rest => {
            report.push(unexpected(&messages::comma_after_value(key), rest));
            (None, to_comma.max(used))
        }
    }
}

/// Whether this is `{ key: value, .. }`, without a name.
fn is_entries(tree: &TokenTree) -> bool {
    match tree {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
            is_entry(&group.stream().into_iter().take(3).collect::<Vec<_>>())
        }
        _ => false,
    }
}

/// The expression that `trees` begin with, and how many tokens it has.
fn expression(trees: &[TokenTree]) -> syn::Result<(Expr, usize)> {
    let parser = |input: ParseStream| {
        let expr = input.parse()?;
        let rest: TokenStream = input.parse()?;
        Ok((expr, rest.into_iter().count()))
    };
    let (expr, rest) = parser.parse2(trees.iter().cloned().collect())?;
    Ok((expr, trees.len() - rest))
}

/// How many tokens there are, those in brackets too.
fn count(trees: &[TokenTree]) -> usize {
    let count = |tree: &TokenTree| match tree {
        TokenTree::Group(group) => 2 + count(&group.stream().into_iter().collect::<Vec<_>>()),
        _ => 1,
    };
    trees.iter().map(count).sum()
}
