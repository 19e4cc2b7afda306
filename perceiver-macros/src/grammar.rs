//! From tokens to declarations: names, keys and values that nobody has looked at yet. Knows no key.
//!
//! After a mistake, reading goes on at the next `,` or at the next `key:`.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Expr, Token, Visibility};

use crate::messages;
use crate::report::Report;

/// One `struct Name { key: value, .. }`, or a bare list of keys.
pub struct Declaration {
    pub attrs: Vec<Attribute>,
    pub vis: Visibility,
    pub name: Ident,
    /// Where `struct` is, if it is written.
    pub keyword: Option<Span>,
    /// Where generated code is shown. Not at a word, which rust-analyzer would resolve to that code.
    pub place: Span,
    pub entries: Vec<Entry>,
    pub report: Report,
}

/// `key: value`.
pub struct Entry {
    /// The key's documentation, which its constant gets, or else the struct.
    pub docs: Vec<Attribute>,
    pub key: Ident,
    /// `None` where the value could not be read, which has been reported.
    pub value: Option<Value>,
}

/// The value of a key.
pub enum Value {
    Expr(Expr),
    /// `Name { key: value, .. }`.
    Struct(Ident, Vec<Entry>, Group),
}

impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Expr(expr) => expr.to_tokens(tokens),
            Self::Struct(name, _, group) => {
                name.to_tokens(tokens);
                group.to_tokens(tokens);
            }
        }
    }
}

/// How deep brackets may be nested. Deeper ones could overflow the stack of whoever parses them.
const MAX_DEPTH: usize = 64;
/// How many tokens a value may have, for the same reason: `- - - 1` is nested too.
const MAX_TOKENS: usize = 1024;

/// Reads all declarations. The report has what belongs to none of them.
pub fn parse(trees: &[TokenTree]) -> (Vec<Declaration>, Report) {
    let mut report = Report::default();
    let mut declarations = Vec::new();
    let mut rest = trees;
    if let Some(deep) = trees.iter().position(|tree| depth(tree, MAX_DEPTH).is_none()) {
        report.error(&first(&trees[deep..]).0, messages::TOO_DEEP.into());
    } else if trees.is_empty() {
        report.push(syn::Error::new(Span::call_site(), messages::EMPTY));
    } else if is_bare(trees) {
        declarations.push(bare(trees));
    } else {
        while !rest.is_empty() {
            rest = declaration(rest, &mut declarations, &mut report);
        }
    }
    (declarations, report)
}

/// How deep the brackets of `tree` are nested, if not deeper than `max`.
fn depth(tree: &TokenTree, max: usize) -> Option<usize> {
    let TokenTree::Group(group) = tree else {
        return Some(0);
    };
    let max = max.checked_sub(1)?;
    let mut inner = group.stream().into_iter().map(|tree| depth(&tree, max));
    inner.try_fold(0, |deepest, depth| Some(deepest.max(depth? + 1)))
}

/// Whether this is a list of keys without a `struct` around it.
fn is_bare(trees: &[TokenTree]) -> bool {
    let is_struct = |tree: &TokenTree| matches!(tree, TokenTree::Ident(word) if word == "struct");
    !trees.iter().any(is_struct) && next_entry(trees).is_some()
}

fn bare(trees: &[TokenTree]) -> Declaration {
    let mut report = Report::default();
    let (name, entries) = match &trees[0] {
        // A name without a `struct` before it. That is the mistake, whatever else there is.
        TokenTree::Ident(name) if is_type(name) => {
            report.push(unexpected(messages::EXPECTED_STRUCT, trees));
            report.lost = true;
            (name.clone(), Vec::new())
        }
        _ => (Ident::new("Perceiver", Span::call_site()), entries(trees, &mut report)),
    };
    Declaration {
        attrs: Vec::new(),
        vis: Visibility::Inherited,
        name,
        keyword: None,
        place: Span::call_site(),
        entries,
        report,
    }
}

/// Reads the declaration that `trees` begin with, and returns what follows it.
fn declaration<'a>(
    trees: &'a [TokenTree],
    declarations: &mut Vec<Declaration>,
    outside: &mut Report,
) -> &'a [TokenTree] {
    let body = trees.iter().position(|tree| is_group(tree, Delimiter::Brace));
    let (header, rest) = trees.split_at(body.unwrap_or(trees.len()));
    let (body, mut rest) = rest.split_at(rest.len().min(1));
    let mut report = Report::default();
    let parser = |input: ParseStream| Header::parse(input, body.first(), &mut report);
    let header = match parser.parse2(header.iter().cloned().collect()) {
        Ok(header) => header,
        Err(error) => {
            outside.push(error);
            return rest;
        }
    };
    let Header { attrs, vis, keyword, name } = header;
    let (entries, place) = match body {
        [TokenTree::Group(group)] => {
            let trees: Vec<_> = group.stream().into_iter().collect();
            (entries(&trees, &mut report), group.span_open())
        }
        _ => (Vec::new(), name.span()),
    };
    report.lost |= body.is_empty();
    if let [semicolon, behind @ ..] = rest
        && is_punct(semicolon, ';')
        && !body.is_empty()
    {
        report.error(semicolon, messages::SEMICOLON.into());
        rest = behind;
    }
    declarations.push(Declaration { attrs, vis, name, keyword, place, entries, report });
    rest
}

