//! Whatever is written, the macro gives a program, and what is wrong with it in few words.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::errors;

/// A declaration with something of everything.
const VALID: &str = "
    /// Documentation.
    #[derive(Clone)]
    pub(crate) struct Model {
        /// More.
        depth: labels::COUNT + 1,
        num_freq_bands: 6,
        max_freq: -(-10.0),
        input_shape: [8, 8, 3],
        weight_tie_layers: true,
    }
";

/// What may be written where it does not belong.
const STRAY: &[&str] = &[
    ",",
    ";",
    ":",
    "::",
    "=",
    "=>",
    "#",
    "!",
    "-",
    "<",
    "..",
    "'a",
    "x",
    "_",
    "struct",
    "pub",
    "as",
    "depth",
    "6",
    "1.5",
    "\"depth\"",
    "true",
    "{}",
    "[]",
    "()",
    "{ depth: 6 }",
    "struct A { depth: 6 }",
    "#[doc]",
    "#![x]",
    "|",
    "?",
];

/// `stream` with one token left out, doubled, swapped with the next, replaced or put before another, in every place.
fn mutations(stream: &TokenStream) -> Vec<TokenStream> {
    let trees: Vec<_> = stream.clone().into_iter().collect();
    let mut mutations = Vec::new();
    let mut replace = |start: usize, end: usize, with: Vec<TokenTree>| {
        let (before, behind) = (trees[..start].iter(), trees[end..].iter());
        mutations.push(before.chain(&with).chain(behind).cloned().collect());
    };
    let stray: Vec<TokenStream> = STRAY.iter().map(|text| text.parse().unwrap()).collect();
    for (i, tree) in trees.iter().enumerate() {
        replace(i, i + 1, vec![]);
        replace(i, i, vec![tree.clone()]);
        if let Some(next) = trees.get(i + 1) {
            replace(i, i + 2, vec![next.clone(), tree.clone()]);
        }
        for (j, stray) in stray.iter().enumerate() {
            // In turns, since both would take too long.
            let end = i + (i + j) % 2;
            replace(i, end, stray.clone().into_iter().collect());
        }
        if let TokenTree::Group(group) = tree {
            for delimiter in [Delimiter::Parenthesis, Delimiter::Brace, Delimiter::Bracket] {
                let inner = Group::new(delimiter, group.stream());
                replace(i, i + 1, vec![inner.into()]);
            }
            replace(i, i + 1, group.stream().into_iter().collect());
            for inner in self::mutations(&group.stream()) {
                let inner = Group::new(group.delimiter(), inner);
                replace(i, i + 1, vec![inner.into()]);
            }
        }
    }
    mutations
}

#[test]
fn one_changed_token_gives_a_program_and_few_errors() {
    let valid = VALID.parse().unwrap();
    let mutations = mutations(&valid);
    // All of them would take a minute, since the parser is not optimised in tests.
    let some: Vec<_> = mutations.iter().step_by(7).collect();
    let mut single = 0;
    for mutation in &some {
        let errors = errors(&mutation.to_string());
        // A lost brace takes three keys with it, and is one more.
        assert!(errors.len() <= 4, "{mutation}\n{errors:#?}");
        single += usize::from(errors.len() <= 1);
    }
    assert!(single * 100 > some.len() * 90, "{single} of {}", some.len());
}

#[test]
fn two_changed_tokens_give_a_program() {
    let valid = "struct Model { depth: 6, input_shape: [8, 3] }".parse().unwrap();
    for (i, first) in mutations(&valid).iter().enumerate() {
        for second in mutations(first).iter().skip(i % 1999).step_by(1999) {
            errors(&second.to_string());
        }
    }
}
