//! What the compiler says about mistakes, by who says it: `declaration`, the macro; `constant`, the checks of
//! constants that the macro cannot read; `tensor`, rustc about tensors given to a model; `layer`, rustc about
//! layers used by hand.
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes the `.stderr` files anew. Read what has changed.

#[test]
fn mistakes() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*/*.rs");
}

/// The README shows what the compiler says, if with fewer lines.
#[test]
fn the_readme_shows_the_error_as_it_is() {
    let readme = include_str!("../README.md");
    let stderr = include_str!("ui/tensor/readme.stderr");
    let (_, shown) = readme.split_once("```text\n").expect("the README shows an error");
    let (shown, _) = shown.split_once("```").expect("the error ends");
    for line in shown.lines().filter(|line| !line.is_empty()) {
        assert!(stderr.contains(line.trim()), "the compiler does not say: {line}");
    }
}
