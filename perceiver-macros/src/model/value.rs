//! One value: a literal in range, or an expression that only the compiler can evaluate.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Expr, ExprArray, ExprLit, Lit, Stmt, UnOp};

use crate::grammar::{Entry, Value};
use crate::messages;
use crate::schema::{self, Default, Form, Key, Kind, Variant};

use super::section::Section;
use crate::report::Report;

/// What was read of a value.
pub enum Read {
    Scalar(Scalar),
    /// The elements of an array.
    Array(Vec<Scalar>),
    /// The values with names in an array; those that are wrong are missing.
    List(Vec<Self>),
    /// `Name`.
    Unit(&'static Variant),
    /// `Name(value)`, or `Name([value, ..])`.
    Values(&'static Variant, Vec<Scalar>),
    /// `Name { key: value, .. }`.
    Keys(&'static Variant, Section),
    /// `Name { name: value, .. }`, with names of the user's own.
    Named(Vec<Named>),
}

/// A value with a name of the user's own.
pub struct Named {
    pub name: Ident,
    pub docs: Vec<Attribute>,
    /// `None` if it is wrong, which has been reported.
    pub read: Option<Read>,
}

/// A number or a flag.
#[derive(Clone)]
pub struct Scalar {
    pub tokens: TokenStream,
    /// Its value, if it is a literal.
    pub literal: Option<Known>,
}

/// The value of a literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known {
    Count(u64),
    Number,
    Flag(bool),
}

impl Scalar {
    /// The count that is written as a literal.
    pub fn count(&self) -> Option<u64> {
        match self.literal {
            Some(Known::Count(count)) => Some(count),
            _ => None,
        }
    }

    /// What stands in for a value that is absent or wrong.
    pub fn placeholder(kind: Kind) -> Self {
        Self::literal(match kind {
            Kind::Count { .. } => "1",
            Kind::Flag { .. } => "false",
            _ => "0.5",
        })
    }

    /// A literal of the macro's own.
    pub fn literal(literal: &str) -> Self {
        let known = match (literal.parse(), literal.parse()) {
            (Ok(count), _) => Known::Count(count),
            (_, Ok(flag)) => Known::Flag(flag),
            _ => Known::Number,
        };
        Self { tokens: literal.parse().unwrap_or_default(), literal: Some(known) }
    }
}

/// Reads the value of `key`, and reports what is wrong with it.
pub fn read(key: &'static Key, value: &Value, report: &mut Report) -> Option<Read> {
    let wrong = |tokens: TokenStream, hint| Err(Wrong { tokens, hint });
    if let (Kind::CountOr { variants, .. }, Value::Expr(expr)) = (key.kind, value)
        && let Some(variant) = unit(variants, expr)
    {
        return Some(Read::Unit(variant));
    }
    let result = match (key.kind, value) {
        (Kind::OneOrList(variants), Value::Expr(expr))
            if !matches!(strip(expr), Expr::Array(_)) =>
        {
            return choice(key, variants, value, report).map(|one| Read::List(vec![one]));
        }
        (Kind::Choice(variants), value) => return choice(key, variants, value, report),
        (_, Value::Struct(..)) => wrong(value.to_token_stream(), Hint::None),
        (kind, Value::Expr(expr)) => match (kind, strip(expr)) {
            (
                Kind::Shape | Kind::PerAxis | Kind::PerLayer | Kind::Rows | Kind::Sizes,
                Expr::Array(elements),
            ) => {
                return array(key, elements, report);
            }
            (Kind::List(variants) | Kind::OneOrList(variants), Expr::Array(elements)) => {
                let elements = elements.elems.iter().filter_map(|element| {
                    choice(key, variants, &Value::Expr(element.clone()), report)
                });
                return Some(Read::List(elements.collect()));
            }
            (Kind::Shape | Kind::Rows | Kind::Sizes | Kind::List(_) | Kind::OneOrList(_), _) => {
                wrong(expr.to_token_stream(), Hint::None)
            }
            (Kind::CountOr { max, .. }, _) => scalar(Kind::Count { min: 1, max }, expr),
            (Kind::PerAxis, _) => scalar(Kind::Positive, expr),
            (Kind::PerLayer, _) => scalar(Kind::Flag { literal: false }, expr),
            (kind, _) => scalar(kind, expr),
        },
    };
    match result {
        Ok(Scalar { literal: None, .. }) if matches!(key.kind, Kind::Flag { literal: true }) => {
            report.error(value, messages::not_literal(key.name));
            None
        }
        Ok(scalar) => Some(Read::Scalar(scalar)),
        Err(wrong) => {
            let is = |other: &'static Key| std::ptr::eq(key, other);
            let hint = match wrong.hint {
                Hint::Nothing | Hint::Zero if is(&schema::NUM_CLASSES) => {
                    "; for no logits, write `final_classifier_head: false`"
                }
                Hint::Nothing | Hint::Zero if is(&schema::CLASSES) => {
                    "; for no logits, write `output: Latents`"
                }
                Hint::Nothing if matches!(key.default, Default::Absent(_)) => "; leave out the key",
                hint => hint.text(),
            };
            let expected = key.kind.expected();
            let message = messages::wrong_value(key.name, &expected, &wrong.tokens, hint);
            report.error(&wrong.tokens, message);
            None
        }
    }
}

/// A value that is not what it must be.
struct Wrong {
    tokens: TokenStream,
    hint: Hint,
}

/// What is there instead, as far as it says what to do.
#[derive(Clone, Copy)]
enum Hint {
    None,
    /// A word that stands for no value.
    Nothing,
    /// `_`.
    Infer,
    /// `usize`, which dfdx writes for a dimension that is known when the program runs.
    Usize,
    Zero,
    Suffix,
    Type,
    Some,
    Infinite,
}

impl Hint {
    fn text(self) -> &'static str {
        match self {
            Self::Suffix => "; remove the suffix",
            Self::Type | Self::Usize => ", which is a type",
            Self::Some => "; remove the `Some`",
            Self::Infinite => ", which is more than `f64::MAX`",
            Self::None | Self::Nothing | Self::Infer | Self::Zero => "",
        }
    }
}

fn wrong<T>(expr: &Expr, hint: Hint) -> Result<T, Wrong> {
    // What a `macro_rules!` macro was given is shown where that macro was called.
    let tokens = match expr {
        Expr::Group(group) => group.expr.to_token_stream(),
        expr => expr.to_token_stream(),
    };
    Err(Wrong { tokens, hint })
}

/// Reads a number or a flag.
fn scalar(kind: Kind, expr: &Expr) -> Result<Scalar, Wrong> {
    let (negative, lit) = match strip(expr) {
        Expr::Lit(ExprLit { lit, .. }) => (false, lit),
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => match strip(&unary.expr) {
            Expr::Lit(ExprLit { lit, .. }) => (true, lit),
            _ => return constant(kind, expr),
        },
        _ => return constant(kind, expr),
    };
    let literal = |tokens: TokenStream, known| Ok(Scalar { tokens, literal: Some(known) });
    match (kind, lit) {
        (Kind::Flag { .. }, Lit::Bool(flag)) => {
            literal(lit.to_token_stream(), Known::Flag(flag.value))
        }
        (Kind::Count { min, max }, Lit::Int(int)) => {
            match (int.suffix(), int.base10_parse::<u64>()) {
                ("" | "usize", Ok(count)) if !negative && (min..=max).contains(&count) => {
                    literal(lit.to_token_stream(), Known::Count(count))
                }
                ("" | "usize", Ok(0)) if !negative => wrong(expr, Hint::Zero),
                ("" | "usize", _) => wrong(expr, Hint::None),
                (suffix, _) => wrong(expr, suffix_hint(suffix)),
            }
        }
        (
            Kind::Positive | Kind::Base | Kind::Rate | Kind::Probability,
            Lit::Int(_) | Lit::Float(_),
        ) => {
            let (digits, suffix) = match lit {
                Lit::Int(int) => (int.base10_digits(), int.suffix()),
                Lit::Float(float) => (float.base10_digits(), float.suffix()),
                _ => return wrong(expr, Hint::None),
            };
            if !matches!(suffix, "" | "f64") {
                return wrong(expr, suffix_hint(suffix));
            }
            let value: f64 = digits.parse().unwrap_or(f64::NAN);
            let is_in_range = match kind {
                Kind::Positive => value > 0.0,
                Kind::Base => value > 0.0 && value != 1.0,
                Kind::Probability => (0.0..=1.0).contains(&value),
                _ => (0.0..1.0).contains(&value),
            };
            if value.is_infinite() {
                return wrong(expr, Hint::Infinite);
            }
            // `-0.0` is 0, but nobody means it.
            if !is_in_range || negative {
                return wrong(expr, Hint::None);
            }
            let mut number = match lit {
                Lit::Float(float) => float.token(),
                _ => Literal::f64_unsuffixed(value),
            };
            number.set_span(lit.span());
            literal(number.to_token_stream(), Known::Number)
        }
        _ => wrong(expr, Hint::None),
    }
}

const NUMBER_TYPES: [&str; 14] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
    "f64",
];

