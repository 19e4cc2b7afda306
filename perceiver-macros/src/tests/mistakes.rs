//! What people write, and what they are told.

use super::errors;
use expect_test::expect_file;

/// Declarations that are right, as what a struct with `num_freq_bands` and `max_freq` may have besides.
const RIGHT: &[&str] = &[
    "depth: 6usize",
    "depth: (6)",
    "depth: { 6 }",
    "depth: -LAYERS",
    "depth: Other::DEPTH",
    "depth: 6, max_freq: 10f64",
    "depth: 6, attn_dropout: 0.1_f64",
    "depth: 6, num_latents: Self::DEPTH * 8",
    "depth: 6, num_latents: crate::Model::DEPTH, latent_dim: Model::NUM_LATENTS",
    "depth: max::<usize, 6>()",
    "depth: 'depth: loop { break 'depth 3 }",
    "depth: 6, num_latents: depth, latent_dim: config::depth",
    "depth: 6, inverted_cross_attn: TRUE",
    "depth: Other::depth(), num_latents: max(Self::DEPTH, 8)",
    "depth: other::Model::NUM_LATENTS, num_latents: Model::DEPTH",
    "depth: Model::depth()",
    "depth: \"don't\".len()",
    "depth: 6, max_freq: [10.0, 8]",
    "depth: 6, max_freq: FREQUENCIES[0]",
    "depth: Self::DEPTH",
];

/// Right ones without those keys.
const RIGHT_NESTED: &[&str] = &[
    "input: Tokens(8)",
    "input: Tokens(WIDTH), output: Latents",
    "input: (Tokens(8))",
    "input: Grid { axes: 2, channels: 3 }",
    "input: Grid { shape: [8, 8, 3], position: None, }",
    "input: Grid { axes: AXES, channels: 3, position: Fourier { bands: 6, max_freq: [8.0, 8.0] } }",
    "input: Grid { /// How many.\n axes: 2, channels: 3, position: Fourier { bands: 6, max_freq: 8, base: 2 } }",
    "family: PerceiverPytorch, input: Tokens(8), output: MeanPool(10)",
];

