//! The files that a checkpoint consists of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
        // Its extension says that it is an index.
        if path.extension().is_none_or(|extension| extension != "json") {
            return Ok(Self(vec![(path.into(), read(path)?)]));
        }
        let parts = parts(&read_index(path)?)
            .map_err(|error| CheckpointError::Index { path: path.into(), error })?;
        let part = |part: String| {
            // Only files beside the index, wherever it comes from, and only what can be shown if it cannot be read.
            let is_name = Path::new(&part).file_name().is_some_and(|name| name == &*part);
            if !is_name || part.len() > LONGEST_NAME || part.chars().any(char::is_control) {
                return Err(CheckpointError::PartElsewhere { path: path.into(), part });
            }
            let part = path.with_file_name(part);
            let bytes = read(&part)?;
            Ok((part, bytes))
        };
        Ok(Self(parts.into_iter().map(part).collect::<Result<_, _>>()?))
    }

    /// What the headers have under `__metadata__`.
    pub fn metadata(&self) -> HashMap<String, String> {
        self.0.iter().flat_map(|(_, bytes)| metadata(bytes)).collect()
    }

    /// Reads the headers.
    pub fn parse(&self) -> Result<Vec<SafeTensors<'_>>, CheckpointError> {
        self.0.iter().map(|(path, bytes)| parse(path, bytes)).collect()
    }
}

/// Opens a file to read it, and returns its size.
fn open(path: &Path) -> io::Result<(File, u64)> {
    // Before it is opened: to open a pipe is to wait for its writer.
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        let message = "it is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok((File::open(path)?, metadata.len()))
}

/// Reads a file. One that is not safetensors is an error as soon as its header shows it, however large it is.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let failed = |error| CheckpointError::Read { path: path.into(), error };
    let (mut file, len) = open(path).map_err(failed)?;
    let mut bytes = Vec::new();
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
    file.take(len).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Reads an index, unless it is longer than the longest header.
fn read_index(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let failed = |error| CheckpointError::Read { path: path.into(), error };
    let (file, len) = open(path).map_err(failed)?;
    if len > LONGEST_HEADER {
        let message =
            format!("it has more than {LONGEST_HEADER} bytes, more than the index of any model");
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The longest header, a hundred times that of the largest models. The format allows ten times more, but to read it would take
/// many times its own memory.
const LONGEST_HEADER: u64 = 10_000_000;

/// How many bytes the name of a file can have in most file systems.
const LONGEST_NAME: usize = 255;

/// Checks the first bytes of a file, up to the end of its header.
fn check_header(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    // The first bytes of a zip archive, and of a pickle.
    let is_archive = bytes.starts_with(b"PK\x03\x04");
    if is_archive && first_entry(bytes).ends_with(b".npy") {
        return Err(CheckpointError::Npz { path: path.into() });
    }
    if is_archive || bytes.starts_with(b"\x80\x02") {
        return Err(CheckpointError::Pickle { path: path.into() });
    }
    match SafeTensors::read_metadata(bytes) {
        // What comes after the header has not been read.
        Ok(_) | Err(SafeTensorError::MetadataIncompleteBuffer) => Ok(()),
        Err(error) => Err(CheckpointError::Malformed { path: path.into(), error }),
    }
}

/// The name of the first entry of a zip archive; empty if it is cut off.
fn first_entry(archive: &[u8]) -> &[u8] {
    let Some(&[low, high]) = archive.get(26..28) else { return &[] };
    archive.get(30..30 + usize::from(u16::from_le_bytes([low, high]))).unwrap_or_default()
}

pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, CheckpointError> {
    SafeTensors::deserialize(bytes)
        .map_err(|error| CheckpointError::Malformed { path: path.into(), error })
}

/// What the header of a file that can be parsed has under `__metadata__`.
pub(crate) fn metadata(bytes: &[u8]) -> HashMap<String, String> {
    /// A tensor is skipped and not kept.
    #[derive(Default, serde::Deserialize)]
    struct Header {
        #[serde(default, rename = "__metadata__")]
        metadata: HashMap<String, String>,
    }
    let header = bytes
        .split_first_chunk()
        .and_then(|(len, rest)| rest.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?));
    let header = header.and_then(|header| serde_json::from_slice::<Header>(header).ok());
    header.unwrap_or_default().metadata
}

/// What Hugging Face's tools write beside the parts of a checkpoint as `model.safetensors.index.json`. It has more, which is
/// skipped and not kept.
#[derive(serde::Deserialize)]
struct Index {
    /// For each tensor, the file that it is in.
    weight_map: BTreeMap<String, String>,
}

/// The names of the files that an index lists.
fn parts(index: &[u8]) -> serde_json::Result<BTreeSet<String>> {
    let index: Index = serde_json::from_slice(index)?;
    Ok(index.weight_map.into_values().collect())
}
