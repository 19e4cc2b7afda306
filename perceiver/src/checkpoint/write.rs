//! Writing a checkpoint.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::tensor_ops::Device;
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView};

use super::{CheckpointDtype, CheckpointError, Format, each_tensor};
use crate::ops::WeightPrecision;

/// Saves a model, whose weights were not `rounded`, to `path`. The file is replaced atomically: it is written next to its destination and then moved
/// there.
pub(crate) fn save<M: TensorCollection<E, D>, E: CheckpointDtype, D: Device<E>>(
    model: &M,
    rounded: Option<WeightPrecision>,
    format: &Format,
    path: &Path,
) -> Result<(), CheckpointError> {
    if let Some(precision) = rounded {
        return Err(CheckpointError::Rounded { path: path.into(), precision });
    }
    let mut tensors = Vec::new();
    each_tensor(model, |tensor| {
        let (mut numbers, mut bytes) = (tensor.numbers(), Vec::new());
        let columns = tensor.shape.last().copied().unwrap_or_default();
        format.file_order(&tensor.name, columns, &mut numbers);
        E::write(&numbers, &mut bytes);
        tensors.push((tensor.name, tensor.shape, bytes));
    });
    let mut buffers = Vec::new();
    if let Some((name, numbers)) = format.frequencies() {
        let mut bytes = Vec::new();
        let in_dtype = numbers.iter().map(|&x| E::from_f64(x).unwrap_or_default());
        E::write(&in_dtype.collect::<Vec<_>>(), &mut bytes);
        buffers.push((name.into(), vec![numbers.len()], bytes));
    }
    write_tensors(&tensors, &buffers, E::DTYPE, format, path)
}

/// The name, shape and bytes of a tensor.
pub(crate) type Tensor = (String, Vec<usize>, Vec<u8>);

/// Writes tensors as they are, and metadata.
pub(crate) fn write_plain(
    tensors: &[Tensor],
    dtype: Dtype,
    metadata: &Metadata,
    path: &Path,
) -> Result<(), CheckpointError> {
    let views = tensors.iter().map(|(name, shape, bytes)| {
        Ok((name.clone(), TensorView::new(dtype, shape.clone(), bytes)?))
    });
    views
        .collect::<Result<_, SafeTensorError>>()
        .map_err(io::Error::other)
        .and_then(|views| write_views(views, metadata, path))
        .map_err(|error| CheckpointError::Write { path: path.into(), error })
}

/// What the header of a file has under `__metadata__`.
pub(crate) type Metadata = BTreeMap<String, String>;

fn write_views(
    views: Vec<(String, TensorView<'_>)>,
    metadata: &Metadata,
    path: &Path,
) -> io::Result<()> {
    let file = safetensors::serialize(views, None).map_err(io::Error::other)?;
    let (header, data) = with_metadata(&file, metadata)?;
    write_whole(path, &[&header, data])
}

/// Splits a file into its header, with this metadata in order, and its numbers. The crate has metadata in a `HashMap`, so that
/// no two files of the same model would be equal.
fn with_metadata<'file>(
    file: &'file [u8],
    metadata: &Metadata,
) -> io::Result<(Vec<u8>, &'file [u8])> {
    let malformed = || io::Error::other("a header that cannot be read");
    let (len, rest) = file.split_first_chunk().ok_or_else(malformed)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(io::Error::other)?;
    let (header, data) = rest.split_at_checked(len).ok_or_else(malformed)?;
    let tensors = header.trim_ascii().strip_prefix(b"{").ok_or_else(malformed)?;

    let mut header = b"{".to_vec();
    if !metadata.is_empty() {
        header.extend(b"\"__metadata__\":");
        header.extend(serde_json::to_vec(metadata)?);
        header.extend(if tensors == b"}" { "" } else { "," }.bytes());
    }
    header.extend(tensors);
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(([&(header.len() as u64).to_le_bytes()[..], &header].concat(), data))
}