/// Keys and values that are wrong.
const ENTRIES: &[&str] = &[
    "depth: 0",
    "depth: -1",
    "depth: 99999999999999999999999",
    "depth: 6.0",
    "depth: \"6\"",
    "depth: '6'",
    "depth: true",
    "depth: [6]",
    "depth: (6, 7)",
    "depth: &6",
    "depth: 1..6",
    "depth: _",
    "depth: None",
    "depth: Some(6)",
    "depth: 6i32",
    "depth: 6, max_freq: 0",
    "depth: 6, max_freq: -10.0",
    "depth: 6, max_freq: 1e999",
    "depth: 6, max_freq: 10f32",
    "depth: 6, attn_dropout: 1.0",
    "depth: 6, attn_dropout: -0.0",
    "depth: 6, attn_dropout: 10%",
    "depth: 6, attn_dropout: 0,1",
    "depth: 6, freq_base: 1",
    "depth: 6, max_freq: f64::INFINITY",
    "depth: 6, attn_dropout: f64::NAN",
    "depth:\nnum_latents: 16",
    "depth: 2 +\nnum_latents: 16",
    "depth: Other.\nnum_latents: 16",
    "depth: 6, num_classes: 10 /// ten",
    "depth: #[cfg(test)] 6",
    "depth: 6, # num_latents: 8,\nnum_latents: 16",
    "depth: 6, attn_dropout: .1",
    "depth: 6, max_freq: +10.0",
    "depth: ...",
    "depth: { cross: 2, latent: 4 }",
    "depth: Const<2>",
    "depth: 6, input_shape: Rank3<8, 8, 3>",
    "depth: 6, input_shape: (Const<8>, Const<8>, Const<3>)",
    "depth: 6, input_shape: [None, None, 3]",
    "depth: 6, input_shape: [8i32, 0, 3.0]",
    "depth: 6, input_shape: [8, 8], input_channels: 3",
    "depth: 6, num_classes: 0",
    "depth: 6, num_classes: None",
    "depth: 6, final_classifier_head: None",
    "depth: 6, freq_base: Option::None",
    "depth: i32",
    "depth: 6, num_latents: 1k",
    "depth: 6, LATENT_DIM: 32",
    "num_layer: 6",
    "depth: 6, head: 8",
    "pub depth: 0",
    "depth: 2\nnum_latents: 16, latent_dim: 8\nnum_classes: 10",
    "depth = 2, num_latents: 16\nlatent_dim: 8",
    "depth: 2. num_latents: 16",
    "depth, 2, num_latents: 16",
    "depth; 2; num_latents; 16;",
    "depth =: 2",
    "depth: 2, -- layers\nnum_latents: 16",
    "..Base, depth: 6",
    "depth: 6, ...Base",
    "depth: BIG ? 6 : 2",
    "{ \"depth\" = 6, \"num_latents\" = 8 }",
    "depth: usize",
    "depth: 6, input_shape: [usize, usize, 3]",
    "depth: 6, freq_base: None",
    "depth: 6, freq_base: Some(2.0)",
    "depth: 6, weight_tie_layers: True",
    "depth: 6, weight_tie_layers: 1",
    "depth: 6, weight_tie_layers: not true",
    "depth: 6, final_classifier_head: HEAD",
    "depth: 6, input_axis: 5",
    "depth: 6, num_latents: 1,024",
    "depth: 6, input_shape: 8",
    "depth: 6, input_shape: SHAPE",
    "depth: 6, input_shape: (8, 8, 3)",
    "depth: 6, input_shape: [8]",
    "depth: 6, input_shape: [8; 3]",
    "depth: 6, input_shape: [8, 8, 8, 8, 8, 3]",
    "depth: 6, input_shape: [8, 0, 3]",
    "depth: 6, input_shape: [8, 8, 0]",
    "depth: 6, input_shape: [8 8 3]",
    "depth: 6, input_shape: 8, 8, 3",
    "depth: 6, input_shape: 8x8x3",
    "depth: 6, input_shape: [8, 8, 3], input_axis: 2",
    "depth: 6, input_shape: [8, 8, 3], input_axis: 2, input_channels: 3",
    "depth: 6, depth: 7",
    "depth: 6, r#depth: 7",
    "dept: 6",
    "Depth: 6",
    "depth: 6, batch_size: 32",
    "depth: 6, heads: 8",
    "depth: 6, encoder: { heads: 8 }",
    "depth: 6, num_latents 8",
    "depth: 6, num-latents: 8",
    "depth: 6, num latents: 8",
    "depth: 6, num.latents: 8",
    "depth: 6, model.num_latents: 8",
    "pub depth: 6",
    "let depth: 6",
    "const depth: usize = 6",
    "depth: usize = 6",
    "depth = 6",
    "depth => 6",
    "depth := 6",
    "depth += 6",
    "depth -> 6",
    "depth 6",
    "depth",
    "depth:",
    "depth: 6 +",
    "depth: 6; max_freq: 10.0; num_latents: 8;",
    "depth: 6 num_latents: 8",
    "\"depth\": 6, \"num_latents\": 8",
    ", depth: 6",
    "depth: 6,, num_latents: 8",
    "depth: 6, ..",
    "depth: 6, ..Default::default()",
    "#[serde(default)] depth: 6",
    "# comment",
    "depth: # six",
    "depth: 6 # six",
    "depth: 6, /// behind",
    "{ depth: 6 }",
    "(depth: 6)",
    "fn: 6, depth: 6",
    "'depth: 6",
    "$depth: 6",
];

