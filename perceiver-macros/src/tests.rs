//! The documentation cannot disagree with the schema, nor the snapshot with the expansion.
//!
//! `UPDATE_EXPECT=1 cargo test -p perceiver-macros` writes the files anew.

mod fuzz;
mod mistakes;
mod mutations;

use expect_test::expect_file;
use proc_macro2::{TokenStream, TokenTree};

use crate::schema::{self, Default, Form, Key, Kind, ROOT};

/// Every key at every level.
fn all_keys(keys: &'static [&'static Key]) -> Vec<&'static Key> {
    let inner = keys.iter().flat_map(|key| match key.kind {
        Kind::Choice(variants)
        | Kind::List(variants)
        | Kind::OneOrList(variants)
        | Kind::CountOr { variants, .. } => variants.iter().collect(),
        _ => Vec::new(),
    });
    let inner = inner.flat_map(|variant| match &variant.form {
        Form::Unit => Vec::new(),
        Form::Value(key) => vec![*key],
        Form::Keys(keys) | Form::ValueOrKeys(keys) | Form::UnitOrKeys(keys) => all_keys(keys),
        Form::Named(key) => all_keys(std::slice::from_ref(key)),
    });
    keys.iter().copied().chain(inner).collect()
}

#[test]
fn documentation_has_the_tables_of_keys() {
    let tables = schema::docs::tables();
    expect_file!["../../perceiver/src/keys.md"].assert_eq(&tables);
    expect_file!["../../perceiver/src/declare/ide.rs"].assert_eq(&schema::docs::ide());
}

#[test]
fn keys_are_distinct_and_their_defaults_are_in_range() {
    for (i, key) in ROOT.iter().enumerate() {
        assert!(ROOT[..i].iter().all(|other| other.name != key.name), "{} twice", key.name);
    }
    for key in all_keys(ROOT) {
        let values = match key.default {
            Default::Value(value) => vec![value],
            Default::ByFamily(value, transformers) => vec![value, transformers],
            _ => Vec::new(),
        };
        for value in values {
            match key.kind {
                Kind::Count { min, max } => assert!((min..=max).contains(&value.parse().unwrap())),
                Kind::Positive => assert!(value.parse::<f64>().unwrap() > 0.0),
                Kind::Rate => assert!((0.0..1.0).contains(&value.parse::<f64>().unwrap())),
                Kind::Flag { .. } | Kind::PerLayer => assert!(value.parse::<bool>().is_ok()),
                Kind::CountOr { max, .. }
                    if value.parse().is_ok_and(|count| (1..=max).contains(&count)) => {}
                Kind::CountOr { variants, .. } | Kind::Choice(variants) => {
                    assert!(variants.iter().any(|variant| variant.name == value))
                }
                _ => panic!("no such default: {}", key.name),
            }
        }
    }
}

#[test]
fn a_misspelt_key_is_near_the_one_that_was_meant() {
    for (misspelt, meant) in [
        ("dept", "depth"),
        ("num_latent", "num_latents"),
        ("numLatents", "num_latents"),
        ("latents_dim", "latent_dim"),
        ("input_axes", "input_axis"),
        ("inputaxis", "input_axis"),
        ("max_frequency", "max_freq"),
        ("num_class", "num_classes"),
        ("attention_dropout", "attn_dropout"),
        ("weight_tie", "weight_tie_layers"),
        ("num_layers", "depth"),
        ("num_axes", "input_axis"),
        ("dim", "latent_dim"),
    ] {
        assert_eq!(near(misspelt), [meant], "{misspelt}");
    }
    assert_eq!(near("dropout"), ["attn_dropout", "ff_dropout", "prefix_dropout"]);
    assert_eq!(near("num_heads"), ["cross_heads", "latent_heads"]);
    assert_eq!(near("head_dim"), ["cross_dim_head", "latent_dim_head"]);
    for unknown in ["batch_size", "x", "learning_rate", "optimizer", "epochs"] {
        assert!(near(unknown).is_empty(), "{unknown}");
    }
    for key in ROOT {
        assert!(key.also.iter().all(|other| ROOT.iter().all(|key| key.name != *other)));
    }
}

fn near(name: &str) -> Vec<&'static str> {
    schema::near(name, ROOT)
}

/// The expansion of `declaration`, formatted.
fn expansion(declaration: &str) -> String {
    let expansion = crate::expansion(format!("perceiver; {declaration}").parse().unwrap());
    prettyplease::unparse(&syn::parse2(expansion).unwrap())
}

/// The whole expansion of a small declaration, for a person to read.
#[test]
fn expansion_of_a_small_declaration() {
    let expansion = expansion(
        "/// Reads a handwritten digit.
        pub struct Digits {
            input_channels: 1,
            num_freq_bands: 4,
            max_freq: 8.0,
            depth: 2,
            num_classes: labels::COUNT,
        }",
    );
    expect_file!["../tests/snapshots/digits.rs"].assert_eq(&expansion);
}

