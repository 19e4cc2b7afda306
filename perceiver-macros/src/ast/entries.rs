//! The keys and their values.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Expr, Ident};

use super::extent::{
    ends_in_point, expression, is_begun, more_values, skip_entry, text, type_with_generics,
    until_key,
};
use super::key::{expected_key, is_key, joined, separator, starts_with_entry, starts_with_key};
use super::tokens::{attributes, is_joint, is_punct, name, skip_attributes, unexpected, unraw};
use super::{Entry, holds_entries, source};
use crate::keys::{self, Kind};
use crate::report::Report;

/// Reads entries to the end.
pub fn entries(trees: &[TokenTree], report: &mut Report) -> Vec<Entry> {
    let mut entries = Entries::new(report);
    entries.all(trees);
    entries.entries
}

/// The words that stand where a key does: at the beginning, behind a comma, or before a `:`.
pub fn words(trees: &[TokenTree]) -> Vec<Ident> {
    let mut words = Vec::new();
    let mut begins = true;
    let mut rest = skip_attributes(trees);
    while let [tree, behind @ ..] = rest {
        words.extend(name(tree).filter(|_| begins || separator(behind).is_some()));
        begins = is_punct(tree, ',');
        rest = if begins {
            skip_attributes(behind)
        } else {
            behind
        };
    }
    words
}

/// Whether a probability is given in percent.
fn is_percentage(key: &Ident, value: &[TokenTree]) -> bool {
    let key = keys::find(&unraw(key));
    let is_probability = key.is_some_and(|key| key.kind == Kind::Probability);
    is_probability && matches!(value, [TokenTree::Literal(_), sign] if is_punct(sign, '%'))
}

struct Entries<'a> {
    entries: Vec<Entry>,
    /// Whether a sign, a quote or a word has been reported that belongs to another language. Whoever writes one
    /// does so throughout, and is told once.
    speaks_another_language: bool,
    /// Whether there are commas, so that each that is missing is a mistake of its own.
    has_commas: bool,
    /// What has been reported that stands in front of a key: it may stand in front of each.
    in_front: Option<Vec<TokenTree>>,
    report: &'a mut Report,
}

impl<'a> Entries<'a> {
    fn new(report: &'a mut Report) -> Self {
        Self {
            entries: Vec::new(),
            speaks_another_language: false,
            has_commas: false,
            in_front: None,
            report,
        }
    }

    /// Reads entries to the end.
    fn all(&mut self, trees: &[TokenTree]) {
        self.has_commas = trees.iter().any(|tree| is_punct(tree, ','));
        let mut rest = trees;
        while !rest.is_empty() {
            rest = self.entry(rest);
        }
    }