/// Wrong ones with nested values.
const NESTED: &[&str] = &[
    "depth: 6, input: Grid { axes: 2 channels: 3 }",
    "depth: 6, input: Grid { axes = 2, channels: 3 }",
    "depth: 6, input: Grid { axis: 2, channels: 3 }",
    "depth: 6, input: Grid { axes: 2, chanels: 3 }",
    "depth: 6, input: Grid { axes: 2 }",
    "depth: 6, input: Grid { channels: 3 }",
    "depth: 6, input: Grid {}",
    "depth: 6, input: Grid { axes: 2, axes: 3, channels: 3 }",
    "depth: 6, input: Grid { axes: 5, channels: 3 }",
    "depth: 6, input: Grid { axes: 2, channels: 3, depth: 4 }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier {} }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier { bands: 6 } }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier { bands: 6, max_freq: -1.0 } }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier { bands: 6, max_freq: [8.0, 0] } }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier { bands: 6, max_freq: [8.0] } }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier { bands: 6, max_freq: [] } }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier { num_freq_bands: 6, max_freq: 8.0 } }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourier { bands: 6, max_freq: 8.0, base: 1 } }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: Fourrier { bands: 6, max_freq: 8.0 } }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: none }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: None {} }",
    "depth: 6, input: Grid { axes: 2, channels: 3, position: true }",
    "depth: 6, input: Grid { shape: [8, 8, 3], axes: 2 }",
    "depth: 6, input: Grid { shape: [8, usize, 3] }",
    "depth: 6, input: Grid { shape: (8, 8, 3) }",
    "depth: 6, input: Grid { shape: [8, 8 3] }",
    "depth: 6, input: Grid { shape: }",
    "depth: 6, input: Grid { shape: [8, 8, 3] } num_latents: 8",
    "depth: 6, input: Grid",
    "depth: 6, input: Grid(2, 3)",
    "depth: 6, input: grid { axes: 2, channels: 3 }",
    "depth: 6, input: Image { axes: 2, channels: 3 }",
    "depth: 6, input: Tokens",
    "depth: 6, input: Tokens()",
    "depth: 6, input: Tokens(0)",
    "depth: 6, input: Tokens(8, 8)",
    "depth: 6, input: Tokens { dim: 8 }",
    "depth: 6, input: [8, 8, 3]",
    "depth: 6, input: { axes: 2 }",
    "depth: 6, input: perceiver::Tokens(8)",
    "depth: 6, input: Tokens(8), input_channels: 8, input_axis: 1",
    "depth: 6, output: MeanPool(10), num_classes: 10",
    "depth: 6, output: Latents, final_classifier_head: false",
    "depth: 6, output: MeanPool",
    "depth: 6, output: MeanPool(0)",
    "depth: 6, output: Latents(8)",
    "depth: 6, output: Logits(8)",
    "depth: 6, output: None",
    "depth: 6, output: 10",
    "depth: 6, family: PerceiverPyTorch",
    "depth: 6, family: \"PerceiverPytorch\"",
    "depth: Grid { axes: 2 }",
    "depth: 6, max_freq: [10.0, 8.0, 6.0]",
    "depth: 6, max_freq: [10.0, \"8\"]",
];

