//! The keys and their values.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Attribute, Expr, Ident};

use super::key::{expected_key, is_key, joined, separator, starts_with_entry, starts_with_key};
use super::tokens::{attributes, is_joint, is_punct, name, skip_attributes, unexpected, unraw};
use super::{Entry, holds_entries};
use crate::keys;
use crate::report::Report;

/// Reads entries to the end.
pub fn entries(trees: &[TokenTree], report: &mut Report) -> Vec<Entry> {
    let mut entries = Entries::new(report);
    let mut rest = trees;
    while !rest.is_empty() {
        rest = entries.entry(rest);
    }
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

/// Reads an expression, and gives what is behind it.
fn expression(trees: &[TokenTree]) -> syn::Result<(Expr, &[TokenTree])> {
    let parser = |input: ParseStream| {
        let value = Expr::parse(input)?;
        Ok((value, input.parse::<TokenStream>()?.into_iter().count()))
    };
    let (value, rest) = parser.parse2(trees.iter().cloned().collect())?;
    Ok((value, &trees[trees.len().saturating_sub(rest)..]))
}

/// Whether one more word makes an expression of `trees`.
fn is_begun(trees: &[TokenTree]) -> bool {
    let word = TokenTree::Ident(Ident::new("word", Span::call_site()));
    let whole = trees.iter().chain([&word]).cloned().collect();
    syn::parse2::<Expr>(whole).is_ok()
}

/// Moves to the end of the entry: a comma or semicolon that is not inside brackets.
fn skip_entry(trees: &[TokenTree]) -> &[TokenTree] {
    let is_end = |tree: &TokenTree| is_punct(tree, ',') || is_punct(tree, ';');
    let end = trees.iter().position(is_end).unwrap_or(trees.len());
    &trees[end..]
}

/// How many tokens follow that can only belong to the value before them: `, 8, 3` behind `8`.
fn more_values(trees: &[TokenTree]) -> usize {
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

struct Entries<'a> {
    entries: Vec<Entry>,
    /// Whether a sign, a quote or a word has been reported that belongs to another language. Whoever writes one
    /// does so throughout, and is told once.
    speaks_another_language: bool,
    report: &'a mut Report,
}

impl<'a> Entries<'a> {
    fn new(report: &'a mut Report) -> Self {
        Self {
            entries: Vec::new(),
            speaks_another_language: false,
            report,
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
            self.entries.push(Entry { docs, key, value });
            return self.comma(rest);
        }
        let rest = skip_entry(trees);
        self.malformed(&trees[..trees.len() - rest.len()], rest);
        rest.get(1..).unwrap_or_default()
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
            Ok((Expr::Assign(assign), rest)) => {
                let message = format!("`{key}` is given no type: write `{key}: value`");
                self.foreign(syn::Error::new_spanned(assign.left, message));
                (None, skip_entry(rest))
            }
            Ok((value, rest))
                if skip_entry(rest).len() == rest.len() || starts_with_entry(rest) =>
            {
                let more = more_values(rest);
                if more == 0 {
                    return (Some(value), rest);
                }
                let (more, rest) = rest.split_at(more);
                let values: TokenStream = written.iter().chain(more).cloned().collect();
                let message = format!(
                    "`{key}` has more than one value: sizes are in brackets, as in `[224, 224, 3]`, digits are \
                     grouped by `_`, as in `1_024`, and a fraction is behind a `.`"
                );
                self.report.error(&values, message);
                (None, rest)
            }
            Ok((_, rest)) => {
                let expected = format!("`,` after the value of `{key}`");
                self.report.push(unexpected(&expected, rest, key));
                (None, skip_entry(rest))
            }
            Err(_) if is_begun(written) => {
                let written: TokenStream = written.iter().cloned().collect();
                self.report
                    .error(&written, format!("the value of `{key}` is not complete"));
                (None, end)
            }
            Err(error) => {
                let message = format!("`{key}` has a value that cannot be read: {error}");
                self.report.push(syn::Error::new(error.span(), message));
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
        match words {
            [.., _, last] if is_key(last) => self.foreign(error),
            _ => self.report.push(error),
        }
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
            [sign, rest @ ..] if is_punct(sign, ',') => rest,
            [sign, rest @ ..] if is_punct(sign, ';') => {
                self.foreign(unexpected("`,` between two keys", trees, sign));
                rest
            }
            _ => {
                // The next entry, if there is one.
                if let [key, ..] = skip_attributes(trees) {
                    let message = format!("expected `,` before `{key}`");
                    self.foreign(syn::Error::new_spanned(key, message));
                }
                trees
            }
        }
    }
}
