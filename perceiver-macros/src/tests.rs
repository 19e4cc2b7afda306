//! The documentation cannot disagree with the table of keys, nor the snapshot with the expansion.
//!
//! `UPDATE_EXPECT=1 cargo test -p perceiver-macros` writes the files anew.

mod mistakes;
mod mutations;

use expect_test::expect_file;
use proc_macro2::{TokenStream, TokenTree};

use crate::keys::{self, Default, KEYS, Kind};

#[test]
fn documentation_has_the_table_of_keys() {
    let table = keys::table();
    expect_file!["../../perceiver/src/keys.md"].assert_eq(&table);
    expect_file!["../../perceiver/src/declare/keys.rs"].assert_eq(&keys::module());
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&table),
        "README.md has another table of keys than keys.md"
    );
}

#[test]
fn keys_are_distinct_and_their_defaults_are_in_range() {
    for (i, key) in KEYS.iter().enumerate() {
        assert!(
            KEYS[..i].iter().all(|other| other.name != key.name),
            "{} twice",
            key.name
        );
        let Default::Value(value) = key.default else {
            continue;
        };
        match key.kind {
            Kind::Count { max } => assert!((1..=max).contains(&value.parse().unwrap())),
            Kind::Probability => assert!((0.0..1.0).contains(&value.parse::<f64>().unwrap())),
            Kind::Flag => assert!(value.parse::<bool>().is_ok()),
            Kind::Positive | Kind::Base | Kind::Shape => panic!("no such default: {}", key.name),
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
    assert_eq!(near("dropout"), ["attn_dropout", "ff_dropout"]);
    for (others, meant) in keys::ALSO_CALLED {
        assert!(others.iter().all(|other| keys::find(other).is_none()));
        assert!(meant.iter().all(|key| keys::find(key).is_some()));
    }
    assert_eq!(near("num_heads"), ["cross_heads", "latent_heads"]);
    assert_eq!(near("head_dim"), ["cross_dim_head", "latent_dim_head"]);
    for unknown in ["batch_size", "x", "learning_rate", "optimizer", "epochs"] {
        assert!(near(unknown).is_empty(), "{unknown}");
    }
}

fn near(name: &str) -> Vec<&'static str> {
    keys::near(name).iter().map(|key| key.name).collect()
}

/// The whole expansion of a small declaration, for a person to read.
#[test]
fn expansion_of_a_small_declaration() {
    let expansion = crate::expansion(quote::quote! {
        perceiver;
        /// Reads a handwritten digit.
        pub struct Digits {
            input_channels: 1,
            num_freq_bands: 4,
            max_freq: 8.0,
            depth: 2,
            num_classes: labels::COUNT,
        }
    });
    let file = syn::parse2(expansion).unwrap();
    expect_file!["expansion.snapshot.rs"].assert_eq(&prettyplease::unparse(&file));
}

/// A declaration of hundreds of wrong keys takes no time to speak of.
#[test]
fn a_long_declaration_is_read_in_time() {
    let entries: String = (0..400).map(|i| format!("key_{i}: {i},")).collect();
    let start = std::time::Instant::now();
    let expansion = crate::expansion(
        format!("perceiver; struct Model {{ {entries} }}")
            .parse()
            .unwrap(),
    );
    assert!(!expansion.is_empty());
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
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
