//! The files that a checkpoint consists of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use safetensors::{SafeTensorError, SafeTensors};

use super::CheckpointError;

/// The bytes of a checkpoint: of one file, or of all that an index lists.
pub(super) struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    /// Reads the file at `path`, or the files that it lists if it is an index.
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = read(path)?;
        if !is_index(path) {
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
        self.0.iter().map(|(path, bytes)| parse(path, bytes)).collect()
    }
}

/// Reads a file. One that is not safetensors is an error as soon as its header shows it, however large it is.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let failed = |error| CheckpointError::Read { path: path.into(), error };
    // Before it is opened: to open a pipe is to wait for its writer.
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let message = "it is not a regular file";
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, message)));
    }
    let mut file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let len = metadata.len();
    if !is_index(path) {
        file.by_ref().take(8).read_to_end(&mut bytes).map_err(failed)?;
        if let Ok(header) = <[u8; 8]>::try_from(&*bytes) {
            let header = u64::from_le_bytes(header).min(len);
            if header > LONGEST_HEADER {
                let error = SafeTensorError::HeaderTooLarge;
                return Err(CheckpointError::Malformed { path: path.into(), error });
            }
            file.by_ref().take(header).read_to_end(&mut bytes).map_err(failed)?;
        }
        check_header(path, &bytes)?;
    }
    file.take(len).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The longest header, a hundred times that of the largest models. The format allows ten times more, but to read it would take
/// many times its own memory.
const LONGEST_HEADER: u64 = 10_000_000;

/// Whether a path is that of an index.
fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// Checks the first bytes of a file, up to the end of its header.
fn check_header(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    // The first bytes of a zip archive, and of a pickle.
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") {
        return Err(CheckpointError::Pickle { path: path.into() });
    }
    match SafeTensors::read_metadata(bytes) {
        // What comes after the header has not been read.
        Ok(_) | Err(SafeTensorError::MetadataIncompleteBuffer) => Ok(()),
        Err(error) => Err(CheckpointError::Malformed { path: path.into(), error }),
    }
}

pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, CheckpointError> {
    SafeTensors::deserialize(bytes)
        .map_err(|error| CheckpointError::Malformed { path: path.into(), error })
}

/// The names of the files that an index lists, which Hugging Face's tools write beside the parts of a checkpoint as
/// `model.safetensors.index.json`: `{"weight_map": {tensor: file, ..}, ..}`.
fn parts(index: &[u8]) -> serde_json::Result<BTreeSet<String>> {
    let mut index: BTreeMap<String, serde_json::Value> = serde_json::from_slice(index)?;
    let files = index.remove("weight_map").unwrap_or_default();
    let files: BTreeMap<String, String> = serde_json::from_value(files)?;
    Ok(files.into_values().collect())
}