    /// Reads one entry with its comma, and gives what is behind them.
    fn entry<'t>(&mut self, trees: &'t [TokenTree]) -> &'t [TokenTree] {
        let (docs, trees) = attributes(trees, self.report);
        let docs = self.documentation(docs, trees.is_empty());
        if let [key, rest @ ..] = trees
            && let Some(key) = self.key(key)
            && let Some((sign, len)) = separator(rest)
        {
            if sign != ":" {
                let written: TokenStream = rest[..len].iter().cloned().collect();
                let message = format!("expected `:`, as in `{key}: value`, found `{sign}`");
                self.foreign(syn::Error::new_spanned(written, message));
            }
            let (value, rest) = if is_key(&TokenTree::Ident(key.clone())) {
                self.value(&key, &rest[len..])
            } else {
                // That the key is unknown is reported; how its value is written does not matter then.
                let value = |report: &mut Report| Entries::new(report).value(&key, &rest[len..]);
                self.report.quietly(value)
            };
            // Behind a value without an end there may be no comma either, and a `.` may be meant to be one.
            let is_behind = starts_with_entry(rest);
            let is_reported = value.is_none() && is_behind;
            let value = value.filter(|value| !is_behind || !ends_in_point(value));
            self.entries.push(Entry { docs, key, value });
            return if is_reported { rest } else { self.comma(rest) };
        }
        let rest = match trees {
            // Another sign in place of the `:`.
            [key, sign, value @ TokenTree::Literal(_), rest @ ..]
                if starts_with_key(trees)
                    && (is_punct(sign, ',') || is_punct(sign, ';'))
                    && !is_key(value)
                    && skip_entry(rest).len() == rest.len() =>
            {
                let error = unexpected(&format!("`:` after `{key}`"), &trees[1..], key);
                self.foreign(error);
                let key = name(key);
                self.entries.extend(key.map(|key| Entry {
                    docs,
                    key,
                    value: None,
                }));
                return self.comma(rest);
            }
            // A key behind the sign of another language's comments is not given.
            [hash, key, ..] if is_punct(hash, '#') && is_key(key) => skip_entry(&trees[2..]),
            _ => skip_entry(trees),
        };
        self.malformed(&trees[..trees.len() - rest.len()], rest);
        match rest {
            [TokenTree::Punct(_), rest @ ..] => rest,
            next => next,
        }
    }

    /// Reads the documentation of a key from its attributes.
    fn documentation(&mut self, mut attrs: Vec<Attribute>, is_end: bool) -> Vec<Attribute> {
        attrs.retain(|attr| {
            let is_doc = attr.path().is_ident("doc");
            if !is_doc {
                let message = "a key can have documentation, but no other attribute";
                self.report.error(attr, message.into());
            }
            is_doc
        });
        if let Some(last) = attrs.last()
            && is_end
        {
            let message = "documentation stands in front of what it documents: nothing follows";
            self.report.error(last, message.into());
        }
        attrs
    }

    /// Reads the name of a key.
    fn key(&mut self, tree: &TokenTree) -> Option<Ident> {
        match tree {
            TokenTree::Ident(key) => Some(key.clone()),
            TokenTree::Literal(_) if is_key(tree) => {
                let message = "expected a key, which has no quotes, as in `depth: 6`";
                self.foreign(syn::Error::new_spanned(tree, message));
                name(tree)
            }
            _ => None,
        }
    }

    /// Reports what belongs to another language, once.
    fn foreign(&mut self, error: syn::Error) {
        if !self.speaks_another_language {
            self.report.push(error);
        }
        self.speaks_another_language = true;
    }

    /// Reads the value of `key`, and gives what is behind it.
    fn value<'t>(
        &mut self,
        key: &Ident,
        trees: &'t [TokenTree],
    ) -> (Option<Expr>, &'t [TokenTree]) {
        let own = self.without_what_is_in_front(until_key(trees));
        let written = &own[..own.len() - skip_entry(own).len()];
        let end = &trees[written.len()..];
        if written.is_empty() {
            let message = format!("`{key}` has no value: write `{key}: value`");
            self.report.error(key, message);
            return (None, end);
        }
        if is_punct(&written[0], '#') {
            let expected = format!("the value of `{key}`");
            self.report.push(unexpected(&expected, written, key));
            return (None, end);
        }
        if let Some(len) = type_with_generics(own) {
            self.wrong_value(key, &trees[..len], ", which is a type");
            return (None, &trees[len..]);
        }
        let behind = |rest: &[TokenTree]| &trees[own.len() - rest.len()..];
        match expression(own) {
            Ok((Expr::Assign(assign), rest)) => {
                let message = format!("`{key}` is given no type: write `{key}: value`");
                self.foreign(syn::Error::new_spanned(assign.left, message));
                (None, skip_entry(behind(rest)))
            }
            Ok((value, rest))
                if skip_entry(rest).len() == rest.len() || starts_with_entry(rest) =>
            {
                let more = more_values(rest);
                if more == 0 {
                    return (Some(value), behind(rest));
                }
                let (more, rest) = rest.split_at(more);
                let values: TokenStream = written.iter().chain(more).cloned().collect();
                let message = format!(
                    "`{key}` has more than one value: sizes are in brackets, as in `[224, 224, 3]`, digits are \
                     grouped by `_`, as in `1_024`, and a fraction is behind a `.`"
                );
                self.report.error(&values, message);
                (None, behind(rest))
            }
            Ok((Expr::Try(_), _)) => {
                self.wrong_value(key, written, ": write `if .. { .. } else { .. }`");
                (None, end)
            }
            Ok((_, rest)) => {
                let expected = format!("`,` after the value of `{key}`");
                self.report.push(unexpected(&expected, rest, key));
                (None, skip_entry(behind(rest)))
            }
            Err(_) if is_begun(written) && !is_percentage(key, written) => {
                let written: TokenStream = written.iter().cloned().collect();
                self.report
                    .error(&written, format!("the value of `{key}` is not complete"));
                (None, end)
            }
            Err(_) => {
                let hint = match written {
                    [point, TokenTree::Literal(_)] if is_punct(point, '.') => {
                        ": write a `0` in front"
                    }
                    _ if is_percentage(key, written) => ": write a fraction, as in `0.1`",
                    _ => "",
                };
                self.wrong_value(key, written, hint);
                (None, end)
            }
        }
    }

    /// Reports a value that is none, whatever it may have been meant to be.
    fn wrong_value(&mut self, key: &Ident, written: &[TokenTree], hint: &str) {
        let written: TokenStream = written.iter().cloned().collect();
        let expected = keys::find(&unraw(key)).map_or_else(String::new, |key| key.kind.expected());
        let found = source(&written);
        let message = format!("`{key}` has to be {expected}, found `{found}`{hint}");
        self.report.error(&written, message);
    }

    /// `value` without what stands in front of the next key, if that has been reported once.
    fn without_what_is_in_front<'t>(&self, value: &'t [TokenTree]) -> &'t [TokenTree] {
        let Some(in_front) = &self.in_front else {
            return value;
        };
        let end = value.len().saturating_sub(in_front.len());
        let is_there = text(&value[end..]) == text(in_front);
        if is_there { &value[..end] } else { value }
    }

    /// How many tokens stand in front of the key that `trees` begin with, if that has been reported once.
    fn len_in_front(&self, trees: &[TokenTree]) -> usize {
        let in_front = self.in_front.as_deref().unwrap_or_default();
        let is_there = trees
            .get(..in_front.len())
            .is_some_and(|trees| text(trees) == text(in_front));
        if is_there { in_front.len() } else { 0 }
    }

    /// Reports an entry that is not `key: value`, and keeps its key if there is no doubt about it.
    fn malformed(&mut self, trees: &[TokenTree], behind: &[TokenTree]) {
        let is_separator =
            |i: &usize| (*i == 0 || !is_joint(&trees[i - 1])) && separator(&trees[*i..]).is_some();
        let words = (0..trees.len()).find(is_separator).unwrap_or(trees.len());
        let words = &trees[..words];
        let (key, error) = match words {
            [] => match trees.first().or(behind.first()) {
                Some(_) => (
                    None,
                    expected_key(if trees.is_empty() { behind } else { trees }),
                ),
                None => return,
            },
            [TokenTree::Group(group)] if holds_entries(&words[0]) => {
                self.report.push(expected_key(words));
                let trees: Vec<_> = group.stream().into_iter().collect();
                let has_commas = self.has_commas;
                self.all(&trees);
                self.has_commas = has_commas;
                return;
            }
            [key] if starts_with_key(words) => {
                let message = format!("`{key}` has no value: write `{key}: value`");
                (name(key), syn::Error::new_spanned(key, message))
            }
            [key, sign @ ..] if starts_with_key(words) => {
                let expected = format!("`:` after `{key}`");
                (name(key), unexpected(&expected, sign, key))
            }
            _ => {
                let meant = joined(words);
                let meant = meant.map(|(shown, name)| (shown, keys::near(&unraw(&name)), name));
                match meant.filter(|(_, near, _)| !near.is_empty()) {
                    Some((shown, near, name)) => {
                        let written: TokenStream = words.iter().cloned().collect();
                        let message = keys::unknown(&shown, &near);
                        let key = (near.len() == 1).then(|| Ident::new(near[0].name, name.span()));
                        (key, syn::Error::new_spanned(written, message))
                    }
                    None => (None, expected_key(words)),
                }
            }
        };
        if key.is_none() && starts_with_entry(behind) {
            self.in_front = Some(trees.to_vec());
            self.foreign(error);
        } else {
            self.report.push(error);
            self.report.lost |= key.is_none() && !trees.is_empty();
        }
        // A key that is given anyway is not given twice by words like it.
        let is_given = |key: &Ident| {
            self.entries
                .iter()
                .any(|entry| unraw(&entry.key) == unraw(key))
        };
        let key = key.filter(|key| !is_given(key));
        self.entries.extend(key.map(|key| Entry {
            docs: Vec::new(),
            key,
            value: None,
        }));
    }

    /// Reads the comma behind an entry, and gives what is behind it.
    fn comma<'t>(&mut self, trees: &'t [TokenTree]) -> &'t [TokenTree] {
        match trees {
            [sign, rest @ ..] if is_punct(sign, ',') => rest,
            [sign, rest @ ..] if is_punct(sign, ';') => {
                self.foreign(unexpected("`,` between two keys", trees, sign));
                rest
            }
            _ => {
                // The next entry, if there is one.
                let in_front = self.len_in_front(trees);
                let trees = &trees[in_front..];
                if let [key, ..] = skip_attributes(trees) {
                    let message = format!("expected `,` before `{key}`");
                    let error = syn::Error::new_spanned(key, message);
                    if self.has_commas && in_front == 0 {
                        self.report.push(error);
                    } else {
                        self.foreign(error);
                    }
                }
                trees
            }
        }
    }
}
