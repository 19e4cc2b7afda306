//! A declaration as it is written: names, and values that have not been looked at.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
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

impl Declaration {
    /// The declaration of a list of keys alone.
    fn bare(span: Span, entries: Vec<Entry>) -> Self {
        Self {
            attrs: Vec::new(),
            vis: Visibility::Inherited,
            name: Ident::new("Perceiver", Span::call_site()),
            span,
            entries,
        }
    }
}

/// `key: value`.
pub struct Entry {
    /// Documentation of the key, which its constant gets.
    pub docs: Vec<Attribute>,
    pub key: Ident,
    /// `None` where the value could not be read, which has been reported.
    pub value: Option<Expr>,
}

/// Reads the path of the `perceiver` crate, which the outer macro puts in front, and the declaration. One whose
/// name cannot be read is called as the bare list is.
pub fn parse(input: TokenStream, report: &mut Report) -> Option<(TokenStream, Declaration)> {
    let parser = |input: ParseStream| {
        let krate: syn::Path = input.call(syn::Path::parse_mod_style)?;
        input.parse::<Token![;]>()?;
        let declaration = declaration(input, report).unwrap_or_else(|error| {
            report.push(error);
            report.lost = true;
            Declaration::bare(Span::call_site(), Vec::new())
        });
        // What follows an error has nothing more to say.
        let _ = input.parse::<TokenStream>();
        Ok((quote!(#krate), declaration))
    };
    match parser.parse2(input) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            report.push(error);
            None
        }
    }
}

/// The names that the expansion gives to type parameters.
pub const GENERICS: [&str; 8] = ["E", "D", "I", "B", "T", "V", "E2", "D2"];

fn declaration(input: ParseStream, report: &mut Report) -> syn::Result<Declaration> {
    if is_bare(input) {
        let first = input.fork().parse::<TokenTree>();
        let span = first.map_or(Span::call_site(), |tree| tree.span());
        return Ok(Declaration::bare(span, entries(input, report)));
    }

    let attrs = input.call(Attribute::parse_outer)?;
    let vis = input.parse()?;
    let expected = "expected `struct Name { key: value, .. }`";
    let keyword = input.call(Ident::parse_any).map_err(|error| {
        let message = format!("{expected}, or just the keys: `depth: 6, ..`");
        syn::Error::new(error.span(), message)
    })?;
    if keyword != "struct" {
        report.error(&keyword, format!("{expected}, found `{keyword}`"));
        report.lost = true;
    }
    // Without `struct`, what was read may be the name.
    let name: Ident = match input.parse() {
        Ok(name) => name,
        Err(_) if keyword != "struct" => keyword,
        Err(error) => return Err(syn::Error::new(error.span(), "expected the model's name")),
    };
    if input.peek(Token![<]) {
        let generics: syn::Generics = input.parse()?;
        report.error(
            &generics,
            format!("`{name}` is given its generics, `<E = f32, D = Cpu>`: leave them out"),
        );
    }
    let entries = if input.peek(token::Brace) {
        let body;
        braced!(body in input);
        entries(&body, report)
    } else {
        if !report.lost {
            report.push(input.error(format!("expected `{{ key: value, .. }}` after `{name}`")));
        }
        report.lost = true;
        input.parse::<TokenStream>()?;
        Vec::new()
    };
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

/// Whether the declaration is just the keys. Its first key may be documented, so attributes do not decide.
fn is_bare(input: ParseStream) -> bool {
    let ahead = input.fork();
    let _ = ahead.call(Attribute::parse_outer);
    ahead.is_empty() || is_key(&ahead)
}

/// Whether what comes is `key:`, or `key =` or `key =>`.
fn is_key(input: ParseStream) -> bool {
    input.peek(Ident::peek_any)
        && ((input.peek2(Token![:]) && !input.peek2(Token![::]))
            || input.peek2(Token![=])
            || input.peek2(Token![=>]))
}

/// Reads entries to the end; after one that cannot be read, goes on behind the next comma.
fn entries(input: ParseStream, report: &mut Report) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut semicolons = false;
    while !input.is_empty() {
        match entry(input, report) {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                report.push(error);
                report.lost = true;
                skip_to_comma(input);
            }
        }
        if input.is_empty() || input.parse::<Token![,]>().is_ok() {
            continue;
        }
        if input.peek(Token![;]) {
            if !semicolons {
                report.push(input.error("expected `,` between two keys, found `;`"));
            }
            semicolons = true;
            let _ = input.parse::<Token![;]>();
        } else if is_key(input) {
            let key = input.fork().call(Ident::parse_any);
            let key = key.map_or_else(|_| String::new(), |key| key.to_string());
            report.push(input.error(format!("expected `,` before `{key}`")));
        } else {
            report.push(input.error("expected `,` after the value"));
            skip_to_comma(input);
            let _ = input.parse::<Token![,]>();
        }
    }
    entries
}

fn entry(input: ParseStream, report: &mut Report) -> syn::Result<Entry> {
    let mut docs = input.call(Attribute::parse_outer)?;
    docs.retain(|attr| {
        let is_doc = attr.path().is_ident("doc");
        if !is_doc {
            report.error(
                attr,
                "a key can have documentation, but no other attribute".into(),
            );
        }
        is_doc
    });
    if input.peek(syn::LitStr) {
        return Err(input.error("expected a key, which has no quotes, as in `depth: 6`"));
    }
    if !input.peek(Ident::peek_any) {
        return Err(input.error("expected a key, as in `depth: 6`"));
    }
    let key = input.call(Ident::parse_any)?;
    if input.peek(Token![=>]) {
        report.push(input.error(format!("expected `:`, as in `{key}: value`")));
        input.parse::<Token![=>]>()?;
    } else if input.peek(Token![=]) {
        report.push(input.error(format!("expected `:`, as in `{key}: value`")));
        input.parse::<Token![=]>()?;
    } else if input.peek(Token![:]) {
        input.parse::<Token![:]>()?;
    } else {
        skip_to_comma(input);
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
            let message = format!("`{key}` has a value that cannot be read: {error}");
            report.push(syn::Error::new(error.span(), message));
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

/// The source of an expression, on one line. Token streams print with a space around every token, which
/// for the values of keys is a few too many.
pub fn source(expr: &impl ToTokens) -> String {
    expr.to_token_stream()
        .to_string()
        .replace("- ", "-")
        .replace(" ,", ",")
        .replace(" :: ", "::")
}
