//! Every sentence that the macro says about a mistake.

use proc_macro2::{Delimiter, Ident, LineColumn, TokenStream, TokenTree};
use quote::ToTokens;

use crate::schema::{Form, Key, Variant};

pub const EMPTY: &str = "empty declaration; expected `struct Name { key: value, .. }`";
pub const EXPECTED_STRUCT: &str = "expected `struct Name { key: value, .. }`";
pub const EXPECTED_NAME: &str = "expected the model's name after `struct`";
pub const TOO_DEEP: &str = "this is nested too deeply for a declaration";
pub const DOCUMENTS_NOTHING: &str = "this doc comment documents nothing";
pub const ATTRIBUTE: &str = "a key can have documentation, but no other attribute";
pub const INNER_ATTRIBUTE: &str =
    "expected an outer attribute; write `#[..]` without the `!`, and `///` in place of `//!`";
pub const EXPECTED_ENTRY: &str = "expected `key: value`";
pub const SEMICOLON: &str = "remove this `;`";

pub fn expected_body(name: &impl ToTokens) -> String {
    format!("expected `{{ key: value, .. }}` after `{}`", source(name))
}

pub fn generics(name: &impl ToTokens) -> String {
    format!("remove the generics: `{}` gets `<E = f32, D = Cpu>`", source(name))
}

pub fn reserved(name: &Ident) -> String {
    format!(
        "`{}` is reserved for a generic parameter of the expansion; choose another name",
        source(name)
    )
}

pub fn same_name(name: &Ident) -> String {
    format!("`{name}` is declared twice")
}

pub fn derive(path: &impl ToTokens) -> String {
    let path = source(path);
    let hint = if path.ends_with("Default") { "; build a model with `build_module`" } else { "" };
    format!("a model can derive `Clone` and `Debug`, but not `{path}`{hint}")
}

pub fn separator(key: &impl ToTokens) -> String {
    format!("expected `:` after `{}`", source(key))
}

pub fn comma_before(key: &impl ToTokens) -> String {
    format!("expected `,` before `{}`", source(key))
}

pub fn comma_after_value(key: &impl ToTokens) -> String {
    format!("expected `,` after the value of `{}`", source(key))
}

pub fn no_value(key: &impl ToTokens) -> String {
    let key = source(key);
    format!("`{key}` has no value; write `{key}: value`")
}

pub fn expected_value(key: &impl ToTokens) -> String {
    format!("expected the value of `{}`", source(key))
}

pub fn comma_in_value(key: &impl ToTokens) -> String {
    format!(
        "unexpected `,` in the value of `{}`; sizes are written `[8, 8, 3]`, large numbers `1_024`, fractions `0.1`",
        source(key)
    )
}

pub fn is_type(key: &impl ToTokens, ty: &impl ToTokens) -> String {
    format!("expected the value of `{}`, found the type `{}`", source(key), source(ty))
}

pub fn annotated(key: &impl ToTokens) -> String {
    let key = source(key);
    format!("keys take no type annotation; write `{key}: value`")
}

pub fn incomplete(key: &impl ToTokens) -> String {
    format!("the value of `{}` is incomplete", source(key))
}

pub fn invalid(key: &impl ToTokens, error: &syn::Error) -> String {
    format!("invalid value of `{}`: {error}", source(key))
}

pub fn too_long(key: &impl ToTokens) -> String {
    format!("the value of `{}` is too long; move it to a `const`", source(key))
}

/// There is no key `written` in `place`, which may have been meant to be one of `near`.
pub fn unknown_key(written: &str, place: Option<&str>, near: &[&str], all: &[&Key]) -> String {
    let all = all.iter().map(|key| key.name);
    let place = place.map_or_else(String::new, |place| format!(" in `{place}`"));
    format!("unknown key `{written}`{place}; {}", suggestion("keys", near, all))
}

/// There is no `written` among the values of `key`.
pub fn unknown_variant(written: &str, key: &str, near: &[&str], all: &[Variant]) -> String {
    let all = all.iter().map(|variant| variant.name);
    format!("unknown `{key}`: `{written}`; {}", suggestion("values", near, all))
}

