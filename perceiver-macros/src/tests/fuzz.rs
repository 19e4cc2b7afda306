//! Random declarations: whatever they are, the macro returns within a second, and what it returns is Rust.
//!
//! `PROPTEST_CASES` sets how many; `tests/fuzz/README.md` has more.

use std::time::Duration;

use cpu_time::ThreadTime;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::{all_keys, errors};
use crate::schema::{Form, Key, Kind, ROOT, Variant};

/// Expands a declaration. What is no tokens, such as a lone `'`, does not come to the macro.
fn check(declaration: &str) -> Result<(), TestCaseError> {
    if declaration.parse::<TokenStream>().is_err() {
        return Ok(());
    }
    let start = ThreadTime::now();
    errors(declaration);
    prop_assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    Ok(())
}

/// Declarations that are right, with everything that can be declared between them.
const VALID: &[&str] = &[
    "/// Documentation.
    #[derive(Clone)]
    pub(super) struct Model {
        /// More.
        depth: labels::COUNT + 1, num_freq_bands: 6, max_freq: -(-10.0), input_shape: [8, 8, 3], weight_tie_layers: true,
    }",
    "depth: 2, input_axis: 1, fourier_encode_data: false, inverted_cross_attn: [true, FLAG]",
    "#[cfg(unix)] struct Model {
        family: Transformers,
        input: Grid { shape: [224, 224, 3], stem: [ConvPool(64)], position: Fourier { bands: 64, max_freq: [56.0, 56.0] } },
        num_latents: 512, latent_dim: 1024, cross_heads: 1, depth: 8, self_per_cross_attn: 6, output: ClassQuery(1000),
    }",
    "pub struct Model {
        family: Transformers, input: Text { vocab: 262, max_len: 2048, dim: 768 },
        num_latents: 256, latent_dim: 1280, qk_channels: 256, v_channels: 1280, depth: 1, self_per_cross_attn: 26,
        output: Queries { queries: Learned([2048, 768]), heads: 8, qk_channels: 256, v_channels: 768, project: Embedding },
    }",
    "struct Model {
        input: Modalities {
            audio: Grid { shape: [30720, 1], stem: [Patches([16]), Linear(8)], position: Learned { channels: 256, project: 256 } },
            r#type: Grid { axes: 1, channels: 2, position: Given(3) },
            label: OneHot { classes: 700, mask: 1.0 },
        },
        input_padding: 4, depth: 1,
        output: Modalities {
            image: Queries { queries: Grid { shape: [16, 224], position: Fourier { bands: 32, max_freq: 8.0, endpoint: false } } },
            label: Queries { queries: Learned([1, 1024]), project: 700 },
        },
        output_padding: 2, output_dim: 512,
    }",
    "struct Bytes {
        family: PerceiverAr, input: Text { vocab: 262, max_len: 4096, dim: 512, position: [Learned, Rotary(0.5)] },
        latents: Last(512), depth: 1, self_per_cross_attn: 8, rotary_layers: All, prefix_dropout: 0.5,
        output: Embedding { bias: false },
    }
    struct Resampler {
        input: Tokens(1024), queries_contribute_kv: true, depth: 6, self_per_cross_attn: 0, num_latents: 64,
        feed_forward: Gelu { mult: 4, bias: false }, attn_bias: false, final_norm: true, share: AllButFirst, output: Latents,
    }",
];

/// Values and other tokens that may be written anywhere. Not `crate` alone: `{ crate }` is read by rustc, but not by syn.
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
    ">",
    "..",
    "..=",
    "&",
    "*",
    "'a",
    "'a'",
    "_",
    "?",
    "|",
    "$",
    "@",
    ".",
    "struct",
    "pub",
    "as",
    "fn",
    "enum",
    "Self",
    "self",
    "super",
    "r#type",
    "E",
    "D",
    "Model",
    "None",
    "All",
    "x",
    "é",
    "0",
    "1",
    "4096",
    "4097",
    "1048576",
    "18446744073709551615",
    "18446744073709551616",
    "0xff",
    "1_000",
    "6usize",
    "6u8",
    "6f32",
    "1.5",
    "1e400",
    "1e-400",
    "0.0",
    "1.0",
    "true",
    "false",
    "\"depth\"",
    "\"\"",
    "b\"x\"",
    "'c'",
    "r#\"x\"#",
    "c\"x\"",
    "{}",
    "[]",
    "()",
    "{ depth: 6 }",
    "[1, 2, 3]",
    "(1, 2)",
    "[[1]]",
    "- - 1",
    "1 + 1",
    "N",
    "a::B",
    "f(6)",
    "max::<usize, 6>()",
    "|x| x",
    "if A { 1 } else { 2 }",
    "match x { _ => 1 }",
    "loop {}",
    "unsafe { 1 }",
    "async { 1 }",
    "const { 1 }",
    "1..2",
    "x as usize",
    "&[1]",
    "x?",
    "x.await",
    "return",
    "break 'a 1",
    "<T as U>::V",
    "m!(x)",
    "struct A { depth: 6 }",
    "#[doc]",
    "#![x]",
    "#[cfg(test)]",
    "#[derive(Clone, Debug)]",
    "#[derive(PartialEq)]",
    "/// x\n",
    "depth: 6",
    "depth: 6,",
];