fn suffix_hint(suffix: &str) -> Hint {
    match NUMBER_TYPES.contains(&suffix) {
        true => Hint::Suffix,
        false => Hint::None,
    }
}

/// Leaves an expression to the compiler, except for those that cannot be such a constant, of which it would say less.
fn constant(kind: Kind, expr: &Expr) -> Result<Scalar, Wrong> {
    let inner = strip(expr);
    let hint = match inner {
        Expr::Array(_)
        | Expr::Closure(_)
        | Expr::Range(_)
        | Expr::Reference(_)
        | Expr::Repeat(_)
        | Expr::Return(_)
        | Expr::Struct(_)
        | Expr::Try(_)
        | Expr::Tuple(_) => Some(Hint::None),
        Expr::Infer(_) => Some(Hint::Infer),
        Expr::Path(path) => {
            let segments = &path.path.segments;
            let last = segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
            match (&*last, segments.len()) {
                ("INFINITY" | "NEG_INFINITY" | "NAN", _) => Some(Hint::None),
                ("None", _) => Some(Hint::Nothing),
                ("usize", 1) => Some(Hint::Usize),
                ("bool", 1) => Some(Hint::Type),
                // Constants have capitals, so these are Python's.
                ("True" | "False", 1) if matches!(kind, Kind::Flag { .. }) => Some(Hint::None),
                (name, 1) if NUMBER_TYPES.contains(&name) => Some(Hint::Type),
                _ => None,
            }
        }
        Expr::Call(call) if matches!(&*call.func, Expr::Path(path) if path.path.is_ident("Some")) => {
            Some(Hint::Some)
        }
        _ => None,
    };
    match hint {
        Some(hint) => wrong(expr, hint),
        None => Ok(Scalar { tokens: inner.to_token_stream(), literal: None }),
    }
}

