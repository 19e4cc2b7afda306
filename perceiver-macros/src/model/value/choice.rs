//! Values that have names: of the schema, or of the user's own.

use proc_macro2::Ident;
use syn::Expr;
use syn::ext::IdentExt;

use super::{Named, Read, read, strip};
use crate::grammar::{Entry, Value};
use crate::messages;
use crate::model::section::Section;
use crate::report::Report;
use crate::schema::{self, Form, Key, Variant};

/// Reads a value that has a name.
pub fn choice(
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
pub fn unit(variants: &'static [Variant], expr: &Expr) -> Option<&'static Variant> {
    let Expr::Path(path) = strip(expr) else {
        return None;
    };
    variants.iter().find(|variant| path.path.is_ident(variant.name))
}
