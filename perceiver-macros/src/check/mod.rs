//! From what is written to a model that can be expanded: every key known, every literal in range.

mod cycles;
mod value;

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Expr, Ident};

use crate::ast::{Declaration, Entry, source};
use crate::keys::{self, Default, KEYS, Key, Kind};
use crate::report::Report;

/// The values of a declaration's keys, by name. A key that was left out has its default, one that was
/// wrong a value with which the rest can still be expanded.
pub struct Values {
    keys: BTreeMap<&'static str, Value>,
    /// Whether the declaration has an error, so that its counts are not to be relied on.
    pub poisoned: bool,
    /// Whether what is around the values has an error, so that they may have been meant to see more than they do.
    pub doubtful: bool,
}

/// The value of one key.
pub struct Value {
    /// The constant's value.
    pub tokens: TokenStream,
    /// The elements, of an array.
    pub shape: Vec<Expr>,
    /// The value as it is written.
    pub written: TokenStream,
    /// What of it the macro can read.
    pub read: Read,
    /// Documentation from the declaration.
    pub docs: Vec<Attribute>,
}

/// What the macro can read of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Read {
    /// A count that is written as a number.
    Count(u64),
    /// A flag that is written out.
    Flag(bool),
    /// Something else that is written out.
    Literal,
    /// What only the compiler can tell.
    Opaque,
}

impl Value {
    /// Whether only the compiler can tell what it is.
    pub fn is_opaque(&self) -> bool {
        self.read == Read::Opaque
    }
}

impl Values {
    /// The value of the key `name`, which is one of the table's.
    pub fn get(&self, name: &str) -> &Value {
        &self.keys[name]
    }

    /// Whether the flag `name` is, as far as the macro can see, `false`.
    pub fn is_off(&self, name: &str) -> bool {
        self.get(name).read == Read::Flag(false)
    }

    /// The count `name`, if it is written as a number and nothing is wrong.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.get(name).read {
            Read::Count(count) if !self.poisoned => Some(count),
            _ => None,
        }
    }

    /// Whether there are parentheses or braces around a value, for which lints would see no need.
    pub fn has_groups(&self) -> bool {
        let is_group = |written: &TokenStream| {
            let first = written.clone().into_iter().next();
            matches!(first, Some(TokenTree::Group(_)))
        };
        let sizes = |value: &Value| {
            value
                .shape
                .iter()
                .any(|size| is_group(&size.to_token_stream()))
        };
        self.keys
            .values()
            .any(|value| value.is_opaque() && (is_group(&value.written) || sizes(value)))
    }

    /// The number of axes in `input_shape`, if it is given.
    pub fn axes(&self) -> Option<usize> {
        self.get("input_shape").shape.len().checked_sub(1)
    }

    /// A size in `input_shape`, if it is written as a number.
    pub fn size(&self, index: usize) -> Option<TokenStream> {
        let size = self.get("input_shape").shape.get(index)?;
        matches!(size, Expr::Lit(_)).then(|| size.to_token_stream())
    }
}

/// Checks every entry of `declaration` and fills in what it leaves out.
pub fn check(declaration: &Declaration, report: &mut Report) -> Values {
    let mut values = BTreeMap::new();
    let mut written: BTreeMap<&str, &Entry> = BTreeMap::new();
    // What a misspelt key was meant to be is not missing.
    let mut meant = Vec::new();
    for entry in &declaration.entries {
        let name = entry.key.unraw().to_string();
        let Some(key) = keys::find(&name) else {
            let near = keys::near(&name);
            report.error(&entry.key, keys::unknown(&name, &near));
            meant.extend(near.iter().map(|key| key.name));
            continue;
        };
        if written.insert(key.name, entry).is_some() {
            report.error(&entry.key, format!("`{name}` is given twice"));
            continue;
        }
        let Some(expr) = &entry.value else { continue };
        let expr = &of_the_model(expr, &declaration.name);
        match value::read(key, expr) {
            Ok(value) => {
                let docs = entry.docs.clone();
                values.insert(key.name, Value { docs, ..value });
            }
            Err(error) => report.push(error),
        }
    }
    conflicts(&written, report);
    cycles::remove(&declaration.name, &mut values, report);

    // As long as the flag is wrong, it may be meant to be off.
    let encodes = match values.get("fourier_encode_data") {
        Some(flag) => flag.read == Read::Flag(true),
        None => {
            !written.contains_key("fourier_encode_data") && !meant.contains(&"fourier_encode_data")
        }
    };
    for key in KEYS {
        let required = match key.default {
            Default::Required => true,
            Default::RequiredToEncode => encodes,
            Default::Value(_) | Default::Absent => false,
        };
        let given = written.contains_key(key.name) || meant.contains(&key.name);
        if required && !given && !report.lost {
            report.push(syn::Error::new(
                declaration.span,
                format!("`{}` is missing: the {}", key.name, key.doc),
            ));
        }
        values.entry(key.name).or_insert_with(|| fallback(key));
    }
    Values {
        keys: values,
        poisoned: !report.is_empty(),
        doubtful: declaration.is_wrong,
    }
}

