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
