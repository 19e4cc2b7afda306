//! What can be declared: one row for each key, at every level. The rows drive parsing, checking, suggestions, defaults,
//! the tables in the documentation, and completion in rust-analyzer.

#[cfg(test)]
pub mod docs;
mod rows;

pub use rows::*;

/// A key of a declaration, or of a value like `Grid { .. }` in it.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Default,
    /// What it is: a noun phrase that "the" can precede, or for a flag a clause that begins with "whether".
    pub doc: &'static str,
    /// What it is called in papers and in other libraries.
    pub also: &'static [&'static str],
}

/// What a key's value must be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// An integer from `min` to `max`; `usize`.
    Count { min: u64, max: u64 },
    /// A number above 0; `f64`.
    Positive,
    /// A number above 0, or `[number, ..]` with one for each axis.
    PerAxis,
    /// A number above 0 other than 1; `Option<f64>`.
    Base,
    /// A number from 0 to 1, exclusive; `f64`.
    Rate,
    /// A number from 0 to 1; `f64`.
    Probability,
    /// `true` or `false`; `literal` if the macro has to see which, since another model follows from it.
    Flag { literal: bool },
    /// `true` or `false`, or `[flag, ..]` with one for each layer.
    PerLayer,
    /// `[axis 1, .., channels]`, each a count; `Option<[usize; N]>`.
    Shape,
    /// `[rows, dim]`, each a count.
    Rows,
    /// `[size, ..]` with one for each axis.
    Sizes,
    /// One of several values that have names.
    Choice(&'static [Variant]),
    /// `[Name(value), ..]`, each one of several values that have names.
    List(&'static [Variant]),
    /// One of several values that have names, or `[Name(value), ..]`.
    OneOrList(&'static [Variant]),
    /// An integer from 1 to `max`, or one of several values that have names, alone.
    CountOr { max: u64, variants: &'static [Variant] },
}

/// What stands in for a key that is not given.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// Nothing: the key must be given.
    Required,
    /// Nothing, unless the declaration has what this says.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the documentation, which tests write")
    )]
    RequiredUnless(&'static str),
    /// A literal.
    Value(&'static str),
    /// A literal, and that of the family `Transformers`.
    ByFamily(&'static str, &'static str),
    /// The key stays absent. If this is not empty, it says what that means.
    #[cfg_attr(not(test), expect(dead_code, reason = "as above"))]
    Absent(&'static str),
}

/// A value with a name.
#[derive(Debug)]
pub struct Variant {
    pub name: &'static str,
    pub form: Form,
    /// What it is.
    #[cfg_attr(not(test), expect(dead_code, reason = "as above"))]
    pub doc: &'static str,
}

/// How a value with a name is written.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// `Name`.
    Unit,
    /// `Name(value)`.
    Value(&'static Key),
    /// `Name { key: value, .. }`.
    Keys(&'static [&'static Key]),
    /// `Name(value)` or `Name { key: value, .. }`, whose first key is the value's.
    ValueOrKeys(&'static [&'static Key]),
    /// `Name` or `Name { key: value, .. }`.
    UnitOrKeys(&'static [&'static Key]),
    /// `Name { name: value, .. }`, with names of the user's own, and values as those of the key.
    Named(&'static Key),
}

/// The key that a constant is named and documented by, if it is not the one that is written.
const fn constant(name: &'static str, written: &Key) -> Key {
    Key { name, kind: written.kind, default: written.default, doc: written.doc, also: &[] }
}

const fn key(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Key {
    Key { name, kind, default, doc, also: &[] }
}

impl Key {
    const fn also(self, also: &'static [&'static str]) -> Self {
        Self { also, ..self }
    }

    /// The documentation of the associated constant.
    pub fn sentence(&self) -> String {
        match self.kind {
            Kind::Flag { .. } | Kind::PerLayer => format!("W{}.", self.doc.trim_start_matches('w')),
            _ => format!("The {}.", self.doc),
        }
    }
}

impl Kind {
    /// What a value of this kind is, to complete "... must be".
    pub fn expected(self) -> String {
        match self {
            Self::Count { min, max } => format!("an integer from {min} to {max}"),
            Self::Positive => "a number above 0".into(),
            Self::PerAxis => "a number above 0, or an array of one for each axis".into(),
            Self::Base => "a number above 0 other than 1".into(),
            Self::Rate => "a number in the range 0.0..1.0".into(),
            Self::Probability => "a number in the range 0.0..=1.0".into(),
            Self::Flag { .. } => "`true` or `false`".into(),
            Self::PerLayer => "`true` or `false`, or an array of one for each layer".into(),
            Self::Shape => {
                "an array of the sizes of one to four axes and the number of channels, such as `[224, 224, 3]`".into()
            }
            Self::Rows => "an array of a number of queries and their dimension, such as `[16, 64]`".into(),
            Self::CountOr { max, variants } => {
                let names = crate::messages::list(variants.iter().map(|variant| variant.name), "or");
                let before = if variants.len() == 1 { " or" } else { "," };
                format!("an integer from 1 to {max}{before} {names}")
            }
            Self::Sizes => "an array of one size for each axis, such as `[4, 4]`".into(),
            Self::List(variants) => {
                let examples: Vec<_> = variants.iter().map(crate::messages::example).collect();
                format!("an array of {}", crate::messages::list(examples.iter().map(String::as_str), "or"))
            }
            Self::OneOrList(variants) => {
                let examples: Vec<_> = variants.iter().map(crate::messages::example).collect();
                format!("{}, or an array of several", crate::messages::list(examples.iter().map(String::as_str), "or"))
            }
            Self::Choice(variants) => {
                let examples: Vec<_> = variants.iter().map(crate::messages::example).collect();
                crate::messages::list(examples.iter().map(String::as_str), "or")
            }
        }
    }
}

/// Where a declaration can have a key of this name in the value of another.
pub fn places(name: &str) -> Vec<String> {
    let mut places = Vec::new();
    for key in ROOT {
        let Kind::Choice(variants) = key.kind else { continue };
        for variant in variants {
            let (Form::Keys(keys) | Form::ValueOrKeys(keys) | Form::UnitOrKeys(keys)) =
                variant.form
            else {
                continue;
            };
            if keys.iter().any(|key| key.name == name) {
                places.push(format!("{}: {} {{ {name}: .. }}", key.name, variant.name));
            }
        }
    }
    places
}

/// The keys that `name` may have been meant to be: those of which it is another name or a part, or else the most similar
/// one, if one is similar.
pub fn near(name: &str, keys: &[&'static Key]) -> Vec<&'static str> {
    let name = name.to_lowercase();
    let named = |is: &dyn Fn(&Key) -> bool| -> Vec<_> {
        keys.iter().filter(|key| is(key)).map(|key| key.name).collect()
    };
    let is_part = |part: &str, key: &Key| part.len() >= 4 && key.name.contains(part);
    // That both are numbers of something does not make them alike.
    let number_of = name.strip_prefix("num_");
    let similar = || {
        let similarity = |key: &Key| match (number_of, key.name.strip_prefix("num_")) {
            (Some(what), Some(key)) => strsim::jaro_winkler(what, key),
            _ => strsim::jaro_winkler(&name, key.name),
        };
        let nearest = keys.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
        nearest.filter(|key| similarity(key) > 0.85).map(|key| vec![key.name]).unwrap_or_default()
    };
    let attempts: [&dyn Fn() -> Vec<&'static str>; 5] = [
        &|| named(&|key| key.name == name),
        &|| named(&|key| key.also.contains(&&*name)),
        &|| named(&|key| is_part(&name, key)),
        &similar,
        &|| named(&|key| number_of.is_some_and(|what| is_part(what, key))),
    ];
    attempts.iter().map(|attempt| attempt()).find(|near| !near.is_empty()).unwrap_or_default()
}

/// The variant whose name is most similar to `name`, if one is.
pub fn near_variant(name: &str, variants: &[Variant]) -> Vec<&'static str> {
    let similarity = |variant: &Variant| {
        strsim::jaro_winkler(&name.to_lowercase(), &variant.name.to_lowercase())
    };
    let nearest = variants.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    nearest
        .filter(|variant| similarity(variant) > 0.8)
        .map(|variant| vec![variant.name])
        .unwrap_or_default()
}
