//! What can be wrong with a checkpoint.

use std::path::PathBuf;

use safetensors::Dtype;

/// Why a checkpoint could not be written or read. Whatever it is, a file that was there before and the
/// model are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not a whole safetensors file.
    #[error(
        "{} is not a whole safetensors file ({source}): it may be cut off, or of another format; \
         PyTorch writes safetensors with `safetensors.torch.save_model`", path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with its header.
        source: safetensors::SafeTensorError,
    },
    /// The tensors in the file are not those of the model.
    #[error("{} is not a checkpoint of this model:{}", path.display(), list(problems))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// Every tensor that does not match, by name.
        problems: Vec<Problem>,
    },
}

/// How one tensor of a file does not match the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The model has it, the file does not.
    #[error("`{tensor}` is missing: expected {dtype:?} {shape:?}")]
    Missing {
        /// The tensor's name.
        tensor: String,
        /// The data type the model has.
        dtype: Dtype,
        /// The shape the model has.
        shape: Vec<usize>,
    },
    /// The file has it, the model does not.
    #[error("`{tensor}` is not in the model: expected no such tensor, found {dtype:?} {shape:?}")]
    Unexpected {
        /// The tensor's name.
        tensor: String,
        /// The data type the file has.
        dtype: Dtype,
        /// The shape the file has.
        shape: Vec<usize>,
    },
    /// The shapes differ.
    #[error("`{tensor}` has another shape: expected {expected:?}, found {found:?}")]
    Shape {
        /// The tensor's name.
        tensor: String,
        /// The shape the model has.
        expected: Vec<usize>,
        /// The shape the file has.
        found: Vec<usize>,
    },
    /// The data types differ.
    #[error(
        "`{tensor}` has another data type: expected {expected:?}, found {found:?}; build the model \
         with the file's data type and convert it with `to_dtype`"
    )]
    Dtype {
        /// The tensor's name.
        tensor: String,
        /// The data type the model has.
        expected: Dtype,
        /// The data type the file has.
        found: Dtype,
    },
    /// The model ties two layers that differ in the file.
    #[error(
        "`{tensor}` differs from `{first}`: expected the same values, since the declaration has \
         `weight_tie_layers: true`"
    )]
    Untied {
        /// The tensor's name.
        tensor: String,
        /// The tensor of the first layer it is tied to.
        first: String,
    },
    /// The file has one tensor under two names, one of them of an older release.
    #[error("`{tensor}` is in the file twice, under this name and an older release's")]
    Twice {
        /// The tensor's name.
        tensor: String,
    },
}

/// A line for each of the first problems.
fn list(problems: &[Problem]) -> String {
    const SHOWN: usize = 10;
    let mut list: String =
        problems.iter().take(SHOWN).map(|problem| format!("\n  {problem}")).collect();
    if problems.len() > SHOWN {
        list += &format!("\n  and {} more", problems.len() - SHOWN);
    }
    list
}
