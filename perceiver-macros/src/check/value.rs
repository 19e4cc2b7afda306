//! One value: a literal in range, or an expression that only the compiler can see.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::{Expr, ExprLit, Lit, Stmt, UnOp};

use super::{Read, Value};
use crate::ast::source;
use crate::keys::{self, Default, Key, Kind};

/// The types of whole numbers, which are also the suffixes of their literals.
const WHOLE: [&str; 12] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
];

/// Reads a value, as far as it is literal.
pub fn read(key: &Key, expr: &Expr) -> syn::Result<Value> {
    let checked = match key.kind {
        Kind::Shape => shape(key, expr)?,
        kind => scalar(kind, expr).map_err(|wrong| {
            let hint = match wrong.found {
                Found::Nothing | Found::Zero if key.name == "num_classes" => {
                    ": for no logits, write `final_classifier_head: false`"
                }
                Found::Nothing if key.default == Default::Absent => ": leave out the key",
                found => found.hint(),
            };
            let what = format!("`{}` has to be {}", key.name, kind.expected());
            wrong.error(&what, hint)
        })?,
    };
    if checked.read == Read::Opaque && key.structural() {
        let message = format!(
            "`{}` has to be written out, `true` or `false`: it decides what the model is made of",
            key.name
        );
        return Err(syn::Error::new_spanned(expr, message));
    }
    let tokens = checked.tokens;
    Ok(Value {
        tokens: match key.kind {
            Kind::Base | Kind::Shape => quote!(::core::option::Option::Some(#tokens)),
            _ => tokens,
        },
        shape: array(expr),
        written: expr.to_token_stream(),
        read: checked.read,
        docs: Vec::new(),
    })
}

/// A value that is in range or that only the compiler can see.
struct Checked {
    tokens: TokenStream,
    read: Read,
}

/// A value that is wrong.
struct Wrong {
    tokens: TokenStream,
    found: Found,
}

/// What is in place of a value.
#[derive(Clone, Copy)]
enum Found {
    /// A word that stands for none.
    Nothing,
    /// `_`.
    Open,
    /// `usize`, which dfdx writes for a dimension that it is told when the program runs.
    Usize,
    /// The number 0.
    Zero,
    /// A literal with a suffix.
    Suffix,
    /// The name of a type.
    Type,
    /// `Some(..)`.
    Some,
    /// More than any number.
    Endless,
    /// Something that says enough by itself.
    Other,
}

impl Found {
    /// What goes on behind the message.
    fn hint(self) -> &'static str {
        match self {
            Self::Suffix => ": leave out the suffix",
            Self::Type | Self::Usize => ", which is a type",
            Self::Some => ": leave out the `Some`",
            Self::Endless => ", which is more than `f64::MAX`",
            Self::Nothing | Self::Open | Self::Zero | Self::Other => "",
        }
    }
}

impl Wrong {
    fn error(self, expected: &str, hint: &str) -> syn::Error {
        let found = source(&self.tokens);
        let message = format!("{expected}, found `{found}`{hint}");
        syn::Error::new_spanned(self.tokens, message)
    }
}

fn wrong<T>(expr: &Expr, found: Found) -> Result<T, Wrong> {
    // What a macro was given is where the macro was called.
    let tokens = match expr {
        Expr::Group(group) => group.expr.to_token_stream(),
        expr => expr.to_token_stream(),
    };
    Err(Wrong { tokens, found })
}

fn literal(tokens: &impl ToTokens, read: Read) -> Result<Checked, Wrong> {
    Ok(Checked {
        tokens: tokens.to_token_stream(),
        read,
    })
}

/// Checks one number or flag.
fn scalar(kind: Kind, expr: &Expr) -> Result<Checked, Wrong> {
    let (negative, lit) = match strip(expr) {
        Expr::Lit(ExprLit { lit, .. }) => (false, lit),
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => match strip(&unary.expr) {
            Expr::Lit(ExprLit { lit, .. }) => (true, lit),
            _ => return opaque(kind, expr),
        },
        _ => return opaque(kind, expr),
    };
    match (kind, lit) {
        (Kind::Flag, Lit::Bool(flag)) => literal(lit, Read::Flag(flag.value)),
        (Kind::Count { max }, Lit::Int(int)) => match (int.suffix(), int.base10_parse::<u64>()) {
            ("" | "usize", Ok(0)) if !negative => wrong(expr, Found::Zero),
            ("" | "usize", Ok(count)) if !negative && count <= max => {
                literal(lit, Read::Count(count))
            }
            ("" | "usize", _) => wrong(expr, Found::Other),
            (suffix, _) => match other_suffix(int.base10_digits(), suffix) {
                Some(found) => wrong(expr, found),
                None => literal(expr, Read::Opaque),
            },
        },
        (Kind::Positive | Kind::Base | Kind::Probability, Lit::Int(int)) => {
            let (digits, suffix) = (int.base10_digits(), int.suffix());
            let value = number(kind, expr, digits, suffix, negative)?;
            let mut number = Literal::f64_unsuffixed(value);
            number.set_span(lit.span());
            literal(&number, Read::Literal)
        }
        (Kind::Positive | Kind::Base | Kind::Probability, Lit::Float(float)) => {
            let (digits, suffix) = (float.base10_digits(), float.suffix());
            number(kind, expr, digits, suffix, negative)?;
            literal(lit, Read::Literal)
        }
        _ => wrong(expr, Found::Other),
    }
}

/// Checks a number.
fn number(
    kind: Kind,
    expr: &Expr,
    digits: &str,
    suffix: &str,
    negative: bool,
) -> Result<f64, Wrong> {
    if !matches!(suffix, "" | "f64") {
        return other_suffix(digits, suffix).map_or(Ok(0.0), |found| wrong(expr, found));
    }
    let value: f64 = digits.parse().unwrap_or(f64::NAN);
    if value.is_infinite() {
        return wrong(expr, Found::Endless);
    }
    let in_range = match kind {
        Kind::Positive => value > 0.0,
        Kind::Base => value > 0.0 && value != 1.0,
        _ => (0.0..1.0).contains(&value),
    };
    // `-0.0` is 0, but nobody means it.
    if !in_range || negative {
        return wrong(expr, Found::Other);
    }
    Ok(value)
}

/// What a literal with another suffix is; `None` if rustc has reported it.
fn other_suffix(digits: &str, suffix: &str) -> Option<Found> {
    let is_type = WHOLE.contains(&suffix) || matches!(suffix, "f32" | "f64");
    // Digits that are none, as in `0o9` or `1e`.
    let is_number = digits == "0" && suffix.starts_with(['b', 'o', 'x']) || suffix == "e";
    match (is_type, is_number) {
        (true, _) => Some(Found::Suffix),
        (_, true) => None,
        _ => Some(Found::Other),
    }
}

/// Leaves a value to the compiler, but for what no constant of this kind looks like: it would say less about it.
fn opaque(kind: Kind, expr: &Expr) -> Result<Checked, Wrong> {
    let name = match strip(expr) {
        Expr::Array(_)
        | Expr::Async(_)
        | Expr::Await(_)
        | Expr::Break(_)
        | Expr::Closure(_)
        | Expr::Let(_)
        | Expr::Range(_)
        | Expr::Reference(_)
        | Expr::Repeat(_)
        | Expr::Return(_)
        | Expr::Try(_)
        | Expr::Tuple(_) => return wrong(expr, Found::Other),
        Expr::Infer(_) => return wrong(expr, Found::Open),
        Expr::Path(path) => {
            let name = path.path.segments.last().map(|last| &last.ident);
            let endless = ["INFINITY", "NEG_INFINITY", "NAN"];
            if name.is_some_and(|name| endless.iter().any(|endless| name == endless)) {
                return wrong(expr, Found::Other);
            }
            let is_none = path.path.segments.len() == 2
                && path.path.segments[0].ident == "Option"
                && path.path.segments[1].ident == "None";
            let none = is_none.then(|| "None".to_string());
            none.or_else(|| path.path.get_ident().map(ToString::to_string))
        }
        Expr::Call(call) if matches!(&*call.func, Expr::Path(path) if path.path.is_ident("Some")) =>
        {
            return wrong(expr, Found::Some);
        }
        Expr::Macro(mac) if mac.mac.path.is_ident("vec") => return wrong(expr, Found::Other),
        _ => None,
    };
    // Words of other languages, or of other places in this one.
    let found = match (kind, name.as_deref()) {
        (_, Some("None" | "none" | "null" | "nil")) => Found::Nothing,
        (Kind::Flag, Some("True" | "False" | "yes" | "no" | "on" | "off")) => Found::Other,
        (Kind::Count { .. } | Kind::Positive, Some("inf" | "nan")) => Found::Other,
        (_, Some("usize")) => Found::Usize,
        (_, Some("f32" | "f64" | "bool" | "char" | "str" | "String" | "int" | "float")) => {
            Found::Type
        }
        (_, Some(name)) if WHOLE.contains(&name) => Found::Type,
        _ => return literal(expr, Read::Opaque),
    };
    wrong(expr, found)
}

/// Checks `[axis 1, .., channels]`.
fn shape(key: &Key, expr: &Expr) -> syn::Result<Checked> {
    let expected = format!("`{}` has to be {}", key.name, key.kind.expected());
    let Expr::Array(array) = strip(expr) else {
        let wrong = Wrong {
            tokens: expr.to_token_stream(),
            found: Found::Other,
        };
        return Err(wrong.error(&expected, ": write the sizes out"));
    };
    let count = array.elems.len();
    if !(2..=5).contains(&count) {
        let sizes = if count == 1 { "size" } else { "sizes" };
        let message = format!("{expected}, found {count} {sizes} in `{}`", source(expr));
        return Err(syn::Error::new_spanned(expr, message));
    }
    let mut read = Read::Literal;
    let mut errors: Option<syn::Error> = None;
    let mut says_any_size = false;
    for (index, size) in array.elems.iter().enumerate() {
        let wrong = match scalar(keys::WIDTH, size) {
            Ok(Checked {
                read: Read::Opaque, ..
            }) => {
                read = Read::Opaque;
                continue;
            }
            Ok(_) => continue,
            Err(wrong) => wrong,
        };
        let is_axis = index + 1 < count;
        let is_any = is_axis && matches!(wrong.found, Found::Usize | Found::Open | Found::Nothing);
        // Who leaves one size open leaves more of them open, by one mistake.
        if is_any && std::mem::replace(&mut says_any_size, true) {
            continue;
        }
        let hint = if is_any {
            ": for inputs of any size, give `input_axis` and `input_channels` instead"
        } else {
            wrong.found.hint()
        };
        let which = if is_axis {
            format!("axis {}", index + 1)
        } else {
            "the channels".into()
        };
        let what = keys::WIDTH.expected();
        let error = wrong.error(
            &format!("`{}` has to have {what} for {which}", key.name),
            hint,
        );
        match &mut errors {
            Some(errors) => errors.combine(error),
            None => errors = Some(error),
        }
    }
    match errors {
        Some(errors) => Err(errors),
        None => Ok(Checked {
            tokens: array.to_token_stream(),
            read,
        }),
    }
}

/// The elements of an array.
pub fn array(expr: &Expr) -> Vec<Expr> {
    match strip(expr) {
        Expr::Array(array) => array.elems.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

/// The expression inside parentheses, braces and invisible groups.
pub fn strip(expr: &Expr) -> &Expr {
    match expr {
        Expr::Paren(paren) => strip(&paren.expr),
        Expr::Group(group) => strip(&group.expr),
        Expr::Block(block) if block.label.is_none() => match &block.block.stmts[..] {
            [Stmt::Expr(expr, None)] => strip(expr),
            _ => expr,
        },
        other => other,
    }
}