fn write_tensors(
    tensors: &[Tensor],
    buffers: &[Tensor],
    dtype: Dtype,
    format: &Format,
    path: &Path,
) -> Result<(), CheckpointError> {
    let failed =
        |error| CheckpointError::Write { path: path.into(), error: io::Error::other(error) };
    let mut views = Vec::new();
    for (name, shape, bytes) in tensors {
        let all_rows = shape.first().copied().unwrap_or_default();
        for names in format.names(name) {
            let ours = name;
            let rows = format.rows(name, all_rows, names.len());
            let mut rest = bytes.as_slice();
            for (name, rows) in names.into_iter().zip(rows) {
                let shape = format.shape(ours, rows, shape);
                let (part, after) = rest.split_at(bytes.len() / all_rows.max(1) * rows);
                rest = after;
                views.push((name, TensorView::new(dtype, shape, part).map_err(failed)?));
            }
        }
    }
    for (name, shape, bytes) in buffers {
        let view = TensorView::new(dtype, shape.clone(), bytes).map_err(failed)?;
        views.push((name.clone(), view));
    }
    let zero = 0_i64.to_le_bytes();
    for counter in tensors.iter().filter_map(|(name, ..)| format.counter(name)) {
        views.push((counter, TensorView::new(Dtype::I64, Vec::new(), &zero).map_err(failed)?));
    }
    // Tools that read safetensors expect this for tensors in PyTorch's layout.
    let layout = ("format".to_string(), "pt".to_string());
    let metadata = format.settings.metadata().chain([layout]).collect();
    write_views(views, &metadata, path)
        .map_err(|error| CheckpointError::Write { path: path.into(), error })
}

/// Writes a file of these parts that is there whole or not at all.
pub(crate) fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let target = linked(path)?;
    let replaced = target.metadata().ok();
    if replaced.as_ref().is_some_and(|replaced| !replaced.is_file()) {
        let message = "the path exists and is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let message = format!("there is no folder {}", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".{name}.perceiver-");
    remove_old(folder, &prefix);
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    #[cfg(unix)]
    {
        // As for any new file, the umask determines the permissions.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    if let Some(replaced) = replaced {
        file.as_file().set_permissions(replaced.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    // So that the new name survives a power failure too, where folders can be synchronised.
    #[cfg(unix)]
    if let Ok(folder) = std::fs::File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// How old a temporary file is that nobody is still writing.
const OLD: Duration = Duration::from_secs(600);

/// Removes what is left of earlier writers of the same file that were killed. A failure is theirs, not that of this one.
pub(crate) fn remove_old(folder: &Path, prefix: &str) {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.map(|modified| modified.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > OLD) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The number of links that lead to a file, at most: that of Linux.
const LINKS: usize = 40;

/// Resolves symbolic links, so that what they lead to is replaced, and not a link; it need not exist.
fn linked(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..LINKS {
        match target.read_link() {
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "too many symbolic links lead to it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_its_metadata_in_order() {
        let metadata = ["b", "a"].map(|key| (key.to_string(), "\"1\"\n".to_string())).into();
        let numbers = [1_u8, 2, 3, 4];
        let view = || TensorView::new(Dtype::F32, vec![1], &numbers).unwrap();
        for names in [&["x", "y"][..], &[]] {
            let views = names.iter().map(|name| (*name, view()));
            let file = safetensors::serialize(views, None).unwrap();
            for metadata in [&metadata, &Metadata::new()] {
                let (header, data) = with_metadata(&file, metadata).unwrap();
                let file = [&header, data].concat();
                assert_eq!(header.len() % 8, 0);
                let (_, read) = safetensors::SafeTensors::read_metadata(&file).unwrap();
                let found = read.metadata().clone().unwrap_or_default();
                assert_eq!(&found.into_iter().collect::<Metadata>(), metadata);
                let read = safetensors::SafeTensors::deserialize(&file).unwrap();
                assert_eq!(read.len(), names.len());
                assert!(read.iter().all(|(_, view)| view.data() == numbers));
            }
        }
        let file = safetensors::serialize([("x", view())], None).unwrap();
        let (header, _) = with_metadata(&file, &metadata).unwrap();
        let expected = br#"{"__metadata__":{"a":"\"1\"\n","b":"\"1\"\n"},"x":"#;
        assert_eq!(&header[8..8 + expected.len()], expected);
    }
}
