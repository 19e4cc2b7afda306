//! The report of what was loaded.

use std::fmt;
use std::path::Path;

use safetensors::Dtype;

use super::error::{list, shown};
use super::{CheckpointError, Problem};

/// A report of which tensors [`load_checkpoint_with`](crate::model::Perceiver::load_checkpoint_with) has loaded, and which
/// not.
///
/// A tensor of the model that was not loaded keeps its values, and is listed in [`missing`](Self::missing) or
/// [`mismatched`](Self::mismatched). Without [`LoadOptions::partial`](super::LoadOptions::partial), these and
/// [`unexpected`](Self::unexpected) are always empty, since loading fails otherwise.
///
/// Names are those in the file, with one for each tied layer. Displayed, a report is one line of counts, followed by what
/// was interpolated and what did not match; `load_checkpoint_with` has an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it says what was not loaded"]
#[non_exhaustive]
pub struct LoadReport {
    /// The names of all tensors that were loaded, including those that were converted or interpolated.
    pub loaded: Vec<String>,
    /// The tensors among [`loaded`](Self::loaded) that have another data type in the file.
    pub converted: Vec<Converted>,
    /// The learned positions among [`loaded`](Self::loaded) that have another grid in the file.
    pub interpolated: Vec<Interpolated>,
    /// The tensors of the model that are not in the file, each a [`Problem::Missing`].
    pub missing: Vec<Problem>,
    /// The tensors that are in both but were not loaded, with the reason.
    pub mismatched: Vec<Problem>,
    /// The tensors of the file that are not in the model, each a [`Problem::Unexpected`].
    pub unexpected: Vec<Problem>,
    /// The settings of the declaration in which the model that was saved differs from this one. Like
    /// [`missing`](Self::missing), always empty without [`LoadOptions::partial`](super::LoadOptions::partial).
    pub settings: Vec<DifferentSetting>,
}

/// A setting that no tensor shows, but that changes what a model computes with them, such as `max_freq` or the number of
/// heads of the same width: `save_checkpoint` writes it into the metadata of the file, and the declaration of the model
/// that loads the file has another value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` differs: expected {expected}, found {}", shown(found))]
#[non_exhaustive]
pub struct DifferentSetting {
    /// What the setting is called, mostly as its key in the declaration; after `input.NAME.` or `output.NAME.` if there are
    /// several inputs or outputs, and after `output.` in an output with queries.
    pub key: String,
    /// The value in the model.
    pub expected: String,
    /// The value in the file.
    pub found: String,
}

/// A tensor that was converted to the data type of the model, with [`LoadOptions::convert`](super::LoadOptions::convert).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// The tensor's name.
    pub tensor: String,
    /// The data type in the file.
    pub from: Dtype,
    /// The data type in the model.
    pub to: Dtype,
    /// Whether the conversion has changed any of its numbers.
    pub rounded: bool,
}

/// Learned positions that were interpolated to the grid of the model, with
/// [`LoadOptions::interpolate`](super::LoadOptions::interpolate).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interpolated {
    /// The tensor's name.
    pub tensor: String,
    /// The sizes of the grid's axes in the file.
    pub from: Vec<usize>,
    /// The sizes of the grid's axes in the model.
    pub to: Vec<usize>,
}

impl LoadReport {
    /// Returns whether every tensor of the model was loaded, and the file has neither other tensors nor other settings.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let others = [&self.missing, &self.mismatched, &self.unexpected];
        self.settings.is_empty() && others.iter().all(|problems| problems.is_empty())
    }

    /// An error unless everything matched.
    pub(crate) fn all_or_nothing(self, path: &Path) -> Result<(), CheckpointError> {
        match self.is_complete() {
            true => Ok(()),
            false => Err(CheckpointError::Mismatch {
                path: path.into(),
                kind: None,
                matched: 0,
                prefix: None,
                settings: Vec::new(),
                problems: self.into_problems(),
            }),
        }
    }

    /// Everything that did not match.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        [self.missing, self.mismatched, self.unexpected].concat()
    }
}

impl fmt::Display for Interpolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tensor, from, to } = self;
        write!(f, "`{}` was interpolated: from positions {from:?} to {to:?}", shown(tensor))
    }
}

/// One line of counts, then a line for each tensor that was interpolated or not loaded and for each setting that differs, at
/// most ten of each kind.
impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = self.converted.iter().filter(|converted| converted.rounded).count();
        let loaded = self.loaded.len();
        write!(f, "{loaded} tensor{} loaded", if loaded == 1 { "" } else { "s" })?;
        let counts = [
            (self.converted.len(), "converted"),
            (rounded, "rounded"),
            (self.interpolated.len(), "interpolated"),
            (self.missing.len(), "missing"),
            (self.mismatched.len(), "mismatched"),
            (self.unexpected.len(), "unexpected"),
            (
                self.settings.len(),
                if self.settings.len() == 1 { "setting differs" } else { "settings differ" },
            ),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        f.write_str(&list(&self.interpolated))?;
        [&self.missing, &self.mismatched, &self.unexpected]
            .into_iter()
            .try_for_each(|problems| f.write_str(&list(problems)))?;
        f.write_str(&list(&self.settings))
    }
}
