//! What was loaded.

use std::fmt;
use std::path::Path;

use safetensors::Dtype;

use super::error::{list, shown};
use super::{CheckpointError, Problem};

/// What [`load_checkpoint_with`](crate::model::Perceiver::load_checkpoint_with) has loaded, and what not. Names are those in the
/// file, tied layers one by one.
///
/// A tensor of the model that was not loaded, and so is as it was before, is in [`missing`](Self::missing) or
/// [`mismatched`](Self::mismatched). Without [`LoadOptions::partial`](super::LoadOptions::partial) there are none of these, nor are
/// there [`unexpected`](Self::unexpected) ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it says what was not loaded"]
#[non_exhaustive]
pub struct LoadReport {
    /// The tensors that were loaded, also those that were converted or interpolated.
    pub loaded: Vec<String>,
    /// Of these, the tensors that the file has in another data type.
    pub converted: Vec<Converted>,
    /// Of these, the learned positions that the file has for another grid.
    pub interpolated: Vec<Interpolated>,
    /// The tensors of the model that the file does not have: each is a [`Problem::Missing`].
    pub missing: Vec<Problem>,
    /// The tensors of both that were not loaded, with the reason.
    pub mismatched: Vec<Problem>,
    /// The tensors of the file that the model does not have: each is a [`Problem::Unexpected`].
    pub unexpected: Vec<Problem>,
}

/// A tensor that was loaded in another data type than that of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// The tensor's name.
    pub tensor: String,
    /// The data type in the file.
    pub from: Dtype,
    /// The data type in the model.
    pub to: Dtype,
    /// Whether a number has changed.
    pub rounded: bool,
}

/// Learned positions that were loaded for another grid than that of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interpolated {
    /// The tensor's name.
    pub tensor: String,
    /// The sizes of the axes in the file.
    pub from: Vec<usize>,
    /// The sizes of the axes in the model.
    pub to: Vec<usize>,
}

impl LoadReport {
    /// Whether the file has exactly the tensors of the model, and all were loaded.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.mismatched.is_empty() && self.unexpected.is_empty()
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

/// The numbers of tensors in one line, and a line for each that was interpolated or not loaded, ten of each kind at most.
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
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        f.write_str(&list(&self.interpolated))?;
        [&self.missing, &self.mismatched, &self.unexpected]
            .into_iter()
            .try_for_each(|problems| f.write_str(&list(problems)))
    }
}
