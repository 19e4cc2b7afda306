//! One value: a literal in range, or an expression that only the compiler can see.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::{Expr, ExprLit, Lit, Stmt, UnOp};

use super::Value;
use crate::ast::source;
use crate::keys::{self, Default, Key, Kind};

/// The types of whole numbers, which are also the suffixes of their literals.
const WHOLE: [&str; 12] = [
    "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
];

/// The hint about a value that stands for none.
const LEAVE_OUT: &str = ": leave out the key";

/// The hint about a model without logits.
const NO_LOGITS: &str = ": for no logits, write `final_classifier_head: false`";

/// The hint about a size that is not fixed.
const ANY_SIZE: &str = ": for inputs of any size, give `input_axis` and `input_channels` instead";

/// Reads a value, as far as it is literal.
pub fn read(key: &Key, expr: &Expr) -> syn::Result<Value> {
    let checked = match key.kind {
        Kind::Shape => shape(key, expr)?,
        kind => scalar(kind, expr).map_err(|mut wrong| {
            let what = format!("`{}` has to be {}", key.name, kind.expected());
            let is_none = wrong.hint == LEAVE_OUT;
            if key.name == "num_classes" && (is_none || source(&wrong.tokens) == "0") {
                wrong.hint = NO_LOGITS;
            } else if is_none && key.default != Default::Absent {
                wrong.hint = "";
            }
            wrong.error(&what)
        })?,
    };
    if checked.opaque && key.structural() {
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
        opaque: checked.opaque,
        docs: Vec::new(),
    })
}

/// A value that is in range or that only the compiler can see.
struct Checked {
    tokens: TokenStream,
    opaque: bool,
}

/// A value that is wrong, with a hint that goes on behind it.
struct Wrong {
    tokens: TokenStream,
    hint: &'static str,
}

impl Wrong {
    fn error(self, expected: &str) -> syn::Error {
        let found = source(&self.tokens);
        let message = format!("{expected}, found `{found}`{}", self.hint);
        syn::Error::new_spanned(self.tokens, message)
    }
}

fn wrong(expr: &Expr, hint: &'static str) -> Result<Checked, Wrong> {
    // What a macro was given is where the macro was called.
    let tokens = match expr {
        Expr::Group(group) => group.expr.to_token_stream(),
        expr => expr.to_token_stream(),
    };
    Err(Wrong { tokens, hint })
}