fn suggestion<'a>(what: &str, near: &[&str], all: impl Iterator<Item = &'a str>) -> String {
    match near {
        [] => format!("the {what} are {}", list(all, "and")),
        near => format!("did you mean {}?", list(near.iter().copied(), "or")),
    }
}

pub fn repeated(key: &str) -> String {
    format!("`{key}` is given more than once")
}

pub fn missing(key: &Key, place: Option<&str>) -> String {
    let place = place.map_or_else(String::new, |place| format!(" in `{place}`"));
    format!("`{}` is missing{place}: the {}", key.name, key.doc)
}

/// There is nothing in `place`, which has values of `key` with names.
pub fn no_modality(place: &impl ToTokens, key: &Key) -> String {
    let (place, key) = (source(place), key.name);
    format!("`{place}` is empty; write `{place} {{ name: {key}, .. }}`, with a name for each {key}")
}

/// `key` is of one of several inputs or outputs.
pub fn needs_modalities(key: &str, side: &str) -> String {
    format!("`{key}` is for several {side}s; write `{side}: Modalities {{ name: {side}, .. }}`")
}

pub fn missing_extent() -> String {
    "`shape` is missing in `Grid`: the sizes of all axes and the number of channels, `[224, 224, 3]`; \
     for inputs of any size, write `axes` and `channels` instead"
        .into()
}

pub fn queries_of_input() -> String {
    "`queries: Input` needs an input with a fixed `shape`, with one axis, or of `Text`".into()
}

pub fn no_embedding() -> String {
    "`project: Embedding` needs an input with an embedding: `input: Text { vocab: .., max_len: .., dim: .. }`"
        .into()
}

pub fn needs_shape(what: &str) -> String {
    format!(
        "`{what}` needs an input of a fixed size: write `shape` in place of `axes` and `channels`"
    )
}

pub fn patch_length(count: usize, axes: usize) -> String {
    let sizes = if count == 1 { "size" } else { "sizes" };
    format!("`Patches` has {count} {sizes}, but the input has {} here", number_of_axes(axes as u64))
}

pub fn patch_not_literal(axis: usize) -> String {
    format!(
        "axis {axis} of `Patches` must be a literal, and so must that of `shape`, because they determine the number of axes"
    )
}

pub fn given_after_stem() -> String {
    "`position: Given` has one for each position of the input, but the `stem` changes those; use `Linear` alone".into()
}

pub fn needs_image(axes: u64) -> String {
    format!(
        "`ConvPool` needs an input with 2 axes, but the input has {} here",
        number_of_axes(axes)
    )
}

pub fn size_not_literal(axis: usize) -> String {
    format!(
        "axis {axis} of `shape` must be a literal, because `ConvPool` determines what becomes of it"
    )
}

pub fn too_small(axis: usize, size: u64) -> String {
    format!("axis {axis} of the input must be at least 5 for `ConvPool`, found `{size}`")
}

pub fn patch_size(axis: usize, patch: u64, size: u64) -> String {
    format!(
        "axis {axis} of `Patches` must divide axis {axis} of the input ({size}), found `{patch}`"
    )
}

/// `flat` keys beside the nested form that says the same.
pub fn conflict(nested: &str, flat: &[&str]) -> String {
    let flat = list(flat.iter().copied(), "and");
    format!(
        "{flat} cannot be combined with `{nested}`, which declares the same thing; use one or the other"
    )
}

pub fn shape_conflict(
    keys: &[&str],
    shape: &str,
    value: &str,
    axes: usize,
    channels: &str,
) -> String {
    let keys = list(keys.iter().copied(), "and");
    format!(
        "{keys} cannot be combined with `{shape}: {value}`, which already sets {} and {channels} channels",
        number_of_axes(axes as u64)
    )
}

pub fn wrong_value(key: &str, expected: &str, found: &impl ToTokens, hint: &str) -> String {
    format!("`{key}` must be {expected}, found `{}`{hint}", source(found))
}

pub fn wrong_element(
    element: &str,
    key: &str,
    expected: &str,
    found: &impl ToTokens,
    hint: &str,
) -> String {
    format!("{element} of `{key}` must be {expected}, found `{}`{hint}", source(found))
}

pub fn wrong_length(key: &str, expected: &str, count: usize) -> String {
    let elements = if count == 1 { "element" } else { "elements" };
    format!("`{key}` must be {expected}, found {count} {elements}")
}

