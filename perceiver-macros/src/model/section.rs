//! The keys that are given at one level, with what was read of their values.

use std::collections::BTreeMap;

use proc_macro2::Ident;
use syn::Attribute;
use syn::ext::IdentExt;

use super::Family;
use super::value::{self, Read, Scalar};
use crate::grammar::Entry;
use crate::messages;
use crate::report::Report;
use crate::schema::{self, Default, Key, Variant};

/// The keys of a declaration, or of a value like `Grid { .. }`.
pub struct Section {
    /// Where an error points that is about a key that is not there.
    place: Option<(Ident, &'static str)>,
    fields: BTreeMap<&'static str, Field>,
    /// Keys that misspelt ones were meant to be.
    meant: Vec<&'static str>,
}

/// A key that is given.
pub struct Field {
    pub key: Ident,
    pub docs: Vec<Attribute>,
    /// The value as it is written.
    pub source: String,
    /// `None` if it is wrong, which has been reported.
    pub read: Option<Read>,
}

/// The number or flag of a key.
#[derive(Clone)]
pub struct Setting {
    /// The key whose name and documentation its constant has.
    pub key: &'static Key,
    /// What it is called where it is given.
    pub name: &'static str,
    /// Whether it is given, and no default.
    pub is_given: bool,
    pub docs: Vec<Attribute>,
    pub value: Scalar,
}

impl Section {
    /// Reads `entries`, which may have `keys`.
    pub fn read(
        place: Option<(&Ident, &'static str)>,
        keys: &'static [&'static Key],
        entries: &[Entry],
        report: &mut Report,
    ) -> Self {
        let name = place.map(|(_, name)| name);
        let mut section = Self {
            place: place.map(|(ident, name)| (ident.clone(), name)),
            fields: BTreeMap::new(),
            meant: Vec::new(),
        };
        for entry in entries {
            let written = entry.key.unraw().to_string();
            let Some(&key) = keys.iter().find(|key| key.name == written) else {
                let near = schema::near(&written, keys);
                // Without a value it has been reported.
                if entry.value.is_some() {
                    let places = if name.is_none() { schema::places(&written) } else { Vec::new() };
                    let meant: Vec<_> =
                        near.iter().copied().chain(places.iter().map(|place| &**place)).collect();
                    report.error(&entry.key, messages::unknown_key(&written, name, &meant, keys));
                }
                section.meant.extend(near);
                continue;
            };
            let value = entry.value.as_ref();
            let field = Field {
                key: entry.key.clone(),
                docs: entry.docs.clone(),
                source: value.map(messages::source).unwrap_or_default(),
                read: value.and_then(|value| value::read(key, value, report)),
            };
            if section.fields.contains_key(key.name) {
                report.error(&entry.key, messages::repeated(key.name));
            } else {
                section.fields.insert(key.name, field);
            }
        }
        section
    }

    pub fn field(&self, key: &Key) -> Option<&Field> {
        self.fields.get(key.name)
    }

    pub fn is_given(&self, key: &Key) -> bool {
        self.fields.contains_key(key.name)
    }

    /// Those of `keys` that are given, in their order.
    pub fn given(&self, keys: &[&'static Key]) -> Vec<&'static str> {
        keys.iter().filter(|key| self.is_given(key)).map(|key| key.name).collect()
    }

    /// Whether `key` is missing, and not just misspelt.
    pub fn is_missing(&self, key: &Key, report: &Report) -> bool {
        !self.is_given(key) && !self.meant.contains(&key.name) && !report.lost
    }

    /// Reports that `key` is missing, if it is. `model` is the name of the model.
    pub fn require(&self, key: &Key, model: &Ident, report: &mut Report) {
        if self.is_missing(key, report) {
            let message = messages::missing(key, self.place.as_ref().map(|(_, name)| *name));
            self.report_missing(message, model, report);
        }
    }

    /// Reports what is missing where something else would have to be.
    pub fn report_missing(&self, message: String, model: &Ident, report: &mut Report) {
        report.error(self.place.as_ref().map_or(model, |(ident, _)| ident), message);
    }

    /// The number or flag of `key`, or its default. Its constant is that of the key `constant`.
    pub fn setting(&self, key: &'static Key, constant: &'static Key) -> Setting {
        let field = self.field(key);
        let value = match (field.and_then(|field| field.read.as_ref()), key.default) {
            (Some(Read::Scalar(scalar)), _) => scalar.clone(),
            (_, Default::Value(literal) | Default::ByFamily(literal, _)) => {
                Scalar::literal(literal)
            }
            _ => Scalar::placeholder(key.kind),
        };
        Setting {
            key: constant,
            name: key.name,
            is_given: field.is_some(),
            docs: field.map(|field| field.docs.clone()).unwrap_or_default(),
            value,
        }
    }

    /// The number or flag of `key`, if it is given.
    pub fn optional(&self, key: &'static Key) -> Option<Setting> {
        self.is_given(key).then(|| self.setting(key, key))
    }

    /// The number or flag of `key`, or its default in this family.
    pub fn setting_in(&self, family: Family, key: &'static Key) -> Setting {
        let mut setting = self.setting(key, key);
        if let (Default::ByFamily(_, literal), Family::Transformers, false) =
            (key.default, family, self.is_given(key))
        {
            setting.value = Scalar::literal(literal);
        }
        setting
    }

    /// Whether the literal flag `key` is `true`. Where it is wrong or misspelt, nobody knows.
    pub fn is_on(&self, key: &'static Key) -> bool {
        let is_wrong = self.field(key).is_some_and(|field| field.read.is_none());
        let is_known = !is_wrong && !self.meant.contains(&key.name);
        is_known && self.setting(key, key).value.literal == Some(value::Known::Flag(true))
    }

    /// The variant that `key` has, with what is in it.
    pub fn choice(&self, key: &Key) -> Option<Choice<'_>> {
        match self.field(key)?.read.as_ref()? {
            Read::Unit(variant) => Some((variant, &[], None)),
            Read::Values(variant, values) => Some((variant, values, None)),
            Read::Keys(variant, section) => Some((variant, &[], Some(section))),
            Read::Scalar(_) | Read::Array(_) | Read::List(_) | Read::Named(_) => None,
        }
    }
}

/// A variant, and what is in its parentheses or braces.
pub type Choice<'a> = (&'static Variant, &'a [Scalar], Option<&'a Section>);
