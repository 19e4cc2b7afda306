//! Values that depend on themselves, which rustc would tell by all that it evaluates on the way.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::Ident;

use super::Value;
use crate::ast::is_punct;
use crate::keys::KEYS;
use crate::report::Report;

/// The keys that a constant follows from which is not a key's own.
fn sources(constant: &str) -> Vec<String> {
    let keys: &[&str] = match constant {
        "input_channels" => &["input_shape"],
        "input_dim" => &[
            "input_channels",
            "input_axis",
            "input_shape",
            "num_freq_bands",
        ],
        "parameters" => return KEYS.iter().map(|key| key.name.into()).collect(),
        _ => &[],
    };
    keys.iter().map(ToString::to_string).collect()
}

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
    let next = match values.get(at) {
        Some(value) => constants(value.written.clone(), model),
        None => sources(at),
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
                // One behind `::` is another's, and what is not in capitals no constant.
                let is_path = i > 0 && is_punct(&trees[i - 1], ':');
                let name = name.to_string();
                let is_constant = !is_path && !name.contains(char::is_lowercase);
                constants.extend(is_constant.then(|| name.to_lowercase()));
            }
            (TokenTree::Group(group), _) => {
                constants.extend(self::constants(group.stream(), model));
            }
            _ => {}
        }
    }
    constants
}
