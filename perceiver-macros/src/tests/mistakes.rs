//! What people write, and what they are told.

use super::errors;

/// Declarations that are right, as what a struct with `num_freq_bands` and `max_freq` may have besides.
#[rustfmt::skip] // one declaration, one row
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
];

/// Keys and values that are wrong: each message with what it points at, and as far as the `..` at its end.
#[rustfmt::skip]
const ENTRIES: &[(&str, &[(&str, &str)])] = &[
    ("depth: 0", &[("0", "`depth` has to be a whole number from 1 to 4096, found `0`")]),
    ("depth: -1", &[("-1", "`depth` has to be a whole number from 1 to 4096, found `-1`")]),
    ("depth: 99999999999999999999999", &[("99999999999999999999999", "`depth` has to be a whole number from 1 to 4096, found `99999999999999999999999`")]),
    ("depth: 6.0", &[("6.0", "`depth` has to be a whole number from 1 to 4096, found `6.0`")]),
    ("depth: \"6\"", &[("\"6\"", "`depth` has to be a whole number from 1 to 4096, found `\"6\"`")]),
    ("depth: '6'", &[("'6'", "`depth` has to be a whole number from 1 to 4096, found `'6'`")]),
    ("depth: true", &[("true", "`depth` has to be a whole number from 1 to 4096, found `true`")]),
    ("depth: [6]", &[("[6]", "`depth` has to be a whole number from 1 to 4096, found `[6]`")]),
    ("depth: (6, 7)", &[("(6, 7)", "`depth` has to be a whole number from 1 to 4096, found `(6, 7)`")]),
    ("depth: &6", &[("&6", "`depth` has to be a whole number from 1 to 4096, found `&6`")]),
    ("depth: 1..6", &[("1..6", "`depth` has to be a whole number from 1 to 4096, found `1..6`")]),
    ("depth: _", &[("_", "`depth` has to be a whole number from 1 to 4096, found `_`")]),
    ("depth: None", &[("None", "`depth` has to be a whole number from 1 to 4096, found `None`")]),
    ("depth: Some(6)", &[("Some(6)", "`depth` has to be a whole number from 1 to 4096, found `Some(6)`: leave out the `Some`")]),
    ("depth: 6i32", &[("6i32", "`depth` has to be a whole number from 1 to 4096, found `6i32`: leave out the suffix")]),
    ("depth: Model::DEPTH", &[("Model::DEPTH", "`depth` cannot be made of itself")]),
    ("depth: Self::DEPTH", &[("Self::DEPTH", "`depth` cannot be made of itself")]),
    ("depth: 6, max_freq: 0", &[("0", "`max_freq` has to be a number above 0, found `0`")]),
    ("depth: 6, max_freq: -10.0", &[("-10.0", "`max_freq` has to be a number above 0, found `-10.0`")]),
    ("depth: 6, max_freq: 1e999", &[("1e999", "`max_freq` has to be a number above 0, found `1e999`, which is more than `f64::MAX`")]),
    ("depth: 6, max_freq: 10f32", &[("10f32", "`max_freq` has to be a number above 0, found `10f32`: leave out the suffix")]),
    ("depth: 6, max_freq: nan", &[("nan", "`max_freq` has to be a number above 0, found `nan`")]),
    ("depth: 6, attn_dropout: 1.0", &[("1.0", "`attn_dropout` has to be a number of at least 0 and below 1, found `1.0`")]),
    ("depth: 6, attn_dropout: -0.0", &[("-0.0", "`attn_dropout` has to be a number of at least 0 and below 1, found `-0.0`")]),
    ("depth: 6, attn_dropout: 10%", &[("10%", "`attn_dropout` has to be a number of at least 0 and below 1, found `10 %`: write a fraction, as in `0.1`")]),
    ("depth: 6, attn_dropout: 0,1", &[("0,1", "`attn_dropout` has more than one value: sizes are in brackets, as in `[224, 224, 3]`, digits are grouped by `_`, as in `1_024`, and a fraction is behind a `.`")]),
    ("depth: 6, freq_base: 1", &[("1", "`freq_base` has to be a number above 0 other than 1, found `1`")]),
    ("depth: 6, max_freq: f64::INFINITY", &[("f64::INFINITY", "`max_freq` has to be a number above 0, found `f64::INFINITY`")]),
    ("depth: 6, attn_dropout: f64::NAN", &[("f64::NAN", "`attn_dropout` has to be a number of at least 0 and below 1, found `f64::NAN`")]),
    ("depth:\nnum_latents: 16", &[("depth", "`depth` has no value: write `depth: value`")]),
    ("depth: 2 +\nnum_latents: 16", &[("2 +", "the value of `depth` is not complete")]),
    ("depth: Other.\nnum_latents: 16", &[("Other.", "the value of `depth` is not complete")]),
    ("depth: 6, num_classes: 10 /// ten", &[("/// ten", "expected documentation in front of what it documents: a comment begins with `//`")]),
    ("depth: #[cfg(test)] 6", &[("#[cfg(test)]", "expected the value of `depth`, found `#[cfg(test)]`: an attribute stands in front of `struct`")]),
    ("depth: 6, # num_latents: 8,\nnum_latents: 16", &[("#", "a comment begins with `//`, not `#`")]),
    ("depth: 6, attn_dropout: .1", &[(".1", "`attn_dropout` has to be a number of at least 0 and below 1, found `.1`: write a `0` in front")]),
    ("depth: 6, max_freq: +10.0", &[("+10.0", "`max_freq` has to be a number above 0, found `+10.0`")]),
    ("depth: ...", &[("...", "`depth` has to be a whole number from 1 to 4096, found `...`")]),
    ("depth: { cross: 2, latent: 4 }", &[("{ cross: 2, latent: 4 }", "`depth` has to be a whole number from 1 to 4096, found `{ cross: 2, latent: 4 }`")]),
    ("depth: Const<2>", &[("Const<2>", "`depth` has to be a whole number from 1 to 4096, found `Const<2>`, which is a type")]),
    ("depth: 6, input_shape: Rank3<8, 8, 3>", &[("Rank3<8, 8, 3>", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found `Rank3<8, 8, 3>`, which is a type")]),
    ("depth: 6, input_shape: (Const<8>, Const<8>, Const<3>)", &[("(Const<8>, Const<8>, Const<3>)", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found `(Const<8>..")]),
    ("depth: 6, input_shape: [None, None, 3]", &[("None", "`input_shape` has to have a whole number from 1 to 1048576 for axis 1, found `None`: for inputs of any size, give `input_axis` and `input_channels` instead")]),
    ("depth: 6, input_shape: [8i32, 0, 3.0]", &[("8i32", "`input_shape` has to have a whole number from 1 to 1048576 for axis 1, found `8i32`: leave out the suffix"), ("0", "`input_shape` has to have a whole number from 1 to 1048576 for axis 2, found `0`"), ("3.0", "`input_shape` has to have a whole number from 1 to 1048576 for the channels, found `3.0`")]),
    ("depth: 6, input_shape: [8, 8], input_channels: 3", &[("input_channels", "`input_shape: [8, 8]` says this already, 1 axis and 8 channels: leave out `input_channels`")]),
    ("depth: 6, num_classes: 0", &[("0", "`num_classes` has to be a whole number from 1 to 268435456, found `0`: for no logits, write `final_classifier_head: false`")]),
    ("depth: 6, num_classes: None", &[("None", "`num_classes` has to be a whole number from 1 to 268435456, found `None`: for no logits, write `final_classifier_head: false`")]),
    ("depth: 6, final_classifier_head: None", &[("None", "`final_classifier_head` has to be `true` or `false`, found `None`")]),
    ("depth: 6, freq_base: Option::None", &[("Option::None", "`freq_base` has to be a number above 0 other than 1, found `Option::None`: leave out the key")]),
    ("depth: i32", &[("i32", "`depth` has to be a whole number from 1 to 4096, found `i32`, which is a type")]),
    ("depth: 6, num_latents: 1k", &[("1k", "`num_latents` has to be a whole number from 1 to 1048576, found `1k`")]),
    ("depth: 6, LATENT_DIM: 32", &[("LATENT_DIM", "there is no key `LATENT_DIM`; did you mean `latent_dim`?")]),
    ("num_layer: 6", &[("num_layer", "there is no key `num_layer`; did you mean `depth`?")]),
    ("depth: 6, head: 8", &[("head", "there is no key `head`; did you mean `cross_heads`, `latent_heads`, `cross_dim_head`, `latent_dim_head` or `final_classifier_head`?")]),
    ("- depth: 6\n- num_latents: 16\n- latent_dim: 8", &[("-", "expected a key, as in `depth: 6`, found `-`")]),
    ("export depth=6\nexport num_latents=16", &[("export", "expected a key, as in `depth: 6`, found `export`")]),
    ("pub depth: 0", &[("pub", "expected a key, as in `depth: 6`, found the keyword `pub`"), ("0", "`depth` has to be a whole number from 1 to 4096, found `0`")]),
    ("depth: Model::NUM_LATENTS, num_latents: Model::DEPTH * 8", &[("Model::NUM_LATENTS", "`depth` cannot be made of itself: it is, by `Model::NUM_LATENTS`")]),
    ("depth: Self::DEPTH + 1", &[("Self::DEPTH + 1", "`depth` cannot be made of itself")]),
    ("depth: Model::PARAMETERS / 1000", &[("Model::PARAMETERS / 1000", "`depth` cannot be made of itself: it is, by `Model::PARAMETERS`")]),
    ("depth: 2\nnum_latents: 16, latent_dim: 8\nnum_classes: 10", &[("num_latents", "expected `,` before `num_latents`"), ("num_classes", "expected `,` before `num_classes`")]),
    ("depth = 2, num_latents: 16\nlatent_dim: 8", &[("=", "expected `:`, as in `depth: value`, found `=`"), ("latent_dim", "expected `,` before `latent_dim`")]),
    ("depth: 2. num_latents: 16", &[("num_latents", "expected `,` before `num_latents`")]),
    ("depth, 2, num_latents: 16", &[(",", "expected `:` after `depth`, found `,`")]),
    ("depth; 2; num_latents; 16;", &[(";", "expected `:` after `depth`, found `;`")]),
    ("depth =: 2", &[("=:", "expected `:`, as in `depth: value`, found `=:`")]),
    ("depth: 2, -- layers\nnum_latents: 16", &[("--", "expected a key, as in `depth: 6`, found `--`: a comment begins with `//`")]),
    ("..Base, depth: 6", &[("..", "expected a key, as in `depth: 6`, found `..`: a key that is left out has its default")]),
    ("depth: 6, ...Base", &[("...", "expected a key, as in `depth: 6`, found `...`: a key that is left out has its default")]),
    ("depth: BIG ? 6 : 2", &[("BIG ? 6 : 2", "`depth` has to be a whole number from 1 to 4096, found `BIG? 6: 2`: write `if .. { .. } else { .. }`")]),
    ("depth: (Self::DEPTH)", &[("(Self::DEPTH)", "`depth` cannot be made of itself")]),
    ("depth: 6, input_shape: [8, Model::INPUT_CHANNELS]", &[("[8, Model::INPUT_CHANNELS]", "`input_shape` cannot be made of itself: it is, by `Model::INPUT_CHANNELS`")]),
    ("{ \"depth\" = 6, \"num_latents\" = 8 }", &[("{", "expected a key, as in `depth: 6`, found `{`: leave out these braces"), ("\"depth\"", "expected a key, which has no quotes, as in `depth: 6`")]),
    ("depth: usize", &[("usize", "`depth` has to be a whole number from 1 to 4096, found `usize`, which is a type")]),
    ("depth: 6, input_shape: [usize, usize, 3]", &[("usize", "`input_shape` has to have a whole number from 1 to 1048576 for axis 1, found `usize`: for inputs of any size, give `input_axis` and `input_channels` instead")]),
    ("depth: 6, freq_base: None", &[("None", "`freq_base` has to be a number above 0 other than 1, found `None`: leave out the key")]),
    ("depth: 6, freq_base: Some(2.0)", &[("Some(2.0)", "`freq_base` has to be a number above 0 other than 1, found `Some(2.0)`: leave out the `Some`")]),
    ("depth: 6, weight_tie_layers: True", &[("True", "`weight_tie_layers` has to be `true` or `false`, found `True`")]),
    ("depth: 6, weight_tie_layers: 1", &[("1", "`weight_tie_layers` has to be `true` or `false`, found `1`")]),
    ("depth: 6, weight_tie_layers: not true", &[("true", "expected `,` after the value of `weight_tie_layers`, found `true`")]),
    ("depth: 6, final_classifier_head: HEAD", &[("HEAD", "`final_classifier_head` has to be written out, `true` or `false`: it decides what the model is made of")]),
    ("depth: 6, input_axis: 5", &[("5", "`input_axis` has to be a whole number from 1 to 4, found `5`")]),
    ("depth: 6, num_latents: 1,024", &[("1,024", "`num_latents` has more than one value: sizes are in brackets, as in `[224, 224, 3]`, digits are grouped by `_`, as in `1_024`, and a fraction is behind a `.`")]),
    ("depth: 6, input_shape: 8", &[("8", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found `8`: write the sizes out")]),
    ("depth: 6, input_shape: SHAPE", &[("SHAPE", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found `SHAPE`: write the sizes out")]),
    ("depth: 6, input_shape: (8, 8, 3)", &[("(8, 8, 3)", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found `(8, 8, 3)`: write the sizes out")]),
    ("depth: 6, input_shape: [8]", &[("[8]", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found 1 size in `[8]`")]),
    ("depth: 6, input_shape: [8; 3]", &[("[8; 3]", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found `[8; 3]`: write the sizes out")]),
    ("depth: 6, input_shape: [8, 8, 8, 8, 8, 3]", &[("[8, 8, 8, 8, 8, 3]", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found 6 sizes in `[8, 8, 8, 8, 8, 3]`")]),
    ("depth: 6, input_shape: [8, 0, 3]", &[("0", "`input_shape` has to have a whole number from 1 to 1048576 for axis 2, found `0`")]),
    ("depth: 6, input_shape: [8, 8, 0]", &[("0", "`input_shape` has to have a whole number from 1 to 1048576 for the channels, found `0`")]),
    ("depth: 6, input_shape: [8 8 3]", &[("[8 8 3]", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found `[8 8 3]`")]),
    ("depth: 6, input_shape: 8, 8, 3", &[("8, 8, 3", "`input_shape` has more than one value: sizes are in brackets, as in `[224, 224, 3]`, digits are grouped by `_`, as in `1_024`, and a fraction is behind a `.`")]),
    ("depth: 6, input_shape: 8x8x3", &[("8x8x3", "`input_shape` has to be an array of the sizes of one to four axes and the channels, as in `[224, 224, 3]`, found `8x8x3`: write the sizes out")]),
    ("depth: 6, input_shape: [8, 8, 3], input_axis: 2", &[("input_axis", "`input_shape: [8, 8, 3]` says this already, 2 axes and 3 channels: leave out `input_axis`")]),
    ("depth: 6, input_shape: [8, 8, 3], input_axis: 2, input_channels: 3", &[("input_axis", "`input_shape: [8, 8, 3]` says this already, 2 axes and 3 channels: leave out `input_axis` and `input_channels`")]),
    ("depth: 6, depth: 7", &[("depth", "`depth` is given twice")]),
    ("depth: 6, r#depth: 7", &[("r#depth", "`depth` is given twice")]),
    ("dept: 6", &[("dept", "there is no key `dept`; did you mean `depth`?")]),
    ("Depth: 6", &[("Depth", "there is no key `Depth`; did you mean `depth`?")]),
    ("depth: 6, batch_size: 32", &[("batch_size", "there is no key `batch_size`; the keys are `depth`, `num_freq_bands`, ..")]),
    ("depth: 6, heads: 8", &[("heads", "there is no key `heads`; did you mean `cross_heads` or `latent_heads`?")]),
    ("depth: 6, encoder: { heads: 8 }", &[("encoder", "there is no key `encoder`; the keys are `depth`, `num_freq_bands`, ..")]),
    ("depth: 6, num_latents 8", &[("8", "expected `:` after `num_latents`, found `8`")]),
    ("depth: 6, num-latents: 8", &[("num-latents", "there is no key `num-latents`; did you mean `num_latents`?")]),
    ("depth: 6, num latents: 8", &[("num latents", "there is no key `num latents`; did you mean `num_latents`?")]),
    ("depth: 6, num.latents: 8", &[("num.latents", "there is no key `num.latents`; did you mean `num_latents`?")]),
    ("depth: 6, model.num_latents: 8", &[("model", "expected a key, as in `depth: 6`, found `model`")]),
    ("pub depth: 6", &[("pub", "expected a key, as in `depth: 6`, found the keyword `pub`")]),
    ("let depth: 6", &[("let", "expected a key, as in `depth: 6`, found the keyword `let`")]),
    ("const depth: usize = 6", &[("const", "expected a key, as in `depth: 6`, found the keyword `const`")]),
    ("depth: usize = 6", &[("usize", "`depth` is given no type: write `depth: value`")]),
    ("depth = 6", &[("=", "expected `:`, as in `depth: value`, found `=`")]),
    ("depth => 6", &[("=>", "expected `:`, as in `depth: value`, found `=>`")]),
    ("depth := 6", &[(":=", "expected `:` after `depth`, found `:=`")]),
    ("depth += 6", &[("+=", "expected `:` after `depth`, found `+=`")]),
    ("depth -> 6", &[("->", "expected `:` after `depth`, found `->`")]),
    ("depth 6", &[("6", "expected `:` after `depth`, found `6`")]),
    ("depth", &[("depth", "`depth` has no value: write `depth: value`")]),
    ("depth:", &[("depth", "`depth` has no value: write `depth: value`")]),
    ("depth: 6 +", &[("6 +", "the value of `depth` is not complete")]),
    ("depth: 6; max_freq: 10.0; num_latents: 8;", &[(";", "expected `,` between two keys, found `;`")]),
    ("depth: 6 num_latents: 8", &[("num_latents", "expected `,` before `num_latents`")]),
    ("\"depth\": 6, \"num_latents\": 8", &[("\"depth\"", "expected a key, which has no quotes, as in `depth: 6`")]),
    (", depth: 6", &[(",", "expected a key, as in `depth: 6`, found `,`")]),
    ("depth: 6,, num_latents: 8", &[(",", "expected a key, as in `depth: 6`, found `,`")]),
    ("depth: 6, ..", &[("..", "expected a key, as in `depth: 6`, found `..`: a key that is left out has its default")]),
    ("depth: 6, ..Default::default()", &[("..", "expected a key, as in `depth: 6`, found `..`: a key that is left out has its default")]),
    ("#[serde(default)] depth: 6", &[("#[serde(default)]", "a key can have documentation, but no other attribute")]),
    ("# comment", &[("#", "a comment begins with `//`, not `#`")]),
    ("depth: # six", &[("#", "a comment begins with `//`, not `#`")]),
    ("depth: 6 # six", &[("#", "a comment begins with `//`, not `#`")]),
    ("depth: 6, /// behind", &[("/// behind", "documentation stands in front of what it documents: nothing follows")]),
    ("{ depth: 6 }", &[("{", "expected a key, as in `depth: 6`, found `{`: leave out these braces")]),
    ("(depth: 6)", &[("(", "expected a key, as in `depth: 6`, found `(`")]),
    ("fn: 6, depth: 6", &[("fn", "there is no key `fn`; the keys are `depth`, `num_freq_bands`, ..")]),
    ("'depth: 6", &[("'depth", "expected a key, as in `depth: 6`, found `'depth`")]),
    ("$depth: 6", &[("$", "expected a key, as in `depth: 6`, found `$`")]),
];

/// Declarations that are wrong as a whole. `BODY` stands for all that they need.
#[rustfmt::skip]
const DECLARATIONS: &[(&str, &[(&str, &str)])] = &[
    ("", &[("", "nothing is declared: write `struct Name { key: value, .. }`")]),
    ("6", &[("6", "expected `struct Name { key: value, .. }`, found `6`")]),
    ("struct", &[("struct", "expected the model's name after `struct`")]),
    ("struct Model", &[("Model", "expected `{ key: value, .. }` after `Model`")]),
    ("struct Model;", &[(";", "expected `{ key: value, .. }` after `Model`, found `;`")]),
    ("struct Model(depth: 6);", &[("(", "expected `{ key: value, .. }` after `Model`, found `(`")]),
    ("struct Model { max_freq: 10.0, num_freq_bands: 6 }", &[("Model", "`depth` is missing: the number of layers, each a cross attention and its self attentions")]),
    ("struct Model { depth: 6 }", &[("Model", "`num_freq_bands` is missing: the number of frequency bands of the position encoding, for each axis"), ("Model", "`max_freq` is missing: the number of positions along an axis that the position encoding tells apart: its highest frequency is half of it")]),
    ("depth: 6", &[("depth", "`num_freq_bands` is missing: the number of frequency bands of the position encoding, for each axis"), ("depth", "`max_freq` is missing: the number of positions along an axis that the position encoding tells apart: its highest frequency is half of it")]),
    ("struct Model {}", &[("Model", "`depth` is missing: the number of layers, each a cross attention and its self attentions"), ("Model", "`num_freq_bands` is missing: the number of frequency bands of the position encoding, for each axis"), ("Model", "`max_freq` is missing: the number of positions along an axis that the position encoding tells apart: its highest frequency is half of it")]),
    ("struct { BODY }", &[("{", "expected the model's name after `struct`, found `{`")]),
    ("struct \"Model\" { BODY }", &[("\"Model\"", "expected the model's name after `struct`, found `\"Model\"`")]),
    ("struct (Model) { BODY }", &[("(", "expected the model's name after `struct`, found `(`")]),
    ("struct 6 { BODY }", &[("6", "expected the model's name after `struct`, found `6`")]),
    ("struct fn { BODY }", &[("fn", "expected the model's name after `struct`, found the keyword `fn`")]),
    ("struct a::Model { BODY }", &[("::", "expected `{ key: value, .. }` after `Model`, found `::`")]),
    ("struct Model: { BODY }", &[(":", "expected `{ key: value, .. }` after `Model`, found `:`")]),
    ("struct Model = { BODY }", &[("=", "expected `{ key: value, .. }` after `Model`, found `=`")]),
    ("struct Model<E, D> { BODY }", &[("<E, D>", "`Model` is given its generics, `<E = f32, D = Cpu>`: leave them out")]),
    ("struct Model<> { BODY }", &[("<>", "`Model` is given its generics, `<E = f32, D = Cpu>`: leave them out")]),
    ("struct Model where E: Dtype { BODY }", &[("where", "expected `{ key: value, .. }` after `Model`, found the keyword `where`")]),
    ("struct Model [ BODY ]", &[("[", "expected `{ key: value, .. }` after `Model`, found `[`")]),
    ("struct Model ( BODY )", &[("(", "expected `{ key: value, .. }` after `Model`, found `(`")]),
    ("struct Model ( BODY, num_clases: 10 )", &[("(", "expected `{ key: value, .. }` after `Model`, found `(`"), ("num_clases", "there is no key `num_clases`; did you mean `num_classes`?")]),
    ("struct Model {};", &[(";", "one `perceiver!` declares one model: nothing may follow it"), ("Model", "`depth` is missing: .."), ("Model", "`num_freq_bands` is missing: .."), ("Model", "`max_freq` is missing: ..")]),
    ("Model, BODY", &[("Model", "expected `struct Model { key: value, .. }`, found `Model`")]),
    ("Model BODY", &[("Model", "expected `struct Model { key: value, .. }`, found `Model`")]),
    ("Model:\n BODY", &[("Model", "expected `struct Model { key: value, .. }`, found `Model`")]),
    ("[Model]\n num_freq_bands = 6\n max_freq = 10.0\n depth = 6", &[("[", "expected `struct Model { key: value, .. }`, found `[`")]),
    ("struct r#E { BODY }", &[("r#E", "a model cannot be called `r#E`: a part of what it is made of is")]),
    ("struct Model { num_freq_bands: 6, max_freq: 10.0 } struct E { BODY }", &[("struct E { BODY }", "one `perceiver!` declares one model: nothing may follow it")]),
    ("num_freq_bands: 6\n max_freq: 10.0\n depth: 6\n num_latents: 8", &[("max_freq", "expected `,` before `max_freq`")]),
    ("#[cfg(test)] struct Model { depth: 0, num_freq_bands: 0, max_freq: 10.0 }", &[("0", "`depth` has to be a whole number from 1 to 4096, found `0`"), ("0", "`num_freq_bands` has to be a whole number from 1 to 4096, found `0`")]),
    ("#[cfg_attr(a, cfg_attr(b, derive(Copy)))] struct Model { BODY }", &[("Copy", "a model can derive `Clone` and `Debug`, but not `Copy`")]),
    ("Model; BODY", &[("Model", "expected `struct Model { key: value, .. }`, found `Model`")]),
    ("static MODEL: Model = Model { BODY };", &[("static", "expected `struct Model { key: value, .. }`, found the keyword `static`")]),
    ("type Model = Perceiver { BODY };", &[("type", "expected `struct Model { key: value, .. }`, found the keyword `type`")]),
    ("impl Perceiver for Model { BODY }", &[("impl", "expected `struct Model { key: value, .. }`, found the keyword `impl`")]),
    ("#derive(Clone) struct Model { BODY }", &[("#derive", "expected `#[derive(..)]`, found `#derive`")]),
    ("struct #[derive(Clone)] Model { BODY }", &[("#[derive(Clone)]", "expected the model's name after `struct`, found `#[derive(Clone)]`: an attribute stands in front of `struct`")]),
    ("#[derive(Clone, PartialEq, Default)] struct Model { BODY }", &[("PartialEq", "a model can derive `Clone` and `Debug`, but not `PartialEq`"), ("Default", "a model can derive `Clone` and `Debug`, but not `Default`: `build_module` makes a model")]),
    ("struct Model { num_freq_bands: 6, depth: 6, fourier_encode_data: False }", &[("False", "`fourier_encode_data` has to be `true` or `false`, found `False`")]),
    ("struct Model { depth: 6, fourier_encode: false }", &[("fourier_encode", "there is no key `fourier_encode`; did you mean `fourier_encode_data`?")]),
    ("struct E { BODY }", &[("E", "a model cannot be called `E`: a part of what it is made of is")]),
    ("Model { BODY }", &[("Model", "expected `struct Model { key: value, .. }`, found `Model`")]),
    ("Model: { BODY }", &[("Model", "expected `struct Model { key: value, .. }`, found `Model`")]),
    ("Model = Perceiver(depth=6)", &[("Model", "expected `struct Model { key: value, .. }`, found `Model`")]),
    ("pub Model { BODY }", &[("Model", "expected `struct Model { key: value, .. }`, found `Model`")]),
    ("pub(here) struct Model { BODY }", &[("pub(here)", "expected `pub`, `pub(crate)`, `pub(super)` or `pub(in path)`, found `pub(here)`")]),
    ("public struct Model { BODY }", &[("public", "expected `struct Model { key: value, .. }`, found `public`")]),
    ("pub pub struct Model { BODY }", &[("pub", "expected `struct Model { key: value, .. }`, found the keyword `pub`")]),
    ("Struct Model { BODY }", &[("Struct", "expected `struct Model { key: value, .. }`, found `Struct`")]),
    ("class Model { BODY }", &[("class", "expected `struct Model { key: value, .. }`, found `class`")]),
    ("enum Model { BODY }", &[("enum", "expected `struct Model { key: value, .. }`, found the keyword `enum`")]),
    ("impl Model { BODY }", &[("impl", "expected `struct Model { key: value, .. }`, found the keyword `impl`")]),
    ("let model = Model { BODY };", &[("let", "expected `struct Model { key: value, .. }`, found the keyword `let`")]),
    ("struct struct Model { BODY }", &[("struct", "expected the model's name after `struct`, found the keyword `struct`")]),
    ("{ struct Model { BODY } }", &[("{", "leave out these braces: those of `perceiver! { .. }` are enough")]),
    ("{ BODY }", &[("{", "leave out these braces: those of `perceiver! { .. }` are enough")]),
    ("{ \"depth\": 6 }", &[("{", "leave out these braces: those of `perceiver! { .. }` are enough")]),
    ("struct Model { BODY };", &[(";", "one `perceiver!` declares one model: nothing may follow it")]),
    ("struct Model { BODY } fn main() {}", &[("fn main() {}", "one `perceiver!` declares one model: nothing may follow it")]),
    ("struct Model { BODY } struct Other { BODY }", &[("struct Other { BODY }", "one `perceiver!` declares one model: nothing may follow it")]),
    ("#![allow(x)] struct Model { BODY }", &[("#![allow(x)]", "expected `#[..]`, found `#![..]`: leave out the `!`")]),
    ("//! Docs.\nstruct Model { BODY }", &[("//! Docs.", "expected `///`, found `//!`: that documents what it is in, not what follows")]),
    ("# comment\nstruct Model { BODY }", &[("#", "a comment begins with `//`, not `#`")]),
    ("#[derive(Default)] struct Model { BODY }", &[("Default", "a model can derive `Clone` and `Debug`, but not `Default`: `build_module` makes a model")]),
    ("#[cfg_attr(all(), derive(Clone, Default))] struct Model { BODY }", &[("Default", "a model can derive `Clone` and `Debug`, but not `Default`: `build_module` makes a model")]),
    ("#[derive(Copy)] struct Model { BODY }", &[("Copy", "a model can derive `Clone` and `Debug`, but not `Copy`")]),
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

/// Compares what `declaration` gives with what is expected, and says whether it is the same.
fn gives(declaration: &str, expected: &[(&str, &str)]) -> bool {
    let errors = errors(declaration);
    let same = errors.len() == expected.len()
        && errors.iter().zip(expected).all(|(found, expected)| {
            let begins = expected.1.strip_suffix("..");
            found.0 == expected.0
                && begins.map_or(found.1 == expected.1, |begins| found.1.starts_with(begins))
        });
    if !same {
        eprintln!("{declaration}\n  expected {expected:#?}\n  found {errors:#?}");
    }
    same
}

#[test]
fn a_right_declaration_gives_no_error() {
    let wrong = RIGHT.iter().filter(|entries| !gives(&with(entries), &[]));
    assert_eq!(wrong.count(), 0);
}

#[test]
fn a_wrong_entry_gives_its_error() {
    let other = ENTRIES
        .iter()
        .filter(|(entries, expected)| !gives(&with(entries), expected));
    assert_eq!(other.count(), 0);
}

#[test]
fn a_wrong_declaration_gives_its_error() {
    let body = "num_freq_bands: 6, max_freq: 10.0, depth: 6";
    let other = DECLARATIONS.iter().filter(|(declaration, expected)| {
        let expected: Vec<_> = expected
            .iter()
            .map(|(place, message)| (place.replace("BODY", body), *message))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(place, message)| (place.as_str(), *message))
            .collect();
        !gives(&declaration.replace("BODY", body), &expected)
    });
    assert_eq!(other.count(), 0);
}