/// One without a head, of a fixed size, in the nested form.
#[test]
fn expansion_of_a_nested_declaration() {
    let expansion = expansion(
        "struct Embedder {
            input: Grid { shape: [8, SIZE, 1], position: Fourier { bands: 4, max_freq: [8.0, 6.0] } },
            depth: 2,
            output: Latents,
        }",
    );
    expect_file!["../tests/snapshots/embedder.rs"].assert_eq(&expansion);
}

/// The nested form of a declaration is the flat one.
#[test]
fn flat_and_nested_declarations_have_one_expansion() {
    // Before it is completion, which is for what is written.
    let model = |declaration| {
        let expansion = expansion(declaration);
        let model = &expansion[expansion.find("///A Perceiver.").unwrap()..];
        // Messages name the keys as they are written.
        model.replace("`shape`", "`input_shape`").replace("`bands`", "`num_freq_bands`")
    };
    for (flat, nested) in [
        (
            "struct M { depth: 1, input_axis: 3, input_channels: 4, num_freq_bands: 2, max_freq: 9, num_classes: 7 }",
            "struct M { depth: 1, input: Grid { axes: 3, channels: 4, position: Fourier { bands: 2, max_freq: 9 } }, \
             output: MeanPool(7), family: PerceiverPytorch }",
        ),
        (
            "struct M { depth: 1, input_shape: [8, A, 3], num_freq_bands: B, max_freq: [9.0, 8], freq_base: 2.0 }",
            "struct M { depth: 1, input: Grid { shape: [8, A, 3], position: Fourier { bands: B, max_freq: [9.0, 8], base: 2.0 } } }",
        ),
        (
            "struct M { depth: 1, input_axis: 1, input_channels: 32, fourier_encode_data: false, final_classifier_head: false }",
            "struct M { depth: 1, input: Tokens(32), output: Latents }",
        ),
        (
            "struct M { depth: 1, input_axis: 1, input_channels: 32, fourier_encode_data: false }",
            "struct M { depth: 1, input: Grid { axes: 1, channels: 32, position: None } }",
        ),
    ] {
        assert_eq!(model(flat), model(nested), "{flat}");
    }
}

/// Whatever its size, a declaration is read in time that is linear in it: none of these would end otherwise.
#[test]
fn long_and_deep_declarations_are_read() {
    let unknown = |i: usize| format!("key_{i}: {i}, ");
    let entries: String = (0..2_000).map(unknown).collect();
    assert_eq!(errors(&format!("struct Model {{ {entries} }}")).len(), 2_000 + 3);
    for (declaration, at_most) in [
        (",".repeat(20_000), 1),
        (format!("depth: 6 {}", ",".repeat(20_000)), 4),
        (format!("depth: {}6{}", "(".repeat(3_000), ")".repeat(3_000)), 1),
        (format!("depth: {}6", "- ".repeat(20_000)), 3),
        (format!("depth: 1{}", " + 1".repeat(20_000)), 3),
        (format!("depth: 6{}", " 6".repeat(20_000)), 3),
        (format!("depth: 6, {}", "x ".repeat(20_000)), 3),
        (format!("depth: 6, {}", "x: ".repeat(2_000)), 2_003),
        (format!("depth: 6, {}", "; = #[x] ".repeat(5_000)), 5_100),
        (format!("struct A {{ depth: 6 }}{}", " struct A".repeat(5_000)), 4),
    ] {
        let errors = errors(&declaration);
        assert!(
            !errors.is_empty() && errors.len() <= at_most,
            "{} errors of {}",
            errors.len(),
            &declaration[..30]
        );
    }
}

/// The errors that a declaration gives: each with what it points at.
fn errors(declaration: &str) -> Vec<(String, String)> {
    fn collect(source: &str, stream: TokenStream, errors: &mut Vec<(String, String)>) {
        let trees: Vec<_> = stream.into_iter().collect();
        for (i, tree) in trees.iter().enumerate() {
            let TokenTree::Group(group) = tree else {
                continue;
            };
            // `compile_error! { .. }`: the word begins where the error does, the braces end with it.
            match trees[..i] {
                [.., ref word, _] if word.to_string() == "compile_error" => {
                    let place = word.span().byte_range().start..group.span().byte_range().end;
                    let message: syn::LitStr = syn::parse2(group.stream()).unwrap();
                    errors.push((source[place].into(), message.value()));
                }
                _ => collect(source, group.stream(), errors),
            }
        }
    }
    let source = format!("perceiver; {declaration}");
    let expansion = crate::expansion(source.parse().unwrap());
    syn::parse2::<syn::File>(expansion.clone())
        .unwrap_or_else(|error| panic!("{declaration}: {error}"));
    let mut errors = Vec::new();
    collect(&source, expansion, &mut errors);
    // Every source that has been read would be kept and searched.
    proc_macro2::extra::invalidate_current_thread_spans();
    errors
}
