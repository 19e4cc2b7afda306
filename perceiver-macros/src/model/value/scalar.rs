//! Numbers and flags, and what is wrong with those that are none.

use proc_macro2::{Literal, TokenStream};
use quote::ToTokens;
use syn::{Expr, ExprLit, Lit, UnOp};

use super::strip;
use crate::schema::Kind;

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

/// A value that is not what it must be.
pub struct Wrong {
    pub tokens: TokenStream,
    pub hint: Hint,
}

/// What is there instead, as far as it says what to do.
#[derive(Clone, Copy)]
pub enum Hint {
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
    pub fn text(self) -> &'static str {
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
pub fn scalar(kind: Kind, expr: &Expr) -> Result<Scalar, Wrong> {
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
