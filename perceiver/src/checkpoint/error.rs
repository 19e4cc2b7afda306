//! Errors when saving and loading checkpoints.

use std::fmt;
use std::path::PathBuf;

use safetensors::Dtype;

use super::DifferentSetting;
use super::dtype::is_float;
use crate::ops::WeightPrecision;

/// An error from saving or loading a checkpoint, or the state of a training.
///
/// On any error, the model and an existing file are left unchanged. Messages already include those of underlying errors, so
/// [`source`](std::error::Error::source) returns `None`.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file could not be read, such as because it does not exist or is not a regular file.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The underlying I/O error.
        error: std::io::Error,
    },
    /// The file, or its folder, could not be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The underlying I/O error.
        error: std::io::Error,
    },
    /// The weights of the model were rounded by `prepare_for_inference_in`, so that what was trained or loaded is lost.
    #[error(
        "cannot write {}: `prepare_for_inference_in` has rounded the weights to {precision}; save the model, or a clone of it, \
         from before", path.display()
    )]
    Rounded {
        /// The file.
        path: PathBuf,
        /// The precision that they were rounded to.
        precision: WeightPrecision,
    },
    /// With [`LoadOptions::partial`](super::LoadOptions::partial), some weights would stay that `prepare_for_inference_in`
    /// has rounded.
    #[error(
        "cannot load a part of the model from {}: `prepare_for_inference_in` has rounded the weights that would stay to \
         {precision}; load into a model that is not prepared yet, and prepare it after that", path.display()
    )]
    RoundedRest {
        /// The file.
        path: PathBuf,
        /// The precision that they were rounded to.
        precision: WeightPrecision,
    },
    /// The file is not a complete safetensors file.
    #[error(
        "{} is not a complete safetensors file ({}): it may be truncated or in another format; \
         in PyTorch, save with `safetensors.torch.save_model`", path.display(), said(error)
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The error from parsing its header.
        error: safetensors::SafeTensorError,
    },
    /// The file was written by `torch.save`. It is not loaded, since such a file can run any code.
    #[error(
        "{} is a file of `torch.save`, not a safetensors file: convert it in PyTorch with \
         `safetensors.torch.save_file(torch.load(path, weights_only=True), \"model.safetensors\")`",
        path.display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by dfdx's `save`: it is an archive of NumPy arrays.
    #[error(
        "{} is a file of dfdx's `save`, not a safetensors file: load it with dfdx's `load`, and save it with `save_checkpoint`",
        path.display()
    )]
    Npz {
        /// The file.
        path: PathBuf,
    },
    /// The file has the extension `json`, but is not the index of a checkpoint in several files.
    #[error("{} is not the index of a checkpoint: expected `{{\"weight_map\": {{tensor: file}}}}` ({})", path.display(), said(error))]
    Index {
        /// The file.
        path: PathBuf,
        /// The error from parsing it.
        error: serde_json::Error,
    },
    /// The index lists something else than the name of a file in its own folder.
    #[error("{} lists `{}`: expected the name of a file beside it", path.display(), shown(part))]
    PartElsewhere {
        /// The index.
        path: PathBuf,
        /// What it lists.
        part: String,
    },
    /// The file was written by [`save_training`](crate::train::save_training), and so is not a checkpoint of a model alone.
    #[error(
        "{} is the state of a training: `Trainer::resume` and `load_training` load it; `save_checkpoint` saves a model alone",
        path.display()
    )]
    Training {
        /// The file.
        path: PathBuf,
    },
    /// The file was not written by [`save_training`](crate::train::save_training).
    #[error(
        "{} does not hold the state of a training: expected a file of `save_training`; `load_checkpoint` loads a model alone",
        path.display()
    )]
    NotTraining {
        /// The file.
        path: PathBuf,
    },
    /// The file has a moving average of the parameters, but the optimizer keeps none; see
    /// [`AdamW::with_ema`](crate::train::AdamW::with_ema).
    #[error(
        "{} was saved with a moving average of the parameters: call `with_ema` to go on with it", path.display()
    )]
    Average {
        /// The file.
        path: PathBuf,
    },
    /// The state in the file cannot be deserialized as the type that was asked for.
    #[error("the state in {} is not of the type that it is loaded as: {}", path.display(), said(error))]
    State {
        /// The file.
        path: PathBuf,
        /// The error from parsing it.
        error: serde_json::Error,
    },
    /// The tensors in the file, or the settings in its metadata, do not match those of the model. With [`LoadOptions::partial`](super::LoadOptions::partial),
    /// no tensor does.
    #[error(
        "{} is not a checkpoint of this model{}:{}{}{}", path.display(), other(*kind), list(settings), list(problems),
        next_step(*matched, prefix.as_deref(), settings)
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The kind of model that the file is a checkpoint of, if it is recognized and not that of this model.
        kind: Option<&'static str>,
        /// The number of tensors that match, which [`LoadOptions::partial`](super::LoadOptions::partial) would load.
        matched: usize,
        /// A prefix of the names in the file without which they would be those of the model: pass it as
        /// [`LoadOptions::prefix`](super::LoadOptions::prefix).
        prefix: Option<String>,
        /// All settings that no tensor shows and that differ.
        settings: Vec<DifferentSetting>,
        /// All tensors that do not match, with the reason.
        problems: Vec<Problem>,
    },
}

