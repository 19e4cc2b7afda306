//! Constants that are computed from themselves, of which rustc says it at length and elsewhere.

use std::collections::BTreeMap;

use proc_macro2::{Ident, TokenStream, TokenTree};

use super::{Scalar, Setting};
use crate::messages;
use crate::report::Report;

/// Reports each of the `settings` of `model` that is computed from itself, and gives it a literal.
pub fn break_cycles(model: &Ident, settings: &mut [&mut Setting], report: &mut Report) {
    let edges = settings.iter().map(|setting| {
        let mut named = Vec::new();
        constants(setting.value.tokens.clone(), model, &mut named);
        (setting.key.name, named)
    });
    let mut edges: BTreeMap<_, _> = edges.filter(|(_, named)| !named.is_empty()).collect();
    for setting in settings {
        let mut seen = vec![setting.key.name.to_string()];
        if let Some(way) = way(setting.key.name, setting.key.name, &edges, &mut seen) {
            let message = messages::cycle(setting.key.name, model, &way);
            report.error(&setting.value.tokens, message);
            setting.value = Scalar::placeholder(setting.key.kind);
            edges.remove(setting.key.name);
        }
    }
}

/// The keys between `from` and `to`, if `from` is computed from `to`.
fn way(
    from: &str,
    to: &str,
    edges: &BTreeMap<&str, Vec<String>>,
    seen: &mut Vec<String>,
) -> Option<Vec<String>> {
    for next in edges.get(from)? {
        if next == to {
            return Some(Vec::new());
        }
        if !seen.contains(next) {
            seen.push(next.clone());
            if let Some(mut rest) = way(next, to, edges, seen) {
                rest.insert(0, next.clone());
                return Some(rest);
            }
        }
    }
    None
}

/// The constants of `model` that `tokens` name, as keys.
fn constants(tokens: TokenStream, model: &Ident, named: &mut Vec<String>) {
    let trees: Vec<_> = tokens.into_iter().collect();
    let is_colon =
        |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ':');
    for (i, tree) in trees.iter().enumerate() {
        match (tree, &trees[i + 1..]) {
            (TokenTree::Ident(of), [a, b, TokenTree::Ident(name), ..])
                if (of == model || of == "Self") && is_colon(a) && is_colon(b) =>
            {
                // One after `::` is another's, and what is not in capitals no constant.
                let name = name.to_string();
                let is_other = i > 0 && is_colon(&trees[i - 1]);
                if !is_other && !name.contains(char::is_lowercase) {
                    named.push(name.to_lowercase());
                }
            }
            // In a block, `Self` may be another's.
            (TokenTree::Group(group), _) if group.delimiter() != proc_macro2::Delimiter::Brace => {
                constants(group.stream(), model, named);
            }
            _ => {}
        }
    }
}