/// A value with the model's name in place of `Self`, since constants inside of it will not know that.
fn of_the_model(expr: &Expr, model: &Ident) -> Expr {
    syn::parse2(named(expr.to_token_stream(), model)).unwrap_or_else(|_| expr.clone())
}

/// `tokens` with `model` in place of `Self`, but where `Self` is something else: in an `impl` or a `trait`.
fn named(tokens: TokenStream, model: &Ident) -> TokenStream {
    let mut is_item = false;
    let trees = tokens.into_iter().map(|tree| match tree {
        TokenTree::Ident(word) if word == "Self" => {
            let mut name = model.clone();
            name.set_span(word.span());
            TokenTree::Ident(name)
        }
        TokenTree::Ident(word) if word == "impl" || word == "trait" => {
            is_item = true;
            TokenTree::Ident(word)
        }
        TokenTree::Group(group) => {
            let is_body = group.delimiter() == Delimiter::Brace;
            if is_body && std::mem::take(&mut is_item) {
                return TokenTree::Group(group);
            }
            let mut inner = Group::new(group.delimiter(), named(group.stream(), model));
            inner.set_span(group.span());
            TokenTree::Group(inner)
        }
        tree => tree,
    });
    trees.collect()
}

/// Reports keys that say the same thing twice.
fn conflicts(written: &BTreeMap<&str, &Entry>, report: &mut Report) {
    let Some(shape) = written.get("input_shape") else {
        return;
    };
    let also: Vec<_> = ["input_axis", "input_channels"]
        .into_iter()
        .filter_map(|name| written.get(name))
        .collect();
    if let Some(first) = also.first() {
        let names: Vec<_> = also
            .iter()
            .map(|entry| format!("`{}`", entry.key))
            .collect();
        let written = shape.value.as_ref().map(source).unwrap_or_default();
        let sizes = shape.value.as_ref().map(value::array).unwrap_or_default();
        let says = match &sizes[..] {
            [axes @ .., channels] if !axes.is_empty() => format!(
                "says this already, {} {} and {} channels",
                axes.len(),
                if axes.len() == 1 { "axis" } else { "axes" },
                source(channels)
            ),
            _ => "says this already".into(),
        };
        let message = format!(
            "`input_shape: {written}` {says}: leave out {}",
            names.join(" and ")
        );
        report.error(&first.key, message);
    }
}

/// What stands in for a key that is absent or wrong.
fn fallback(key: &Key) -> Value {
    let literal = match (key.default, key.kind) {
        (Default::Value(literal), _) => literal,
        (Default::Absent, _) => "::core::option::Option::None",
        (Default::RequiredToEncode, Kind::Count { .. }) => "0",
        (Default::RequiredToEncode, _) => "0.0",
        (Default::Required, _) => "1",
    };
    Value {
        tokens: literal.parse().unwrap_or_default(),
        shape: Vec::new(),
        written: TokenStream::new(),
        read: match (literal.parse(), literal.parse()) {
            (Ok(count), _) => Read::Count(count),
            (_, Ok(flag)) => Read::Flag(flag),
            _ => Read::Literal,
        },
        docs: Vec::new(),
    }
}