/// What is done to a token.
#[derive(Clone, Debug)]
enum Edit {
    Remove,
    Repeat,
    SwapWithNext,
    Before(String),
    Replace(String),
    Delimiter(Delimiter),
    Unwrap,
    /// Replaced by a token of another declaration.
    Splice(&'static str, Index),
}

/// The number of tokens, with those in groups.
fn count(stream: &TokenStream) -> usize {
    let inner = |tree| match tree {
        TokenTree::Group(group) => 1 + count(&group.stream()),
        _ => 1,
    };
    stream.clone().into_iter().map(inner).sum()
}

/// The token at a place, in the order in which they are written.
fn token(stream: &TokenStream, place: &mut usize) -> Option<TokenTree> {
    stream.clone().into_iter().find_map(|tree| {
        if *place == 0 {
            return Some(tree);
        }
        *place -= 1;
        match tree {
            TokenTree::Group(group) => token(&group.stream(), place),
            _ => None,
        }
    })
}

/// `stream` with its token at `place` edited; the place is counted down to `None` on the way.
fn edited(stream: &TokenStream, place: &mut Option<usize>, edit: &Edit) -> TokenStream {
    let trees: Vec<_> = stream.clone().into_iter().collect();
    let mut out: Vec<TokenTree> = Vec::new();
    let mut i = 0;
    while let Some(tree) = trees.get(i) {
        i += 1;
        match (&mut *place, tree) {
            (Some(0), _) => {
                *place = None;
                let text = |text: &String| text.parse::<TokenStream>().unwrap_or_default();
                match (edit, tree) {
                    (Edit::Remove, _) => {}
                    (Edit::Repeat, tree) => out.extend([tree.clone(), tree.clone()]),
                    (Edit::SwapWithNext, tree) => {
                        out.extend(trees.get(i).cloned());
                        out.push(tree.clone());
                        i += 1;
                    }
                    (Edit::Before(stray), tree) => {
                        out.extend(text(stray));
                        out.push(tree.clone());
                    }
                    (Edit::Replace(stray), _) => out.extend(text(stray)),
                    (Edit::Delimiter(delimiter), TokenTree::Group(group)) => {
                        out.push(Group::new(*delimiter, group.stream()).into());
                    }
                    (Edit::Delimiter(delimiter), tree) => {
                        out.push(Group::new(*delimiter, tree.clone().into()).into());
                    }
                    (Edit::Unwrap, TokenTree::Group(group)) => out.extend(group.stream()),
                    (Edit::Unwrap, _) => {}
                    (Edit::Splice(other, at), _) => {
                        let other = other.parse().unwrap();
                        out.extend(token(&other, &mut at.index(count(&other))));
                    }
                }
            }
            (Some(left), TokenTree::Group(group)) => {
                *left -= 1;
                out.push(
                    Group::new(group.delimiter(), edited(&group.stream(), place, edit)).into(),
                );
            }
            (left, tree) => {
                *left = left.map(|left| left - 1);
                out.push(tree.clone());
            }
        }
    }
    out.into_iter().collect()
}

/// Tokens, and the names of keys and values.
fn stray() -> impl Strategy<Value = String> {
    let variants = |key: &&Key| match key.kind {
        Kind::Choice(variants) | Kind::List(variants) | Kind::OneOrList(variants) => variants,
        _ => &[],
    };
    let keys = all_keys(ROOT);
    let names = keys.iter().flat_map(variants).map(|variant| variant.name);
    let names: Vec<_> = names.chain(keys.iter().map(|key| key.name)).collect();
    prop_oneof![
        4 => select(STRAY).prop_map(str::to_string),
        2 => select(names).prop_map(str::to_string),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| format!("{number:?}")),
        1 => any::<String>().prop_map(|text| format!("{text:?}")),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    const DELIMITERS: &[Delimiter] =
        &[Delimiter::Parenthesis, Delimiter::Brace, Delimiter::Bracket];
    prop_oneof![
        Just(Edit::Remove),
        Just(Edit::Repeat),
        Just(Edit::SwapWithNext),
        stray().prop_map(Edit::Before),
        stray().prop_map(Edit::Replace),
        select(DELIMITERS).prop_map(Edit::Delimiter),
        Just(Edit::Unwrap),
        (select(VALID), any::<Index>()).prop_map(|(other, at)| Edit::Splice(other, at)),
    ]
}

/// A value of a kind, more often right than not.
fn value(kind: Kind) -> BoxedStrategy<String> {
    let number = || {
        prop_oneof![
            select(&["8.0", "0.5", "1", "0.1", "224.0"][..]).prop_map(str::to_string),
            stray()
        ]
    };
    let list = |value: BoxedStrategy<String>, len| {
        prop::collection::vec(value, len).prop_map(|values| format!("[{}]", values.join(", ")))
    };
    let flag = || select(&["true", "false", "FLAG"][..]).prop_map(str::to_string).boxed();
    let sizes = || select(&["1", "2", "3", "8", "N"][..]).prop_map(str::to_string).boxed();
    let right = match kind {
        Kind::Count { min, max } => {
            prop_oneof![(min..=max.min(12)).prop_map(|n| n.to_string()), Just(max.to_string())]
                .boxed()
        }
        Kind::Positive | Kind::Base | Kind::Rate | Kind::Probability => number().boxed(),
        Kind::PerAxis => prop_oneof![number(), list(number().boxed(), 0..5)].boxed(),
        Kind::Flag { .. } => flag(),
        Kind::PerLayer => prop_oneof![flag(), list(flag(), 0..4)].boxed(),
        Kind::Shape | Kind::Sizes => list(sizes(), 0..6).boxed(),
        Kind::Rows => list(sizes(), 1..4).boxed(),
        Kind::Choice(variants) => variant(variants),
        Kind::List(variants) => list(variant(variants), 0..4).boxed(),
        Kind::OneOrList(variants) => {
            prop_oneof![variant(variants), list(variant(variants), 0..4)].boxed()
        }
        Kind::CountOr { variants, .. } => prop_oneof![sizes(), variant(variants)].boxed(),
    };
    prop_oneof![19 => right, 1 => stray()].boxed()
}

/// A value that has a name.
fn variant(variants: &'static [Variant]) -> BoxedStrategy<String> {
    let written = variants.iter().map(|variant| {
        let name = variant.name;
        let in_braces =
            move |keys| entries(keys).prop_map(move |inner| format!("{name} {{ {inner} }}"));
        let in_brackets =
            move |key: &Key| value(key.kind).prop_map(move |inner| format!("{name}({inner})"));
        match variant.form {
            Form::Unit => Just(name.to_string()).boxed(),
            Form::Value(key) => in_brackets(key).boxed(),
            Form::Keys(keys) => in_braces(keys).boxed(),
            Form::ValueOrKeys(keys) => prop_oneof![in_brackets(keys[0]), in_braces(keys)].boxed(),
            Form::UnitOrKeys(keys) => prop_oneof![Just(name.to_string()), in_braces(keys)].boxed(),
            Form::Named(key) => {
                let named = (select(&["a", "b", "r#type", "x1", "A", "new"][..]), value(key.kind));
                let named = named.prop_map(|(name, value)| format!("{name}: {value}"));
                let inner = prop::collection::vec(named, 0..4);
                inner.prop_map(move |inner| format!("{name} {{ {} }}", inner.join(", "))).boxed()
            }
        }
    });
    prop::strategy::Union::new(written).boxed()
}

/// Some of the keys with a value, in their order.
fn entries(keys: &'static [&'static Key]) -> impl Strategy<Value = String> {
    let entry = |key: &&'static Key| {
        let name = key.name;
        value(key.kind).prop_map(move |value| format!("{name}: {value}")).boxed()
    };
    let all: Vec<_> = keys.iter().map(entry).collect();
    // Nearly all of a few, some of many.
    let some = if keys.len() > 8 { 0..=keys.len() / 3 } else { keys.len() / 2..=keys.len() };
    subsequence(all, some).prop_flat_map(|some| some).prop_map(|entries| entries.join(", "))
}

