//! Entries: keys with their documentation, and what separates them from their values and from each other.

use proc_macro2::{Delimiter, TokenTree};
use syn::Attribute;
use syn::parse::Parser;

use super::Entry;
use super::tokens::{
    is_entry, is_group, is_name, is_punct, next_entry, separator, skip, unexpected,
};
use super::value::value;
use crate::messages;
use crate::report::Report;

/// Reads entries to the end.
pub fn entries(trees: &[TokenTree], report: &mut Report) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut rest = trees;
    while !rest.is_empty() {
        rest = entry(rest, &mut entries, report);
    }
    entries
}

/// Reads the entry that `trees` begin with, with its comma, and returns what follows.
fn entry<'a>(
    trees: &'a [TokenTree],
    entries: &mut Vec<Entry>,
    report: &mut Report,
) -> &'a [TokenTree] {
    let (docs, trees) = docs(trees, report);
    let Some((first, after)) = trees.split_first() else {
        return trees;
    };
    let (key, separator) = match first {
        TokenTree::Ident(key) if is_name(key) => (key, separator(after)),
        _ => {
            report.once("entry", unexpected(messages::EXPECTED_ENTRY, trees));
            report.lost = true;
            return skip(trees);
        }
    };
    if separator == 0 {
        // A word before a key, a key without a value, or a key with something else than a `:`.
        match after.first() {
            Some(_) if is_entry(after) => {
                report.once("word", unexpected(messages::EXPECTED_ENTRY, trees));
                return after;
            }
            None => report.error(key, messages::no_value(key)),
            Some(tree) if is_punct(tree, ',') => report.error(key, messages::no_value(key)),
            Some(_) => report.once("separator", unexpected(&messages::separator(key), after)),
        }
        entries.push(Entry { docs, key: key.clone(), value: None });
        return skip(after);
    }
    if !is_punct(&after[0], ':') {
        report.once("separator", unexpected(&messages::separator(key), after));
    }
    let after = &after[separator..];
    let len = next_entry(after).unwrap_or(after.len());
    let (value, used) = value(key, &after[..len], report);
    let is_read = value.is_some();
    entries.push(Entry { docs, key: key.clone(), value });
    let rest = &after[used..];
    match rest {
        [comma, rest @ ..] if is_punct(comma, ',') => rest,
        [semicolon, rest @ ..] if is_punct(semicolon, ';') => {
            report.once("semicolon", unexpected("expected `,`", std::slice::from_ref(semicolon)));
            rest
        }
        [next, ..] if is_entry(rest) && is_read => {
            report.once("comma", syn::Error::new_spanned(next, messages::comma_before(next)));
            rest
        }
        rest => rest,
    }
}

/// Reads the documentation before a key.
fn docs<'a>(mut trees: &'a [TokenTree], report: &mut Report) -> (Vec<Attribute>, &'a [TokenTree]) {
    let mut docs = Vec::new();
    while let [hash, group, rest @ ..] = trees
        && is_punct(hash, '#')
        && is_group(group, Delimiter::Bracket)
    {
        let tokens = [hash, group].into_iter().cloned().collect();
        match Attribute::parse_outer.parse2(tokens) {
            Ok(attrs) => {
                for attr in attrs {
                    if !attr.path().is_ident("doc") {
                        report.error(&attr, messages::ATTRIBUTE.into());
                    } else if rest.is_empty() {
                        report.error(&attr, messages::DOCUMENTS_NOTHING.into());
                    }
                    docs.push(attr);
                }
            }
            Err(error) => report.push(error),
        }
        trees = rest;
    }
    docs.retain(|attr| attr.path().is_ident("doc"));
    (docs, trees)
}
