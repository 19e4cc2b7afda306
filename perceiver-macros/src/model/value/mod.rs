//! One value: a literal in range, or an expression that only the compiler can evaluate.

mod array;
mod choice;
mod scalar;

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{Attribute, Expr, Stmt};

pub use scalar::{Known, Scalar};

use super::section::Section;
use crate::grammar::Value;
use crate::messages;
use crate::report::Report;
use crate::schema::{self, Default, Key, Kind, Variant};
use array::array;
use choice::{choice, unit};
use scalar::{Hint, Wrong, scalar};

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
