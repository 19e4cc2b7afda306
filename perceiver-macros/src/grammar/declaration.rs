//! One declaration: what stands before its body, and the entries in it.

use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Token, Visibility};

use super::Declaration;
use super::entry::entries;
use super::tokens::{is_group, is_punct, is_type, next_entry, unexpected};
use crate::messages;
use crate::report::Report;

/// Whether this is a list of keys without a `struct` around it.
pub fn is_bare(trees: &[TokenTree]) -> bool {
    let is_struct = |tree: &TokenTree| matches!(tree, TokenTree::Ident(word) if word == "struct");
    !trees.iter().any(is_struct) && next_entry(trees).is_some()
}

pub fn bare(trees: &[TokenTree]) -> Declaration {
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
pub fn declaration<'a>(
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
