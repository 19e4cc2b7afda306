//! The schema as Markdown, for the documentation of `perceiver!`, and as Rust, for rust-analyzer.

use super::{Default, Form, Key, Kind, ROOT, Variant};

/// The tables of keys, those of nested values after those of a declaration.
pub fn tables() -> String {
    let mut notes = Vec::new();
    let mut tables = table("key", ROOT, &mut notes);
    nested(ROOT, "", &mut tables, &mut notes);
    for (index, note) in notes.iter().enumerate() {
        tables += &format!("\n{} unless {note}\n", mark(index));
    }
    tables
}

fn mark(index: usize) -> &'static str {
    ["¹", "²", "³"][index]
}

fn table(head: &str, keys: &[&Key], notes: &mut Vec<&'static str>) -> String {
    let mut table = format!("| {head} | default | what it is |\n| --- | --- | --- |\n");
    for key in keys {
        let default = match key.default {
            Default::Required => "required".into(),
            Default::RequiredUnless(note) => {
                let index = notes.iter().position(|other| *other == note).unwrap_or_else(|| {
                    notes.push(note);
                    notes.len() - 1
                });
                format!("required{}", mark(index))
            }
            Default::Value(value) => format!("`{value}`"),
            Default::ByFamily(value, transformers) => {
                format!("`{value}`; `{transformers}` in the family `Transformers`")
            }
            Default::Absent("") => "absent".into(),
            Default::Absent(meaning) => format!("absent: {meaning}"),
        };
        table += &format!("| `{}` | {default} | {} |\n", key.name, key.doc);
    }
    table
}

/// A table for each key with values that have names, and for each of those with keys of its own. `place` is what the keys
/// are in, for those whose name has a table already.
fn nested(keys: &[&Key], place: &str, tables: &mut String, notes: &mut Vec<&'static str>) {
    for key in keys {
        let (Kind::Choice(variants)
        | Kind::List(variants)
        | Kind::OneOrList(variants)
        | Kind::CountOr { variants, .. }) = key.kind
        else {
            continue;
        };
        // Feed-forwards have a table already.
        let rows: Vec<_> = variants
            .iter()
            .map(|variant| format!("| `{}` | {} |\n", written(variant), variant.doc))
            .collect();
        if rows.iter().all(|row| tables.contains(row)) {
            continue;
        }
        let head = distinct(format!("`{}`", key.name), place, tables);
        *tables += &format!("\n| {head} | what it is |\n| --- | --- |\n");
        *tables += &rows.concat();
        for variant in variants {
            match variant.form {
                Form::Keys(keys) | Form::UnitOrKeys(keys) => {
                    let place = format!("`{}`", key.name);
                    let of = format!("key of `{}`", variant.name);
                    if !tables.contains(&table(&of, keys, notes)) {
                        let head = distinct(of, &place, tables);
                        *tables += "\n";
                        *tables += &table(&head, keys, notes);
                    }
                    nested(keys, &format!("`{}`", variant.name), tables, notes);
                }
                Form::Named(key) => nested(&[key], &format!("`{}`", variant.name), tables, notes),
                Form::Unit | Form::Value(_) | Form::ValueOrKeys(_) => {}
            }
        }
    }
}

/// The head of a table, with its place if another has this head.
fn distinct(head: String, place: &str, tables: &str) -> String {
    let is_taken = ["what it is |\n|", "default |"];
    match is_taken.iter().any(|rest| tables.contains(&format!("\n| {head} | {rest}"))) {
        true => format!("{head} in {place}"),
        false => head,
    }
}

fn written(variant: &Variant) -> String {
    match variant.form {
        Form::Unit => variant.name.into(),
        Form::Value(key) => format!("{}({})", variant.name, key.name),
        Form::ValueOrKeys(keys) => {
            let names: Vec<_> = keys.iter().map(|key| key.name).collect();
            format!("{0}({1})`, `{0} {{ {2} }}", variant.name, names[0], names.join(", "))
        }
        Form::Keys(keys) => {
            let keys: Vec<_> = keys.iter().map(|key| key.name).collect();
            format!("{} {{ {} }}", variant.name, keys.join(", "))
        }
        Form::UnitOrKeys(keys) => {
            let keys: Vec<_> = keys.iter().map(|key| key.name).collect();
            format!("{0}`, `{0} {{ {1} }}", variant.name, keys.join(", "))
        }
        Form::Named(key) => format!("{} {{ name: {}, .. }}", variant.name, key.name),
    }
}

/// A struct for each level, whose fields rust-analyzer completes and explains.
pub fn ide() -> String {
    let mut module = String::from(
        "//! What rust-analyzer sees in place of a declaration: its keys as fields.\n//!\n\
         //! Generated from the schema in `perceiver-macros` by that crate's tests.\n",
    );
    structure("Keys", "The keys of a declaration", ROOT, &mut module);
    module
}

fn structure(name: &str, doc: &str, keys: &[&Key], module: &mut String) {
    *module += &format!("\n/// {doc}.\n#[derive(Clone, Copy, Debug)]\npub struct {name} {{\n");
    for key in keys {
        *module += &format!("    /// {}\n    pub {}: (),\n", key.sentence(), key.name);
    }
    *module +=
        &format!("}}\n\nimpl {name} {{\n    /// No key.\n    pub const NONE: Self = Self {{\n");
    for key in keys {
        *module += &format!("        {}: (),\n", key.name);
    }
    *module += "    };\n}\n";
    structures(keys, module);
}

/// Those of the values with names that keys can have.
fn structures(keys: &[&Key], module: &mut String) {
    for key in keys {
        let Kind::Choice(variants) = key.kind else {
            continue;
        };
        for variant in variants {
            if let Form::Named(key) = variant.form {
                structures(&[key], module);
            }
            if let Form::Keys(keys) | Form::ValueOrKeys(keys) | Form::UnitOrKeys(keys) =
                variant.form
                && !module.contains(&format!("pub struct {} ", variant.name))
            {
                let doc = format!("The keys of `{}`: {}", variant.name, variant.doc);
                structure(variant.name, &doc, keys, module);
            }
        }
    }
}
