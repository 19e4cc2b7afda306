//! A declaration as it is written: names, and values that have not been looked at.
//!
//! ```text
//! declaration = attribute* visibility `struct` name `{` entries `}`    (header)
//!             | entry (`,` entry)* `,`?
//! entries     = (entry (`,` entry)* `,`?)?                             (entries)
//! entry       = documentation* key `:` value
//! ```
//!
//! What does not fit is reported once, where it begins. A header is then skipped up to its body, an entry up to
//! its comma, and what can be guessed of them is kept: the less is lost, the fewer errors follow from the first.

mod derive;
mod entries;
mod extent;
mod header;
mod key;
mod source;
mod tokens;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::{Attribute, Expr, Ident, Visibility};

use crate::report::Report;
use key::{is_key, starts_with_entry, starts_with_key};
use tokens::is_word;

pub use derive::derived;
pub use source::source;
pub use tokens::is_punct;

/// `perceiver! { .. }`, named or bare.
pub struct Declaration {
    pub attrs: Vec<Attribute>,
    pub vis: Visibility,
    /// Where `struct` is written.
    pub keyword: Option<Span>,
    pub name: Ident,
    /// Where to say what is missing.
    pub span: Span,
    /// Where to show what is not written: at the `{`. At a word, rust-analyzer would take all of it for that word.
    pub place: Span,
    pub entries: Vec<Entry>,
    /// The words that stand where a key does, also half-written ones.
    pub words: Vec<Ident>,
    /// Whether what is around the entries is wrong.
    pub is_wrong: bool,
    /// Other declarations in the same place, which is an error; what uses them is not another.
    pub behind: Vec<Declaration>,
}

impl Declaration {
    /// The conditions under which there is a model at all.
    pub fn cfgs(&self) -> TokenStream {
        let cfgs = self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        quote!(#(#cfgs)*)
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

/// The names that the expansion gives to type parameters, and to what it is made of.
pub const TAKEN: [&str; 7] = ["E", "D", "I", "V", "E2", "D2", "__"];

/// Reads the path of the `perceiver` crate, which the outer macro puts in front with a `;`, and the declaration.
pub fn parse(input: TokenStream, report: &mut Report) -> (TokenStream, Declaration) {
    let mut trees = input.into_iter();
    let krate = trees
        .by_ref()
        .take_while(|tree| !is_punct(tree, ';'))
        .collect();
    (krate, declaration(trees.collect(), report))
}

fn declaration(trees: Vec<TokenTree>, report: &mut Report) -> Declaration {
    let name = name_in_front(&trees);
    if name.is_none() && !is_bare(&trees) {
        return header::named(trees, report);
    }
    let first = trees.first();
    if first.is_none() {
        let message = "nothing is declared: write `struct Name { key: value, .. }`";
        report.push(syn::Error::new(Span::call_site(), message));
        report.lost = true;
    }
    let is_wrong = name.is_some();
    let (name, entries) = match name {
        Some((name, len)) => {
            let expected = format!("`struct {name} {{ key: value, .. }}`");
            report.push(tokens::unexpected(&expected, &trees, &name));
            report.lost = true;
            let entries = report.quietly(|report| entries::entries(&trees[len..], report));
            (name, entries)
        }
        None => (unnamed(), entries::entries(&trees, report)),
    };
    Declaration {
        attrs: Vec::new(),
        vis: Visibility::Inherited,
        keyword: None,
        name,
        span: first.map_or_else(Span::call_site, TokenTree::span),
        place: Span::call_site(),
        entries,
        words: entries::words(&trees),
        is_wrong,
        behind: Vec::new(),
    }
}

/// What a model is called that is not given a name.
fn unnamed() -> Ident {
    Ident::new("Perceiver", Span::call_site())
}

/// The name of a model that is written in front of its keys, as in `Model, depth: 6`, and how many tokens it has.
fn name_in_front(trees: &[TokenTree]) -> Option<(Ident, usize)> {
    let (first, rest) = trees.split_first()?;
    let inner: Vec<_> = match first {
        TokenTree::Group(group) => group.stream().into_iter().collect(),
        word => vec![word.clone()],
    };
    let [word] = &inner[..] else {
        return None;
    };
    let name = tokens::name(word).filter(|name| !is_key(word) && tokens::is_type(name))?;
    let len = match rest {
        [sign, ..] if is_punct(sign, ',') || is_punct(sign, ';') => 2,
        [sign, rest @ ..] if is_punct(sign, ':') && starts_with_entry(rest) => 2,
        rest if starts_with_entry(rest) => 1,
        _ => return None,
    };
    Some((name, len))
}

/// Whether the declaration is just the keys, also if some of them are wrong.
fn is_bare(trees: &[TokenTree]) -> bool {
    let mut regions = trees.split(|tree| is_punct(tree, ','));
    // `split` gives at least one part.
    let first = tokens::skip_attributes(regions.next().unwrap_or_default());
    if trees.is_empty() || first.iter().any(|tree| is_word(tree, "struct")) {
        return trees.is_empty();
    }
    let is_named = || first.iter().any(holds_entries);
    starts_with_key(first)
        || !is_named() && (starts_with_entry(first) || regions.any(starts_with_entry))
}

/// Whether this is a group of entries, as the body of a named declaration is, whatever its brackets are.
fn holds_entries(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else {
        return false;
    };
    let trees: Vec<_> = group.stream().into_iter().collect();
    let mut regions = trees.split(|tree| is_punct(tree, ','));
    regions.any(|region| starts_with_entry(tokens::skip_attributes(region)))
}