/// What was found in this way, and mended.
#[test]
fn declarations_that_were_found_give_a_program() {
    for declaration in ["Self { depth: 6 }", "pub Self { depth: 6 }"] {
        check(declaration).unwrap();
    }
}

#[test]
fn edited_declarations_give_a_program() {
    let edits = prop::collection::vec((any::<Index>(), edit()), 1..5);
    proptest!(|(valid in select(VALID), edits in edits)| {
        let mut stream: TokenStream = valid.parse().unwrap();
        for (place, edit) in edits {
            let len = count(&stream);
            stream = edited(&stream, &mut (len > 0).then(|| place.index(len)), &edit);
        }
        check(&stream.to_string())?;
    });
}

#[test]
fn declarations_by_the_schema_give_a_program() {
    let entries = entries(ROOT).boxed();
    proptest!(|(entries in entries, depth in 0..4_usize, name in select(&["Model", "r#Model", "E", "model"][..]))| {
        check(&format!("pub struct {name} {{ depth: {depth}, {entries} }}"))?;
    });
}

#[test]
fn any_tokens_give_a_program() {
    let tokens = prop::collection::vec(stray(), 0..40);
    let text = prop_oneof![tokens.prop_map(|tokens| tokens.join(" ")), any::<String>()];
    proptest!(|(text in text)| {
        check(&text)?;
    });
}