/// Reads `[axis 1, .., channels]`, or `[number, ..]` with one for each axis.
fn array(key: &Key, array: &ExprArray, report: &mut Report) -> Option<Read> {
    let is_shape = matches!(key.kind, Kind::Shape);
    let (kind, lengths) = match key.kind {
        Kind::Shape => (schema::WIDTH, 2..=5),
        Kind::Rows => (schema::WIDTH, 2..=2),
        Kind::PerLayer => (Kind::Flag { literal: false }, 1..=1 << 12),
        Kind::Sizes => (schema::WIDTH, 1..=4),
        _ => (Kind::Positive, 1..=4),
    };
    let count = array.elems.len();
    if !lengths.contains(&count) {
        report.error(array, messages::wrong_length(key.name, &key.kind.expected(), count));
        return None;
    }
    let mut is_open = false;
    let mut element = |(index, element): (usize, &Expr)| {
        let wrong = match scalar(kind, element) {
            Ok(scalar) => return Some(scalar),
            Err(wrong) => wrong,
        };
        let is_axis = !is_shape || index + 1 < count;
        let of_any_size =
            is_shape && is_axis && matches!(wrong.hint, Hint::Infer | Hint::Usize | Hint::Nothing);
        // Who leaves one size open leaves more of them open: one mistake.
        if of_any_size && std::mem::replace(&mut is_open, true) {
            return None;
        }
        let hint = match (of_any_size, key.name == schema::SHAPE.name) {
            (true, true) => "; for inputs of any size, write `axes` and `channels` instead",
            (true, false) => {
                "; for inputs of any size, write `input_axis` and `input_channels` instead"
            }
            (false, _) => wrong.hint.text(),
        };
        let what = match (key.kind, is_axis, index) {
            (Kind::Rows, _, 0) => "the number of queries".into(),
            (Kind::PerLayer, ..) => format!("layer {}", index + 1),
            (Kind::Rows, ..) => "the dimension of the queries".into(),
            (_, true, _) => format!("axis {}", index + 1),
            (_, false, _) => "the number of channels".into(),
        };
        let expected = kind.expected();
        let message = messages::wrong_element(&what, key.name, &expected, &wrong.tokens, hint);
        report.error(&wrong.tokens, message);
        None
    };
    let elements: Vec<_> = array.elems.iter().enumerate().map(&mut element).collect();
    elements.into_iter().collect::<Option<_>>().map(Read::Array)
}