crate::error::debug_as_message!(CheckpointError);

/// The reason why a tensor of the file and a tensor of the model do not match, as listed in [`CheckpointError::Mismatch`]
/// and [`LoadReport`](super::LoadReport).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The tensor is in the model, but not in the file.
    #[error("`{}` is missing: expected {dtype:?} {}", shown(tensor), sizes(shape))]
    Missing {
        /// The tensor's name.
        tensor: String,
        /// The data type in the model.
        dtype: Dtype,
        /// The shape in the model.
        shape: Vec<usize>,
    },
    /// The tensor is in the file, but not in the model.
    #[error(
        "`{}` is not in the model, but the file has it as {dtype:?} {}",
        shown(tensor),
        sizes(shape)
    )]
    Unexpected {
        /// The tensor's name.
        tensor: String,
        /// The data type in the file.
        dtype: Dtype,
        /// The shape in the file.
        shape: Vec<usize>,
    },
    /// The shapes differ.
    #[error(
        "`{}` has the wrong shape: expected {}, found {}",
        shown(tensor),
        sizes(expected),
        sizes(found)
    )]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// The shape in the model.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// The data types differ. [`LoadOptions::convert`](super::LoadOptions::convert) converts those of floating-point
    /// numbers.
    #[error(
        "`{}` has the wrong data type: expected {expected:?}, found {found:?}; {}", shown(tensor), advice(*found)
    )]
    Dtype {
        /// The tensor's name.
        tensor: String,
        /// The data type in the model.
        expected: Dtype,
        /// The data type in the file.
        found: Dtype,
    },
    /// The tensor cannot be converted, since it has numbers beyond the range of the model's data type.
    #[error(
        "`{}` cannot be converted from {found:?} to {expected:?}: it has numbers that are too large; build the model with \
         a wider data type",
        shown(tensor)
    )]
    TooLarge {
        /// The tensor's name.
        tensor: String,
        /// The data type in the model.
        expected: Dtype,
        /// The data type in the file.
        found: Dtype,
    },
    /// The learned positions cannot be interpolated, since the grid that they are of in the file is not known. Pass it as
    /// [`LoadOptions::grids`](super::LoadOptions::grids).
    #[error(
        "`{}` has {found} positions of an unknown grid: expected one with {} equal axes, to be interpolated to {expected:?}; \
         otherwise give the sizes of its axes in `LoadOptions::grids`", shown(tensor), expected.len()
    )]
    Grid {
        /// The tensor's name.
        tensor: String,
        /// The sizes of the grid's axes in the model.
        expected: Vec<usize>,
        /// The number of positions in the file.
        found: usize,
    },
    /// The tensor matches, but is not loaded: it is one of several in the file that make up one tensor of the model, and
    /// another of them does not match.
    #[error(
        "`{}` is loaded only together with `{}`, which does not match",
        shown(tensor),
        shown(other)
    )]
    Incomplete {
        /// The tensor's name.
        tensor: String,
        /// The name of the tensor that does not match.
        other: String,
    },
    /// The tensor differs between two layers in the file that share their weights in the model.
    #[error(
        "`{}` differs from `{}`: expected the same values, because the declaration sets \
         `weight_tie_layers: true`",
        shown(tensor),
        shown(first)
    )]
    Untied {
        /// The tensor's name.
        tensor: String,
        /// The name of the tensor in the first of these layers.
        first: String,
    },
    /// The file has the tensor under two names, such as the current one and that of an older release.
    #[error("`{}` is in the file twice, under different names", shown(tensor))]
    Twice {
        /// The tensor's name.
        tensor: String,
    },
}

