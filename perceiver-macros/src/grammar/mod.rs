//! From tokens to declarations: names, keys and values that nobody has looked at yet. Knows no key.
//!
//! After a mistake, reading goes on at the next `,` or at the next `key:`.

mod declaration;
mod entry;
mod tokens;
mod value;

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Expr, Visibility};

use crate::messages;
use crate::report::Report;
use declaration::{bare, declaration, is_bare};
use tokens::first;

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
