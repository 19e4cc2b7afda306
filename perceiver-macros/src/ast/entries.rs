//! The keys and their values.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Attribute, Expr, Ident};

use super::tokens::{
    attributes, first, is_group, is_joint, is_punct, name, skip_attributes, unexpected, unraw,
};
use super::{Entry, holds_entries};
use crate::keys;
use crate::report::Report;

/// Reads entries to the end.
pub fn entries(trees: &[TokenTree], report: &mut Report) -> Vec<Entry> {
    let mut entries = Entries {
        entries: Vec::new(),
        habits: Vec::new(),
        report,
    };
    let mut rest = trees;
    while !rest.is_empty() {
        rest = entries.entry(rest);
        rest = entries.comma(rest);
    }
    entries.entries
}

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
fn is_key(tree: &TokenTree) -> bool {
    name(tree).is_some_and(|name| keys::find(&unraw(&name)).is_some())
}

/// What stands between a key and its value, and how many tokens it has. A sign may come right behind it.
fn separator(trees: &[TokenTree]) -> Option<(&'static str, usize)> {
    let [sign, rest @ ..] = trees else {
        return None;
    };
    let joined = |char| is_joint(sign) && rest.first().is_some_and(|tree| is_punct(tree, char));
    if is_punct(sign, ':') && !joined(':') && !joined('=') {
        Some((":", 1))
    } else if is_punct(sign, '=') && joined('>') {
        Some(("=>", 2))
    } else if is_punct(sign, '=') && !joined('=') {
        Some(("=", 1))
    } else {
        None
    }
}

/// Reads an expression, and gives what is behind it. The error of one that ends too early has no place.
fn expression(trees: &[TokenTree]) -> Result<(Expr, &[TokenTree]), Option<syn::Error>> {
    let mut is_end = false;
    let parser = |input: ParseStream| {
        let value = Expr::parse(input).inspect_err(|_| is_end = input.is_empty())?;
        Ok((value, input.parse::<TokenStream>()?.into_iter().count()))
    };
    match parser.parse2(trees.iter().cloned().collect()) {
        Ok((value, rest)) => Ok((value, &trees[trees.len().saturating_sub(rest)..])),
        Err(_) if is_end => Err(None),
        Err(error) => Err(Some(error)),
    }
}

/// An error at the first of `trees`, where a key was expected.
fn expected_key(trees: &[TokenTree]) -> syn::Error {
    let (tokens, found) = first(trees);
    let hint = match &trees[0] {
        tree if is_punct(tree, '#') => return unexpected("a key", trees, tree),
        tree if is_punct(tree, '.') => ": a key that is left out has its default",
        tree if is_group(tree, Delimiter::Brace) => ": leave out these braces",
        TokenTree::Literal(_) => ": digits are grouped by `_`, as in `1_024`",
        _ => "",
    };
    let message = format!("expected a key, as in `depth: 6`, found {found}{hint}");
    syn::Error::new_spanned(tokens, message)
}

/// Words that are written like one, `num-latents`, `num latents` or `num.latents`, as they are written and as the
/// one, `num_latents`.
fn joined(words: &[TokenTree]) -> Option<(String, Ident)> {
    let first = words.first()?;
    let is_joint = |tree: &TokenTree| ['-', '.', ':'].iter().any(|sign| is_punct(tree, *sign));
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

/// Moves to the end of the entry: a comma or semicolon that is not inside brackets.
fn skip_entry(trees: &[TokenTree]) -> &[TokenTree] {
    let is_end = |tree: &TokenTree| is_punct(tree, ',') || is_punct(tree, ';');
    let end = trees.iter().position(is_end).unwrap_or(trees.len());
    &trees[end..]
}

struct Entries<'a> {
    entries: Vec<Entry>,
    /// Signs that are used in place of others: whoever does so does it throughout, and is told once.
    habits: Vec<&'static str>,
    report: &'a mut Report,
}

impl Entries<'_> {
    /// Reads one entry, and gives what is behind it.
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
                self.habit(sign, || syn::Error::new_spanned(written, message));
            }
            let (value, rest) = self.value(&key, &rest[len..]);
            self.entries.push(Entry { docs, key, value });
            return rest;
        }
        let rest = skip_entry(trees);
        self.malformed(&trees[..trees.len() - rest.len()], rest);
        rest
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
                self.habit("\"", || {
                    let message = "expected a key, which has no quotes, as in `depth: 6`";
                    syn::Error::new_spanned(tree, message)
                });
                name(tree)
            }
            _ => None,
        }
    }

    /// Reports a sign in place of another, once.
    fn habit(&mut self, sign: &'static str, error: impl FnOnce() -> syn::Error) {
        if !self.habits.contains(&sign) {
            self.habits.push(sign);
            self.report.push(error());
        }
    }

    /// Reads the value of `key`, and gives what is behind it.
    fn value<'t>(
        &mut self,
        key: &Ident,
        trees: &'t [TokenTree],
    ) -> (Option<Expr>, &'t [TokenTree]) {
        let end = skip_entry(trees);
        let written = &trees[..trees.len() - end.len()];
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
        match expression(trees) {
            Ok((value, rest))
                if skip_entry(rest).len() == rest.len() || starts_with_entry(rest) =>
            {
                (Some(value), rest)
            }
            Ok((_, rest)) => {
                let expected = format!("`,` after the value of `{key}`");
                self.report.push(unexpected(&expected, rest, key));
                (None, skip_entry(rest))
            }
            Err(Some(error)) => {
                let message = format!("`{key}` has a value that cannot be read: {error}");
                self.report.push(syn::Error::new(error.span(), message));
                (None, end)
            }
            Err(None) => {
                let written: TokenStream = written.iter().cloned().collect();
                self.report
                    .error(&written, format!("the value of `{key}` is not complete"));
                (None, end)
            }
        }
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
                let inner = entries(&trees, self.report);
                self.entries.extend(inner);
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
            [.., key] if is_key(key) => (name(key), expected_key(words)),
            _ => match joined(words) {
                Some((shown, name)) if !keys::near(&unraw(&name)).is_empty() => {
                    let written: TokenStream = words.iter().cloned().collect();
                    let message = keys::unknown(&shown, &unraw(&name));
                    let near = keys::near(&unraw(&name));
                    let key = (near.len() == 1).then(|| Ident::new(near[0].name, name.span()));
                    (key, syn::Error::new_spanned(written, message))
                }
                _ => (None, expected_key(words)),
            },
        };
        self.report.push(error);
        self.report.lost |= key.is_none() && !trees.is_empty();
        self.entries.extend(key.map(|key| Entry {
            docs: Vec::new(),
            key,
            value: None,
        }));
    }

    /// Reads the comma behind an entry, and gives what is behind it.
    fn comma<'t>(&mut self, trees: &'t [TokenTree]) -> &'t [TokenTree] {
        match trees {
            [] => trees,
            [sign, rest @ ..] if is_punct(sign, ',') => rest,
            [sign, rest @ ..] if is_punct(sign, ';') => {
                self.habit(";", || unexpected("`,` between two keys", trees, sign));
                rest
            }
            // The next entry.
            _ => {
                if let [key, ..] = skip_attributes(trees) {
                    let message = format!("expected `,` before `{key}`");
                    self.report.error(key, message);
                }
                trees
            }
        }
    }
}