/// Reads a value that has a name.
fn choice(
    key: &'static Key,
    variants: &'static [Variant],
    value: &Value,
    report: &mut Report,
) -> Option<Read> {
    let mut wrong = || {
        let hint = match std::ptr::eq(key, &schema::LATENTS) {
            true => "; the number of learned latents is `num_latents`",
            false => "",
        };
        report.error(value, messages::wrong_value(key.name, &key.kind.expected(), value, hint));
        None
    };
    let expr = match value {
        Value::Struct(..) => None,
        Value::Expr(expr) => Some(strip(expr)),
    };
    let name = match (value, expr) {
        (Value::Struct(name, ..), _) => name.clone(),
        (_, Some(Expr::Path(path))) => match path.path.get_ident() {
            Some(name) => name.clone(),
            None => return wrong(),
        },
        (_, Some(Expr::Call(call))) => match &*call.func {
            Expr::Path(path) if path.path.get_ident().is_some() => {
                path.path.segments[0].ident.clone()
            }
            _ => return wrong(),
        },
        _ => return wrong(),
    };
    let Some(variant) = variants.iter().find(|variant| name == variant.name) else {
        let written = name.to_string();
        let near = schema::near_variant(&written, variants);
        report.error(&name, messages::unknown_variant(&written, key.name, &near, variants));
        return None;
    };
    match (variant.form, value, expr) {
        (Form::Unit | Form::UnitOrKeys(_), _, Some(Expr::Path(_))) => Some(Read::Unit(variant)),
        (Form::Value(_) | Form::ValueOrKeys(_), _, Some(Expr::Call(call)))
            if call.args.len() == 1 =>
        {
            let key = match variant.form {
                Form::ValueOrKeys(keys) => keys[0],
                Form::Value(key) => key,
                Form::Unit | Form::Keys(_) | Form::UnitOrKeys(_) | Form::Named(_) => {
                    return wrong();
                }
            };
            let read = read(key, &Value::Expr(call.args[0].clone()), report);
            match read? {
                Read::Scalar(scalar) => Some(Read::Values(variant, vec![scalar])),
                Read::Array(scalars) => Some(Read::Values(variant, scalars)),
                _ => None,
            }
        }
        (
            Form::Keys(keys) | Form::ValueOrKeys(keys) | Form::UnitOrKeys(keys),
            Value::Struct(_, entries, _),
            _,
        ) => {
            let section = Section::read(Some((&name, variant.name)), keys, entries, report);
            Some(Read::Keys(variant, section))
        }
        (Form::Named(of), Value::Struct(_, entries, _), _) => named(&name, of, entries, report),
        _ => {
            let hint = messages::wrong_form(variant);
            report.error(value, format!("wrong form of `{}`; {hint}", variant.name));
            None
        }
    }
}

/// Reads values with names of the user's own, each of which must be one for the key `of`.
fn named(place: &Ident, of: &'static Key, entries: &[Entry], report: &mut Report) -> Option<Read> {
    if entries.is_empty() {
        report.error(place, messages::no_modality(place, of));
        return None;
    }
    let mut all: Vec<Named> = Vec::new();
    for Entry { docs, key, value } in entries {
        if all.iter().any(|named| named.name.unraw() == key.unraw()) {
            report.error(key, messages::repeated(&key.unraw().to_string()));
            continue;
        }
        let read = value.as_ref().and_then(|value| read(of, value, report));
        all.push(Named { name: key.clone(), docs: docs.clone(), read });
    }
    Some(Read::Named(all))
}

/// The variant that `expr` names.
fn unit(variants: &'static [Variant], expr: &Expr) -> Option<&'static Variant> {
    let Expr::Path(path) = strip(expr) else {
        return None;
    };
    variants.iter().find(|variant| path.path.is_ident(variant.name))
}

/// The expression inside parentheses, braces and invisible groups.
fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => strip(&paren.expr),
        Expr::Group(group) => strip(&group.expr),
        Expr::Block(block) if block.label.is_none() && block.attrs.is_empty() => {
            match &block.block.stmts[..] {
                [Stmt::Expr(expr, None)] => strip(expr),
                _ => expr,
            }
        }
        other => other,
    }
}
