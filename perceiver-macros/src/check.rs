//! From what is written to a model that can be expanded: every key known, every literal in range.

use std::collections::BTreeMap;

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Lit, UnOp};

use crate::ast::{Declaration, Entry, source};
use crate::keys::{self, Default, KEYS, Key, Kind};
use crate::report::Report;

/// The values of a declaration's keys, by name. A key that was left out has its default, one that was
/// wrong a value with which the rest can still be expanded.
pub struct Values {
    keys: BTreeMap<&'static str, Value>,
    /// Whether the declaration has an error, so that its counts are not to be relied on.
    pub poisoned: bool,
}

/// The value of one key.
pub struct Value {
    /// The constant's value.
    pub tokens: TokenStream,
    /// The elements, of an array.
    shape: Vec<Expr>,
    /// Where the value is written.
    pub span: Span,
    /// Whether only the compiler can tell what it is.
    pub opaque: bool,
    /// Documentation from the declaration.
    pub docs: Vec<Attribute>,
}

impl Values {
    /// The value of the key `name`, which is one of the table's.
    pub fn get(&self, name: &str) -> &Value {
        &self.keys[name]
    }

    /// Whether the flag `name` is, as far as the macro can see, `false`.
    pub fn is_off(&self, name: &str) -> bool {
        self.get(name).tokens.to_string() == "false"
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
            report.error(&entry.key, keys::unknown(&name, &name));
            meant.extend(keys::near(&name).iter().map(|key| key.name));
            continue;
        };
        if written.insert(key.name, entry).is_some() {
            report.error(&entry.key, format!("`{name}` is given twice"));
            continue;
        }
        if let Some(expr) = &entry.value
            && let Some(value) = read(key, expr, report)
        {
            let docs = entry.docs.clone();
            values.insert(key.name, Value { docs, ..value });
        }
    }
    conflicts(&written, report);

    let encodes = written
        .get("fourier_encode_data")
        .and_then(|entry| entry.value.as_ref())
        .is_none_or(|value| source(strip(value)) != "false");
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
    }
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
        let shape = shape.value.as_ref().map(source).unwrap_or_default();
        report.error(
            &first.key,
            format!(
                "`input_shape: {shape}` says this already: leave out {}",
                names.join(" and ")
            ),
        );
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
        span: Span::call_site(),
        opaque: false,
        docs: Vec::new(),
    }
}

/// Reads a value, as far as it is literal.
fn read(key: &Key, expr: &Expr, report: &mut Report) -> Option<Value> {
    let checked = match key.kind {
        Kind::Shape => shape(expr),
        kind => scalar(kind, expr),
    };
    match checked {
        Ok(Checked { opaque: true, .. }) if key.structural() => {
            report.error(
                expr,
                format!(
                    "`{}` has to be written out, `true` or `false`: it decides what the model is made of",
                    key.name
                ),
            );
            None
        }
        Ok(Checked { tokens, opaque }) => Some(Value {
            tokens: match key.kind {
                Kind::Base | Kind::Shape => quote!(::core::option::Option::Some(#tokens)),
                _ => tokens,
            },
            shape: array(expr),
            span: expr.span(),
            opaque,
            docs: Vec::new(),
        }),
        Err(found) => {
            report.error(
                expr,
                format!(
                    "`{}` has to be {}, found {found}",
                    key.name,
                    key.kind.expected()
                ),
            );
            None
        }
    }
}

/// A value that is in range or that only the compiler can see.
struct Checked {
    tokens: TokenStream,
    opaque: bool,
}

impl Checked {
    fn literal(tokens: TokenStream) -> Self {
        Self {
            tokens,
            opaque: false,
        }
    }
}

/// Checks one number or flag. An error is what was found.
fn scalar(kind: Kind, expr: &Expr) -> Result<Checked, String> {
    let (negative, lit) = match strip(expr) {
        Expr::Lit(ExprLit { lit, .. }) => (false, lit),
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => match strip(&unary.expr) {
            Expr::Lit(ExprLit { lit, .. }) => (true, lit),
            _ => return opaque(expr),
        },
        Expr::Array(_) | Expr::Tuple(_) | Expr::Repeat(_) => {
            return Err(format!("`{}`", source(expr)));
        }
        _ => return opaque(expr),
    };
    let found = || Err(format!("`{}`", source(expr)));
    match (kind, lit) {
        (Kind::Flag, Lit::Bool(_)) => Ok(Checked::literal(lit.to_token_stream())),
        (Kind::Count { max }, Lit::Int(int)) if matches!(int.suffix(), "" | "usize") => {
            match int.base10_parse::<u64>() {
                Ok(value) if !negative && (1..=max).contains(&value) => {
                    Ok(Checked::literal(lit.to_token_stream()))
                }
                _ => found(),
            }
        }
        (Kind::Positive | Kind::Base | Kind::Probability, Lit::Int(_) | Lit::Float(_)) => {
            let Some(value) = number(lit) else {
                return found();
            };
            let in_range = match kind {
                Kind::Positive => value > 0.0,
                Kind::Base => value > 0.0 && value != 1.0,
                _ => (0.0..1.0).contains(&value),
            };
            // `-0.0` is 0, but nobody means it.
            if !in_range || negative {
                return found();
            }
            let mut literal = Literal::f64_unsuffixed(value);
            literal.set_span(lit.span());
            Ok(Checked::literal(literal.to_token_stream()))
        }
        _ => found(),
    }
}

/// A finite number, from a literal of either kind.
fn number(lit: &Lit) -> Option<f64> {
    let value: f64 = match lit {
        Lit::Int(int) if matches!(int.suffix(), "" | "f64") => int.base10_digits().parse().ok()?,
        Lit::Float(float) if matches!(float.suffix(), "" | "f64") => {
            float.base10_digits().parse().ok()?
        }
        _ => return None,
    };
    value.is_finite().then_some(value)
}

/// The elements of an array.
fn array(expr: &Expr) -> Vec<Expr> {
    match strip(expr) {
        Expr::Array(array) => array.elems.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Checks `[axis 1, .., channels]`.
fn shape(expr: &Expr) -> Result<Checked, String> {
    let Expr::Array(array) = strip(expr) else {
        return Err(format!("`{}`", source(expr)));
    };
    if !(2..=5).contains(&array.elems.len()) {
        return Err(format!("{} sizes in `{}`", array.elems.len(), source(expr)));
    }
    let mut opaque = false;
    for (index, size) in array.elems.iter().enumerate() {
        match scalar(keys::WIDTH, size) {
            Ok(size) => opaque |= size.opaque,
            Err(found) => return Err(format!("{found} as size number {}", index + 1)),
        }
    }
    Ok(Checked {
        tokens: array.to_token_stream(),
        opaque,
    })
}

fn opaque(expr: &Expr) -> Result<Checked, String> {
    Ok(Checked {
        tokens: expr.to_token_stream(),
        opaque: true,
    })
}

/// The expression inside parentheses and invisible groups.
fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => strip(&paren.expr),
        Expr::Group(group) => strip(&group.expr),
        other => other,
    }
}