/// `whose` says what has these axes.
pub fn max_freq_length(key: &str, count: usize, axes: u64, whose: &str) -> String {
    let values = if count == 1 { "value" } else { "values" };
    format!("`{key}` has {count} {values}, but {whose} {}", number_of_axes(axes))
}

fn number_of_axes(axes: u64) -> String {
    if axes == 1 { "1 axis".into() } else { format!("{axes} axes") }
}

/// `key` is computed from itself, by the constants of `model` of other keys, if there are any on the `way`.
pub fn cycle(key: &str, model: &impl ToTokens, way: &[String]) -> String {
    let model = source(model);
    let way: Vec<_> = way.iter().map(|key| format!("{model}::{}", key.to_uppercase())).collect();
    match &way[..] {
        [] => format!("`{key}` depends on itself"),
        way => format!(
            "`{key}` depends on itself through {}",
            list(way.iter().map(String::as_str), "and")
        ),
    }
}

pub fn not_literal(key: &str) -> String {
    format!("`{key}` must be a literal `true` or `false`, because it changes the model's structure")
}

/// A variant was written in another form than its own.
pub fn wrong_form(variant: &Variant) -> String {
    format!("write `{}`", example(variant))
}

/// `what` is for `family: PerceiverAr` alone.
pub fn needs_causal(what: &str) -> String {
    format!("`{what}` needs `family: PerceiverAr`")
}

/// `key` is not for `family: PerceiverAr`, for a reason.
pub fn not_causal(key: &str, why: &str) -> String {
    format!("`{key}` cannot be given in the family `PerceiverAr`: {why}")
}

pub fn causal_depth(found: u64) -> String {
    format!(
        "`depth` must be 1 in the family `PerceiverAr`, which has one cross attention, found `{found}`; \
         `self_per_cross_attn` is the number of self attentions"
    )
}

pub fn causal_input() -> String {
    "the family `PerceiverAr` takes text: `input: Text { vocab: .., max_len: .., dim: .. }`".into()
}

pub fn causal_output() -> String {
    "the family `PerceiverAr` has logits for the ids of its text: `output: Embedding`".into()
}

pub fn causal_latents() -> String {
    "the family `PerceiverAr` needs `latents: Last(n)`: its latents are at most `n` of the last tokens".into()
}

/// How a variant is written.
pub fn example(variant: &Variant) -> String {
    let name = variant.name;
    match variant.form {
        Form::Unit | Form::UnitOrKeys(_) => name.into(),
        Form::Value(key) => format!("{name}({})", key.name),
        Form::ValueOrKeys(keys) => format!("{name}({})", keys[0].name),
        Form::Keys(keys) => format!("{name} {{ {}: .., .. }}", keys[0].name),
        Form::Named(key) => format!("{name} {{ name: {}, .. }}", key.name),
    }
}

/// `a`, `b` and `c`, each in backticks.
pub fn list<'a>(names: impl Iterator<Item = &'a str>, last: &str) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match &names[..] {
        [names @ .., end] if !names.is_empty() => format!("{} {last} {end}", names.join(", ")),
        names => names.concat(),
    }
}

/// Tokens as they are written, with runs of white space as one space.
pub fn source(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    let mut end = None;
    flatten(tokens.to_token_stream(), &mut |piece, from, to| {
        let is_apart = end.is_some_and(|end| end != from);
        if is_apart {
            text.push(' ');
        }
        text += piece;
        end = Some(to);
    });
    text
}

/// Calls `f` with each token and each bracket, where it begins, and where it ends.
fn flatten(tokens: TokenStream, f: &mut impl FnMut(&str, LineColumn, LineColumn)) {
    for tree in tokens {
        let TokenTree::Group(group) = &tree else {
            f(&tree.to_string(), tree.span().start(), tree.span().end());
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        // Where a bracket of its own begins and ends is lost when a group is parsed and written again.
        let (start, end) = (group.span().start(), group.span().end());
        let column = |place: LineColumn, column| LineColumn { column, ..place };
        if !open.is_empty() {
            f(open, start, column(start, start.column + 1));
        }
        flatten(group.stream(), f);
        if !close.is_empty() {
            f(close, column(end, end.column.saturating_sub(1)), end);
        }
    }
}
