//! Values that depend on themselves, which rustc would tell by all that it evaluates on the way.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::Ident;

use super::Value;
use crate::ast::is_punct;
use crate::keys::KEYS;
use crate::report::Report;

/// The constants that follow from keys, with those keys; of all of them, if none is listed.
const DERIVED: [(&str, &[&str]); 3] = [
    ("input_channels", &["input_shape"]),
    (
        "input_dim",
        &[
            "input_channels",
            "input_axis",
            "input_shape",
            "num_freq_bands",
        ],
    ),
    ("parameters", &[]),
];

/// Takes out the values that lead back to themselves, and reports each circle.
pub fn remove(model: &Ident, values: &mut BTreeMap<&'static str, Value>, report: &mut Report) {
    let keys: Vec<_> = values.keys().copied().collect();
    for key in keys {
        let Some(circle) = circle(key, key, model, values, &mut Vec::new()) else {
            continue;
        };
        let others = circle.iter().skip(1);
        let others: Vec<_> = others
            .map(|key| format!("`{model}::{}`", key.to_uppercase()))
            .collect();
        let by = if others.is_empty() {
            String::new()
        } else {
            format!(": it is, by {}", others.join(" and "))
        };
        let written = values.remove(key).map(|value| value.written);
        let message = format!("`{key}` cannot be made of itself{by}");
        report.error(&written.unwrap_or_default(), message);
    }
}

/// The keys and constants on a way from `start` over `at` back to `start`.
fn circle(
    start: &str,
    at: &str,
    model: &Ident,
    values: &BTreeMap<&'static str, Value>,
    seen: &mut Vec<String>,
) -> Option<Vec<String>> {
    seen.push(at.into());
    let next: Vec<String> = match values.get(at) {
        Some(value) => constants(value.written.clone(), model),
        None => match DERIVED.iter().find(|(name, _)| *name == at) {
            Some((_, [])) => KEYS.iter().map(|key| key.name.into()).collect(),
            Some((_, keys)) => keys.iter().map(ToString::to_string).collect(),
            None => Vec::new(),
        },
    };
    if next.iter().any(|next| next == start) {
        return Some(vec![at.into()]);
    }
    let next = next.into_iter();
    let mut ways = next.filter_map(|next| {
        let is_new = !seen.contains(&next);
        is_new
            .then(|| circle(start, &next, model, values, seen))
            .flatten()
    });
    let mut way = ways.next()?;
    way.insert(0, at.into());
    Some(way)
}

/// The constants of `model` that `tokens` name, as keys.
fn constants(tokens: TokenStream, model: &Ident) -> Vec<String> {
    let trees: Vec<_> = tokens.into_iter().collect();
    let mut constants = Vec::new();
    for (i, tree) in trees.iter().enumerate() {
        match (tree, &trees[i + 1..]) {
            (TokenTree::Ident(of), [a, b, TokenTree::Ident(name), ..])
                if of == model && is_punct(a, ':') && is_punct(b, ':') =>
            {
                // One behind `::` is another's.
                let is_path = i > 0 && is_punct(&trees[i - 1], ':');
                constants.extend((!is_path).then(|| name.to_string().to_lowercase()));
            }
            (TokenTree::Group(group), _) => {
                constants.extend(self::constants(group.stream(), model));
            }
            _ => {}
        }
    }
    constants
}