impl Problem {
    /// Returns the name of the tensor, as it is, or would be, in the file.
    #[must_use]
    pub fn tensor(&self) -> &str {
        match self {
            Self::Missing { tensor, .. }
            | Self::Unexpected { tensor, .. }
            | Self::Shape { tensor, .. }
            | Self::Dtype { tensor, .. }
            | Self::TooLarge { tensor, .. }
            | Self::Grid { tensor, .. }
            | Self::Incomplete { tensor, .. }
            | Self::Untied { tensor, .. }
            | Self::Twice { tensor } => tensor,
        }
    }
}

/// A name from a file, as it can be shown: without control characters, and not too long.
pub(super) fn shown(name: &str) -> String {
    const LONGEST: usize = 200;
    let escaped: String = name.escape_debug().take(LONGEST + 1).collect();
    match escaped.chars().count() > LONGEST {
        true => escaped.chars().take(LONGEST).chain("..".chars()).collect(),
        false => escaped,
    }
}

/// What a parser says of a file, which it may quote: without control characters, and not too long.
fn said(error: &impl std::fmt::Display) -> String {
    const LONGEST: usize = 500;
    let mut said = String::new();
    for letter in error.to_string().chars() {
        if said.len() >= LONGEST {
            return said + "..";
        }
        match letter.is_control() {
            true => said.extend(letter.escape_debug()),
            false => said.push(letter),
        }
    }
    said
}

/// A shape from a file, if it is not too long.
fn sizes(shape: &[usize]) -> String {
    const LONGEST: usize = 12;
    match shape.len() > LONGEST {
        true => format!("a shape of {} dimensions", shape.len()),
        false => format!("{shape:?}"),
    }
}

/// What to do about a data type.
fn advice(found: Dtype) -> &'static str {
    match found {
        found if is_float(found) => {
            "`load_checkpoint_with` converts a model's checkpoint, with `LoadOptions::convert`"
        }
        _ => {
            "no weights are in this type: expected F16, BF16, F32 or F64, such as PyTorch's `.float()` makes"
        }
    }
}

/// Says what a checkpoint is of.
fn other(kind: Option<&str>) -> String {
    kind.map(|kind| format!(", but of {kind}")).unwrap_or_default()
}

/// What to do about a file that does not match.
fn next_step(matched: usize, prefix: Option<&str>, settings: &[DifferentSetting]) -> String {
    match prefix {
        Some(prefix) => {
            let prefix = shown(prefix);
            format!(
                "\nnames in it begin with `{prefix}`: give this to `load_checkpoint_with` as `LoadOptions::prefix`"
            )
        }
        None if matched > 0 && !settings.is_empty() => {
            format!(
                "\ndeclare the model with the values that were found; to load {matched} tensors that match into one that \
                 computes something else, give `load_checkpoint_with` `LoadOptions::partial`"
            )
        }
        None if matched > 0 => {
            format!(
                "\n{matched} tensors match: `load_checkpoint_with` loads these with `LoadOptions::partial`"
            )
        }
        None => String::new(),
    }
}

/// Lists the first items, one per line.
pub(super) fn list(items: &[impl fmt::Display]) -> String {
    const SHOWN: usize = 10;
    let mut list: String = items.iter().take(SHOWN).map(|item| format!("\n  {item}")).collect();
    if items.len() > SHOWN {
        list += &format!("\n  and {} more", items.len() - SHOWN);
    }
    list
}