fn literal(tokens: &impl ToTokens) -> Result<Checked, Wrong> {
    Ok(Checked {
        tokens: tokens.to_token_stream(),
        opaque: false,
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
        // Like `0o9`, which the compiler has reported.
        (_, Lit::Verbatim(_)) => opaque(kind, expr),
        (Kind::Flag, Lit::Bool(_)) => literal(lit),
        (Kind::Count { max }, Lit::Int(int)) => match int.base10_parse::<u64>() {
            _ if !matches!(int.suffix(), "" | "usize") => wrong(expr, suffix_hint(int.suffix())),
            Ok(value) if !negative && (1..=max).contains(&value) => literal(lit),
            _ => wrong(expr, ""),
        },
        (Kind::Positive | Kind::Base | Kind::Probability, Lit::Int(_) | Lit::Float(_)) => {
            let (digits, suffix) = match lit {
                Lit::Int(int) => (int.base10_digits(), int.suffix()),
                Lit::Float(float) => (float.base10_digits(), float.suffix()),
                _ => ("", ""),
            };
            if !matches!(suffix, "" | "f64") {
                return wrong(expr, suffix_hint(suffix));
            }
            let value: f64 = digits.parse().unwrap_or(f64::NAN);
            if value.is_infinite() {
                return wrong(expr, ", which is more than `f64::MAX`");
            }
            let in_range = match kind {
                Kind::Positive => value > 0.0,
                Kind::Base => value > 0.0 && value != 1.0,
                _ => (0.0..1.0).contains(&value),
            };
            // `-0.0` is 0, but nobody means it.
            if !in_range || negative {
                return wrong(expr, "");
            }
            let Lit::Int(_) = lit else {
                return literal(lit);
            };
            let mut number = Literal::f64_unsuffixed(value);
            number.set_span(lit.span());
            literal(&number)
        }
        _ => wrong(expr, ""),
    }
}

/// The hint about a literal's suffix, if it is one.
fn suffix_hint(suffix: &str) -> &'static str {
    if WHOLE.contains(&suffix) || matches!(suffix, "f32" | "f64") {
        ": leave out the suffix"
    } else {
        ""
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
        | Expr::Infer(_)
        | Expr::Let(_)
        | Expr::Range(_)
        | Expr::Reference(_)
        | Expr::Repeat(_)
        | Expr::Return(_)
        | Expr::Try(_)
        | Expr::Tuple(_) => return wrong(expr, ""),
        Expr::Path(path) => {
            let name = path.path.segments.last().map(|last| &last.ident);
            let endless = ["INFINITY", "NEG_INFINITY", "NAN"];
            if name.is_some_and(|name| endless.iter().any(|endless| name == endless)) {
                return wrong(expr, "");
            }
            let is_none = path.path.segments.len() == 2
                && path.path.segments[0].ident == "Option"
                && path.path.segments[1].ident == "None";
            let none = is_none.then(|| "None".to_string());
            none.or_else(|| path.path.get_ident().map(ToString::to_string))
        }
        Expr::Call(call) if matches!(&*call.func, Expr::Path(path) if path.path.is_ident("Some")) =>
        {
            return wrong(expr, ": leave out the `Some`");
        }
        Expr::Macro(mac) if mac.mac.path.is_ident("vec") => return wrong(expr, ""),
        _ => None,
    };
    // Words of other languages, or of other places in this one.
    match (kind, name.as_deref()) {
        (_, Some("None" | "none" | "null" | "nil")) => wrong(expr, LEAVE_OUT),
        (Kind::Flag, Some("True" | "False" | "yes" | "no" | "on" | "off")) => wrong(expr, ""),
        (Kind::Count { .. } | Kind::Positive, Some("inf" | "nan")) => wrong(expr, ""),
        // Types, as dfdx writes dimensions that it is told when the program runs.
        (_, Some("f32" | "f64" | "bool" | "char" | "str" | "String" | "int" | "float")) => {
            wrong(expr, ", which is a type")
        }
        (_, Some(name)) if WHOLE.contains(&name) => wrong(expr, ", which is a type"),
        _ => Ok(Checked {
            tokens: expr.to_token_stream(),
            opaque: true,
        }),
    }
}

/// Checks `[axis 1, .., channels]`.
fn shape(key: &Key, expr: &Expr) -> syn::Result<Checked> {
    let expected = format!("`{}` has to be {}", key.name, key.kind.expected());
    let Expr::Array(array) = strip(expr) else {
        return Err(Wrong {
            tokens: expr.to_token_stream(),
            hint: ": write the sizes out",
        }
        .error(&expected));
    };
    let count = array.elems.len();
    if !(2..=5).contains(&count) {
        let sizes = if count == 1 { "size" } else { "sizes" };
        let message = format!("{expected}, found {count} {sizes} in `{}`", source(expr));
        return Err(syn::Error::new_spanned(expr, message));
    }
    let mut opaque = false;
    let mut errors: Option<syn::Error> = None;
    let mut says_any_size = false;
    for (index, size) in array.elems.iter().enumerate() {
        match scalar(keys::WIDTH, size) {
            Ok(size) => opaque |= size.opaque,
            Err(mut wrong) => {
                let is_axis = index + 1 < count;
                let which = if is_axis {
                    format!("axis {}", index + 1)
                } else {
                    "the channels".into()
                };
                let is_open = wrong.hint == LEAVE_OUT || matches!(strip(size), Expr::Infer(_));
                if is_axis && (is_open || source(&wrong.tokens) == "usize") {
                    // Who leaves one size open leaves more of them open, by one mistake.
                    if says_any_size {
                        continue;
                    }
                    says_any_size = true;
                    wrong.hint = ANY_SIZE;
                }
                let what = keys::WIDTH.expected();
                let error = wrong.error(&format!("`{}` has to have {what} for {which}", key.name));
                match &mut errors {
                    Some(errors) => errors.combine(error),
                    None => errors = Some(error),
                }
            }
        }
    }
    match errors {
        Some(errors) => Err(errors),
        None => Ok(Checked {
            tokens: array.to_token_stream(),
            opaque,
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
