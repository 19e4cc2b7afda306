//! The files that a checkpoint consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::CheckpointError;

/// The bytes of a checkpoint: of one file, or of all that an index lists.
pub(super) struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    /// Reads the file at `path`, or the files that it lists if it is an index.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = read(path)?;
        if path.extension().is_none_or(|extension| extension != "json") {
            return Ok(Self(vec![(path.into(), bytes)]));
        }
        let parts =
            parts(&bytes).map_err(|error| CheckpointError::Index { path: path.into(), error })?;
        let part = |part: String| {
            // Only files beside the index, wherever it comes from.
            if Path::new(&part).file_name().is_none_or(|name| name != &*part) {
                return Err(CheckpointError::PartElsewhere { path: path.into(), part });
            }
            let part = path.with_file_name(part);
            let bytes = read(&part)?;
            Ok((part, bytes))
        };
        Ok(Self(parts.into_iter().map(part).collect::<Result<_, _>>()?))
    }

    /// Reads the headers.
    pub fn parse(&self) -> Result<Vec<SafeTensors<'_>>, CheckpointError> {
        self.0.iter().map(parse).collect()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    std::fs::read(path).map_err(|error| CheckpointError::Read { path: path.into(), error })
}

fn parse((path, bytes): &(PathBuf, Vec<u8>)) -> Result<SafeTensors<'_>, CheckpointError> {
    // The first bytes of a zip archive, and of a pickle.
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") {
        return Err(CheckpointError::Pickle { path: path.clone() });
    }
    SafeTensors::deserialize(bytes)
        .map_err(|error| CheckpointError::Malformed { path: path.clone(), error })
}

/// The names of the files that an index lists, which Hugging Face's tools write beside the parts of a checkpoint as
/// `model.safetensors.index.json`: `{"weight_map": {tensor: file, ..}, ..}`.
fn parts(index: &[u8]) -> serde_json::Result<BTreeSet<String>> {
    let mut index: BTreeMap<String, serde_json::Value> = serde_json::from_slice(index)?;
    let files = index.remove("weight_map").unwrap_or_default();
    let files: BTreeMap<String, String> = serde_json::from_value(files)?;
    Ok(files.into_values().collect())
}
