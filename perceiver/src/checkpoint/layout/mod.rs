//! Tensor names in checkpoint files, as data: one module for each family of checkpoints.

mod perceiver_ar;
mod perceiver_pytorch;
mod transformers;

pub(super) use perceiver_ar::FREQUENCIES;
use perceiver_ar::PERCEIVER_AR;
use perceiver_pytorch::{PERCEIVER_IO, PERCEIVER_LM, PERCEIVER_PYTORCH};
use transformers::{TRANSFORMERS, TRANSFORMERS_LANGUAGE};

use crate::model::OutputNames;
use crate::spec::Family;

/// What a checkpoint with tensors of these names is of, if that can be told.
pub(super) fn kind_of<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
    // A part that each of the others does not have.
    let marks = [
        ("input_adapter.txt_embedding.", &PERCEIVER_AR),
        ("embedding_decoder.", &TRANSFORMERS_LANGUAGE),
        ("perceiver.encoder.", &TRANSFORMERS),
        ("perceiver_io.", &PERCEIVER_LM),
        ("cross_attend_block.", &PERCEIVER_IO),
        ("layers.0.cross_attn.", &PERCEIVER_PYTORCH),
        ("layers.0.0.", &PERCEIVER_PYTORCH),
    ];
    let names: Vec<_> = names.into_iter().collect();
    let has = |mark: &str| names.iter().any(|name| name.starts_with(mark));
    marks.into_iter().find(|(mark, _)| has(mark)).map(|(_, layout)| layout.kind)
}

/// The layout of the checkpoints of a family's model, with text or another input, with such an output, and in which all or
/// just some layers begin with a cross attention.
pub(super) fn of(
    family: Family,
    is_text: bool,
    output: OutputNames,
    only_some_cross: bool,
) -> &'static Layout {
    match (family, output) {
        (Family::PerceiverPytorch, _) if is_text => &PERCEIVER_LM,
        (Family::PerceiverPytorch, OutputNames::Classifier) if !only_some_cross => {
            &PERCEIVER_PYTORCH
        }
        (Family::PerceiverPytorch, _) => &PERCEIVER_IO,
        (Family::Transformers, OutputNames::Language) => &TRANSFORMERS_LANGUAGE,
        (Family::Transformers, _) => &TRANSFORMERS,
    }
}

/// The layout of the checkpoints of a Perceiver AR.
pub(super) fn causal() -> &'static Layout {
    &PERCEIVER_AR
}

/// The name of a tensor in a model's summary: that of perceiver-pytorch.
pub(crate) fn part_name(ours: &str) -> String {
    PERCEIVER_PYTORCH.names(ours).swap_remove(0)
}

/// The names of tensors in a family of checkpoints.
pub(crate) struct Layout {
    /// What the checkpoints are of.
    pub kind: &'static str,
    /// The names that differ from this library's.
    rules: &'static [&'static [Rule]],
    /// What the names in files begin with, but for those of the input.
    prefix: &'static str,
    /// The names used by older releases, each with its current name.
    older: &'static [(&'static str, &'static str)],
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Layout").finish_non_exhaustive()
    }
}

const fn rule(ours: &'static str, theirs: &'static [&'static str]) -> Rule {
    Rule { ours, theirs }
}

/// The names of a part. `{}` stands for a number, `{name}` for the name of an input or output.
struct Rule {
    /// The name in this library.
    ours: &'static str,
    /// The names in files. If there are several, this library's tensor concatenates theirs by rows.
    theirs: &'static [&'static str],
}

impl Layout {
    /// Returns the names in files of one of this library's tensors; several if it is split there.
    pub fn names(&self, ours: &str) -> Vec<String> {
        let renamed = |rule: &Rule| {
            let theirs = rule.theirs.iter();
            let names = theirs.map(|theirs| renamed(ours, rule.ours, theirs));
            names.collect::<Option<Vec<String>>>()
        };
        let found = self.rules.iter().copied().flatten().find_map(renamed);
        let names = found.unwrap_or_else(|| vec![ours.into()]);
        match ours.starts_with("input.") {
            true => names,
            false => names.into_iter().map(|name| format!("{}{name}", self.prefix)).collect(),
        }
    }

    /// Returns the current name of a tensor in a file, which may have the name from an older release, or this library's
    /// own, as written by dfdx's `save_safetensors`.
    pub fn current(&self, name: &str) -> String {
        let older = |&(older, current): &(&str, &str)| renamed(name, older, current);
        if let Some(current) = self.older.iter().find_map(older) {
            return current;
        }
        let part = name.split('.').next().unwrap_or_default();
        if !["latents", "input", "layers", "norm", "output"].contains(&part) {
            return name.into();
        }
        match self.names(name).as_slice() {
            [theirs] => theirs.clone(),
            _ => name.into(),
        }
    }
}

/// Replaces the pattern `from` at the start of `name` with `to`; `None` if it does not match.
fn renamed(name: &str, from: &str, to: &str) -> Option<String> {
    let mut rest = name.split('.');
    let mut found = Vec::new();
    for expected in from.split('.') {
        let segment = rest.next()?;
        if expected == "{}" {
            segment.parse::<usize>().ok()?;
            found.push(segment);
        } else if expected == "{name}" {
            found.push(segment);
        } else if expected != segment {
            return None;
        }
    }
    let mut found = found.into_iter();
    let to = to.split('.').map(|segment| match segment {
        "{}" | "{name}" => found.next().unwrap_or(segment),
        _ => segment,
    });
    Some(to.chain(rest).collect::<Vec<_>>().join("."))
}

/// Returns the name of a layer's tensor in another layer; `None` if it is not in a layer.
pub(crate) fn in_layer(name: &str, layer: usize) -> Option<String> {
    let (_, part) = name.strip_prefix("layers.")?.split_once('.')?;
    Some(format!("layers.{layer}.{part}"))
}

/// Returns the number of the layer that a tensor belongs to, if any.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    let (number, _) = name.strip_prefix("layers.")?.split_once('.')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_may_be_split_in_files() {
        let layout = Layout {
            kind: "a test",
            rules: &[&[Rule {
                ours: "layers.{}.attention.to_kv",
                theirs: &["block.{}.key", "block.{}.value"],
            }]],
            prefix: "model.",
            older: &[],
        };
        assert_eq!(
            layout.names("layers.7.attention.to_kv.weight"),
            ["model.block.7.key.weight", "model.block.7.value.weight"]
        );
        assert_eq!(layout.names("latents"), ["model.latents"]);
        assert_eq!(layout.names("input.positions"), ["input.positions"]);
        assert_eq!(layout.current("latents"), "model.latents");
        assert_eq!(layout.current("model.latents"), "model.latents");
    }

    #[test]
    fn numbers_are_numbers() {
        assert_eq!(renamed("a.1.b", "a.{}", "c.{}"), Some("c.1.b".into()));
        assert_eq!(renamed("a.x.b", "a.{}", "c.{}"), None);
        assert_eq!(renamed("a", "a.{}", "c.{}"), None);
    }

    #[test]
    fn a_layer_is_renumbered() {
        assert_eq!(layer_of("layers.12.a.b"), Some(12));
        assert_eq!(layer_of("latents"), None);
        assert_eq!(in_layer("layers.1.a.2.b", 3), Some("layers.3.a.2.b".into()));
        assert_eq!(in_layer("latents", 3), None);
    }
}
