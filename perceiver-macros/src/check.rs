//! From what is written to a model that can be expanded: every key known, every literal in range.

use std::collections::BTreeMap;

use proc_macro2::{Literal, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Lit, UnOp};

use crate::ast::{Declaration, Entry};
use crate::keys::{self, Default, KEYS, Key, Kind};
use crate::report::Report;

/// The values of a declaration's keys, by name. A key that was left out has its default, one that was
/// wrong a value with which the rest can still be expanded.
pub struct Values(BTreeMap<&'static str, Value>);

/// The value of one key.
pub struct Value {
    /// The constant's value.
    pub tokens: TokenStream,
    /// As in the source, for messages.
    pub source: String,
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
        &self.0[name]
    }

    /// Whether the flag `name` is, as far as the macro can see, `false`.
    pub fn is_off(&self, name: &str) -> bool {
        self.get(name).tokens.to_string() == "false"
    }

    /// The sizes in `input_shape`, if it is given.
    pub fn shape(&self) -> Option<Vec<TokenStream>> {
        let value = self.get("input_shape");
        let array: syn::ExprArray = syn::parse2(value.tokens.clone()).ok()?;
        Some(array.elems.iter().map(ToTokens::to_token_stream).collect())
    }
}

/// Checks every entry of `declaration` and fills in what it leaves out.
pub fn check(declaration: &Declaration, report: &mut Report) -> Values {
    let mut values = BTreeMap::new();
    let mut written: BTreeMap<&str, &Entry> = BTreeMap::new();
    for entry in &declaration.entries {
        let Some(key) = known(entry, report) else {
            continue;
        };
        if written.insert(key.name, entry).is_some() {
            report.error(&entry.key, format!("`{}` is given twice", key.name));
            continue;
        }
        if let Some(expr) = &entry.value
            && let Some(value) = read(key, expr, report)
        {
            let docs = entry.docs.clone();
            values.insert(key.name, Value { docs, ..value });
        }
    }

    if let Some(shape) = written.get("input_shape") {
        for name in ["input_axis", "input_channels"] {
            if let Some(entry) = written.get(name) {
                let shape = shape.value.to_token_stream();
                report.error(
                    &entry.key,
                    format!("`input_shape: {shape}` says this already: give one or the other"),
                );
            }
        }
    }
    let encodes = written
        .get("fourier_encode_data")
        .and_then(|entry| entry.value.as_ref())
        .is_none_or(|value| value.to_token_stream().to_string() != "false");
    for key in KEYS {
        let required = match key.default {
            Default::Required => true,
            Default::RequiredToEncode => encodes,
            Default::Value(_) | Default::Absent => false,
        };
        if required && !written.contains_key(key.name) {
            report.push(syn::Error::new(
                declaration.span,
                format!("`{}` is missing: the {}", key.name, key.doc),
            ));
        }
        values.entry(key.name).or_insert_with(|| fallback(key));
    }
    Values(values)
}

/// The row of an entry's key, or an error that helps to find it.
fn known(entry: &Entry, report: &mut Report) -> Option<&'static Key> {
    let name = entry.key.unraw().to_string();
    let found = keys::find(&name);
    if found.is_none() {
        let help = match keys::nearest(&name) {
            Some(key) => format!("did you mean `{}`?", key.name),
            None => {
                let names: Vec<_> = KEYS.iter().map(|key| format!("`{}`", key.name)).collect();
                format!("the keys are {}", names.join(", "))
            }
        };
        report.error(&entry.key, format!("there is no key `{name}`; {help}"));
    }
    found
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
        source: literal.into(),
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
            tokens: if key.kind == Kind::Base {
                quote!(::core::option::Option::Some(#tokens))
            } else {
                tokens
            },
            source: expr.to_token_stream().to_string(),
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
        (Kind::Flag, Lit::Bool(_)) => Ok(Checked::literal(expr.to_token_stream())),
        (Kind::Count { max }, Lit::Int(int)) if matches!(int.suffix(), "" | "usize") => {
            match int.base10_parse::<u64>() {
                Ok(value) if !negative && (1..=max).contains(&value) => {
                    Ok(Checked::literal(expr.to_token_stream()))
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
            let mut literal = Literal::f64_suffixed(value);
            literal.set_span(lit.span());
            Ok(Checked::literal(literal.to_token_stream()))
        }
        _ => found(),
    }
}

/// A finite number, from a literal of either kind.
fn number(lit: &Lit) -> Option<f64> {
    let value: f64 = match lit {
        Lit::Int(int) if int.suffix().is_empty() => int.base10_digits().parse().ok()?,
        Lit::Float(float) if matches!(float.suffix(), "" | "f64") => {
            float.base10_digits().parse().ok()?
        }
        _ => return None,
    };
    value.is_finite().then_some(value)
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
        let Kind::Count { max } = keys::find("input_channels").map_or(Kind::Flag, |key| key.kind)
        else {
            continue;
        };
        match scalar(Kind::Count { max }, size) {
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

fn source(expr: &Expr) -> String {
    // Token streams print with spaces between all tokens; in a value that is a sign or a comma.
    expr.to_token_stream()
        .to_string()
        .replace("- ", "-")
        .replace(" ,", ",")
}