/// Declarations that are wrong as a whole. `BODY` stands for all that they need.
const DECLARATIONS: &[&str] = &[
    "",
    "6",
    "struct",
    "struct Model",
    "struct Model;",
    "struct Model(depth: 6);",
    "struct Model { max_freq: 10.0, num_freq_bands: 6 }",
    "struct Model { depth: 6 }",
    "depth: 6",
    "struct Model {}",
    "struct { BODY }",
    "struct \"Model\" { BODY }",
    "struct (Model) { BODY }",
    "struct 6 { BODY }",
    "struct fn { BODY }",
    "struct a::Model { BODY }",
    "struct Model: { BODY }",
    "struct Model = { BODY }",
    "struct Model<E, D> { BODY }",
    "struct Model<> { BODY }",
    "struct Model where E: Dtype { BODY }",
    "struct Model [ BODY ]",
    "struct Model ( BODY )",
    "struct Model ( BODY, num_clases: 10 )",
    "struct Model {};",
    "Model, BODY",
    "Model BODY",
    "Model:\n BODY",
    "[Model]\n num_freq_bands = 6\n max_freq = 10.0\n depth = 6",
    "struct r#E { BODY }",
    "struct Model { num_freq_bands: 6, max_freq: 10.0 } struct E { BODY }",
    "num_freq_bands: 6\n max_freq: 10.0\n depth: 6\n num_latents: 8",
    "#[cfg(test)] struct Model { depth: 0, num_freq_bands: 0, max_freq: 10.0 }",
    "Model; BODY",
    "static MODEL: Model = Model { BODY };",
    "type Model = Perceiver { BODY };",
    "impl Perceiver for Model { BODY }",
    "#derive(Clone) struct Model { BODY }",
    "struct #[derive(Clone)] Model { BODY }",
    "#[derive(Clone, PartialEq, Default)] struct Model { BODY }",
    "struct Model { num_freq_bands: 6, depth: 6, fourier_encode_data: False }",
    "struct Model { depth: 6, fourier_encode: false }",
    "struct E { BODY }",
    "Model { BODY }",
    "Model: { BODY }",
    "Model = Perceiver(depth=6)",
    "pub Model { BODY }",
    "pub(here) struct Model { BODY }",
    "public struct Model { BODY }",
    "pub pub struct Model { BODY }",
    "Struct Model { BODY }",
    "class Model { BODY }",
    "enum Model { BODY }",
    "impl Model { BODY }",
    "let model = Model { BODY };",
    "struct struct Model { BODY }",
    "{ struct Model { BODY } }",
    "{ BODY }",
    "{ \"depth\": 6 }",
    "struct Model { BODY };",
    "struct Model { BODY } fn main() {}",
    "#![allow(x)] struct Model { BODY }",
    "//! Docs.\nstruct Model { BODY }",
    "# comment\nstruct Model { BODY }",
    "#[derive(Default)] struct Model { BODY }",
    "#[derive(Copy)] struct Model { BODY }",
];

/// A declaration with `entries`, and with the keys that it needs besides `depth`.
fn with(entries: &str) -> String {
    let max_freq = if entries.contains("max_freq") {
        ""
    } else {
        "max_freq: 10.0,"
    };
    format!("struct Model {{ num_freq_bands: 6, {max_freq} {entries}\n }}")
}

#[test]
fn a_right_declaration_gives_no_error() {
    let flat = RIGHT.iter().map(|entries| with(entries));
    let nested = RIGHT_NESTED
        .iter()
        .map(|entries| format!("struct Model {{ depth: 2, {entries} }}"));
    let several = "struct A { depth: 1, input: Tokens(8) } /// B.\n pub struct B { depth: 2, input: Tokens(8) }";
    for declaration in flat.chain(nested).chain([several.into()]) {
        assert_eq!(errors(&declaration), [], "{declaration}");
    }
}

/// Each wrong declaration, with what its errors point at and say.
#[test]
fn a_wrong_declaration_gives_its_errors() {
    let body = "num_freq_bands: 6, max_freq: 10.0, depth: 6";
    let entries = ENTRIES.iter().map(|entries| (*entries, with(entries)));
    let nested = NESTED
        .iter()
        .map(|entries| match entries.contains("input:") {
            true => (*entries, format!("struct Model {{ {entries} }}")),
            false => (*entries, with(entries)),
        });
    let declarations = DECLARATIONS
        .iter()
        .map(|written| (*written, written.replace("BODY", body)));
    let mut text = String::new();
    for (written, declaration) in entries.chain(nested).chain(declarations) {
        let errors = errors(&declaration);
        assert!(!errors.is_empty(), "{declaration}");
        text += &format!("{}\n", written.replace('\n', "⏎"));
        for (place, message) in errors {
            text += &format!(
                "    {}: {message}\n",
                place.replace('\n', "⏎").replace(body, "BODY")
            );
        }
    }
    expect_file!["../../tests/snapshots/mistakes.txt"].assert_eq(&text);
}