/// What stands before the body of a declaration.
struct Header {
    attrs: Vec<Attribute>,
    vis: Visibility,
    keyword: Option<Span>,
    name: Ident,
}

impl Header {
    /// Reads all of `input`, which `body` follows. An error if there is no name.
    fn parse(
        input: ParseStream,
        body: Option<&TokenTree>,
        report: &mut Report,
    ) -> syn::Result<Self> {
        while input.peek(Token![#]) && input.peek2(Token![!]) {
            for attr in input.call(Attribute::parse_inner)? {
                report.error(&attr, messages::INNER_ATTRIBUTE.into());
            }
        }
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let unexpected = |expected: &str, input: ParseStream| {
            let rest: TokenStream = input.parse().unwrap_or_default();
            let rest: Vec<_> = rest.into_iter().chain(body.cloned()).collect();
            unexpected(expected, &rest)
        };
        if !input.peek(Token![struct]) {
            // With the name that was meant, its uses are no errors too.
            let words = input.fork().parse::<TokenStream>()?.into_iter();
            let name = words.filter_map(|tree| match tree {
                TokenTree::Ident(word) if is_type(&word) => Some(word),
                _ => None,
            });
            let name = name.last();
            let error = unexpected(messages::EXPECTED_STRUCT, input);
            let Some(name) = name.filter(|_| body.is_some()) else {
                return Err(error);
            };
            report.push(error);
            return Ok(Self { attrs, vis, keyword: None, name });
        }
        let keyword: Token![struct] = input.parse()?;
        let Ok(name) = input.fork().parse::<Ident>() else {
            return Err(match input.is_empty() && body.is_none() {
                true => syn::Error::new_spanned(keyword, messages::EXPECTED_NAME),
                false => unexpected(messages::EXPECTED_NAME, input),
            });
        };
        input.call(Ident::parse_any)?;
        if input.peek(Token![<]) {
            let generics: TokenStream = input.parse()?;
            report.error(&generics, messages::generics(&name));
        } else if !input.is_empty() {
            report.push(unexpected(&messages::expected_body(&name), input));
        } else if body.is_none() {
            report.error(&name, messages::expected_body(&name));
        }
        let keyword = Some(keyword.span);
        Ok(Self { attrs, vis, keyword, name })
    }
}

/// Reads entries to the end.
fn entries(trees: &[TokenTree], report: &mut Report) -> Vec<Entry> {
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

/// Reads the value of `key` from `trees`, which end before the next key. Returns it and how many tokens were read; those
/// that are left begin with a `,` or a `;`.
fn value(key: &Ident, trees: &[TokenTree], report: &mut Report) -> (Option<Value>, usize) {
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

/// What is before the next `,` or the next key.
fn skip(trees: &[TokenTree]) -> &[TokenTree] {
    let comma = trees.iter().position(is_separator);
    let end = comma.map_or(trees.len(), |index| index + 1);
    let entry = next_entry(&trees[end.min(1)..end]).map(|index| index + 1);
    &trees[entry.unwrap_or(end)..]
}

/// Where the next `key:` begins, its documentation not included.
fn next_entry(trees: &[TokenTree]) -> Option<usize> {
    (0..trees.len()).find(|&i| {
        // The label of a loop and the parameter of a closure have a `:` too.
        let is_other = i > 0 && (is_punct(&trees[i - 1], '\'') || is_punct(&trees[i - 1], '|'));
        !is_other && is_entry(&trees[i..])
    })
}

/// Whether `trees` begin with `key:`.
fn is_entry(trees: &[TokenTree]) -> bool {
    match trees {
        [TokenTree::Ident(_), colon, rest @ ..] if is_punct(colon, ':') => {
            let is_path = is_joint(colon) && rest.first().is_some_and(|tree| is_punct(tree, ':'));
            !is_path
        }
        _ => false,
    }
}

/// How many tokens of a `:`, or of an `=` or `=>` in its place, `trees` begin with.
fn separator(trees: &[TokenTree]) -> usize {
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

fn is_separator(tree: &TokenTree) -> bool {
    is_punct(tree, ',') || is_punct(tree, ';')
}

fn is_punct(tree: &TokenTree, char: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == char)
}

/// Whether another sign follows this one without a space.
fn is_joint(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.spacing() == proc_macro2::Spacing::Joint)
}

fn is_group(tree: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == delimiter)
}

/// Whether this is neither a keyword nor `_`.
fn is_name(word: &Ident) -> bool {
    syn::parse2::<Ident>(word.to_token_stream()).is_ok()
}

/// Whether this is written like the name of a type that could be declared: `Self` could not.
fn is_type(word: &Ident) -> bool {
    let text = word.unraw().to_string();
    text.starts_with(char::is_uppercase) && text.contains(char::is_lowercase) && is_name(word)
}

/// An error at the first of `trees`, where something else was expected.
fn unexpected(expected: &str, trees: &[TokenTree]) -> syn::Error {
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
fn first(trees: &[TokenTree]) -> (TokenStream, String) {
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
