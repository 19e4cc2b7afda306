//! A declaration as it is written: names, and values that have not been looked at.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Attribute, Expr, Ident, Token, Visibility, braced, token};

use crate::report::Report;

/// `perceiver! { .. }`, named or bare.
pub struct Declaration {
    pub attrs: Vec<Attribute>,
    pub vis: Visibility,
    pub name: Ident,
    /// Where to say what is missing.
    pub span: Span,
    pub entries: Vec<Entry>,
}

/// `key: value`.
pub struct Entry {
    /// Documentation of the key, which its constant gets.
    pub docs: Vec<Attribute>,
    pub key: Ident,
    /// `None` where the value could not be read, which has been reported.
    pub value: Option<Expr>,
}

/// Reads the path of the `perceiver` crate, which the outer macro puts in front, and the declaration.
pub fn parse(input: TokenStream, report: &mut Report) -> Option<(TokenStream, Declaration)> {
    let parser = |input: ParseStream| {
        let krate: syn::Path = input.call(syn::Path::parse_mod_style)?;
        input.parse::<Token![;]>()?;
        let declaration = declaration(input, report)?;
        Ok((quote::quote!(#krate), declaration))
    };
    match parser.parse2(input) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            report.push(error);
            None
        }
    }
}

fn declaration(input: ParseStream, report: &mut Report) -> syn::Result<Declaration> {
    // A bare list may start with a documented key, so attributes do not decide.
    let ahead = input.fork();
    let _ = ahead.call(Attribute::parse_outer);
    if ahead.is_empty() || (ahead.peek(Ident::peek_any) && is_key(&ahead)) {
        let span = input
            .fork()
            .parse::<TokenTree>()
            .map_or(Span::call_site(), |tree| tree.span());
        return Ok(Declaration {
            attrs: Vec::new(),
            vis: Visibility::Inherited,
            name: Ident::new("Perceiver", Span::call_site()),
            span,
            entries: entries(input, report),
        });
    }

    let attrs = input.call(Attribute::parse_outer)?;
    let vis = input.parse()?;
    if !input.peek(Token![struct]) {
        return Err(input
            .error("expected `struct Name { key: value, .. }`, or just the keys: `depth: 6, ..`"));
    }
    input.parse::<Token![struct]>()?;
    let name: Ident = input.parse()?;
    if input.peek(Token![<]) {
        let generics: syn::Generics = input.parse()?;
        report.error(
            &generics,
            format!("`{name}` is given its generics, `<E = f32, D = Cpu>`: leave them out"),
        );
    }
    if !input.peek(token::Brace) {
        return Err(input.error(format!(
            "expected `{{ key: value, .. }}` after `struct {name}`"
        )));
    }
    let body;
    braced!(body in input);
    let entries = entries(&body, report);
    if !input.is_empty() {
        let rest: TokenStream = input.parse()?;
        report.error(
            &rest,
            "one `perceiver!` declares one model: nothing may follow it".into(),
        );
    }
    Ok(Declaration {
        attrs,
        vis,
        span: name.span(),
        name,
        entries,
    })
}

/// Whether what comes is `key:` or `key =`.
fn is_key(input: ParseStream) -> bool {
    (input.peek2(Token![:]) && !input.peek2(Token![::])) || input.peek2(Token![=])
}

/// Reads entries to the end; after one that cannot be read, goes on behind the next comma.
fn entries(input: ParseStream, report: &mut Report) -> Vec<Entry> {
    let mut entries = Vec::new();
    while !input.is_empty() {
        match entry(input, report) {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                report.push(error);
                skip_to_comma(input);
            }
        }
        if input.is_empty() || input.parse::<Token![,]>().is_ok() {
            continue;
        }
        let found = input.cursor().token_tree().map(|(tree, _)| tree);
        report.push(input.error("expected `,` between two keys"));
        // A key without a comma before it is still a key; anything else belongs to the value.
        if !(matches!(found, Some(TokenTree::Ident(_))) && is_key(input)) {
            skip_to_comma(input);
            let _ = input.parse::<Token![,]>();
        }
    }
    entries
}

fn entry(input: ParseStream, report: &mut Report) -> syn::Result<Entry> {
    let docs = input.call(Attribute::parse_outer)?;
    for attr in docs.iter().filter(|attr| !attr.path().is_ident("doc")) {
        report.error(
            attr,
            "a key can have documentation, but no other attribute".into(),
        );
    }
    if !input.peek(Ident::peek_any) {
        return Err(input.error("expected a key, as in `depth: 6`"));
    }
    let key = input.call(Ident::parse_any)?;
    if input.peek(Token![=]) {
        report.push(input.error(format!("expected `:`, as in `{key}: value`")));
        input.parse::<Token![=]>()?;
    } else if input.is_empty() || !input.peek(Token![:]) {
        report.error(&key, format!("`{key}` has no value: write `{key}: value`"));
        return Ok(Entry {
            docs,
            key,
            value: None,
        });
    } else {
        input.parse::<Token![:]>()?;
    }
    if input.is_empty() || input.peek(Token![,]) {
        report.error(&key, format!("`{key}` has no value: write `{key}: value`"));
        return Ok(Entry {
            docs,
            key,
            value: None,
        });
    }
    let value = match Expr::parse(input) {
        Ok(value) => Some(value),
        Err(error) => {
            report.push(error);
            skip_to_comma(input);
            None
        }
    };
    Ok(Entry { docs, key, value })
}

/// Moves to the next comma that is not inside brackets, or to the end.
fn skip_to_comma(input: ParseStream) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _ = input.parse::<TokenTree>();
    }
}
