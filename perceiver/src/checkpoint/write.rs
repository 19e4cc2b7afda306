//! Writing a checkpoint.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::tensor_ops::Device;
use safetensors::tensor::{Dtype, TensorView};

use super::{CheckpointDtype, CheckpointError, Depth, PERCEIVER_PYTORCH, each_tensor};

/// Writes a model to `path`. The file appears whole or not at all: it is written beside its destination and then moved
/// there.
pub(crate) fn save<M: TensorCollection<E, D>, E: CheckpointDtype, D: Device<E>>(
    model: &M,
    depth: Depth,
    path: &Path,
) -> Result<(), CheckpointError> {
    let mut tensors = Vec::new();
    each_tensor(model, |name, shape, data: &dyn Fn() -> Vec<E>| {
        let mut bytes = Vec::new();
        E::write(&data(), &mut bytes);
        tensors.push((name, shape, bytes));
    });
    write_tensors(&tensors, E::DTYPE, depth, path)
}

type Tensor = (String, Vec<usize>, Vec<u8>);

fn write_tensors(
    tensors: &[Tensor],
    dtype: Dtype,
    depth: Depth,
    path: &Path,
) -> Result<(), CheckpointError> {
    let failed =
        |error| CheckpointError::Write { path: path.into(), source: io::Error::other(error) };
    let mut views = Vec::new();
    for (name, shape, bytes) in tensors {
        for name in depth.names(name) {
            let names = PERCEIVER_PYTORCH.names(&name);
            let mut shape = shape.clone();
            if let Some(rows) = shape.first_mut() {
                *rows /= names.len();
            }
            let parts = bytes.chunks((bytes.len() / names.len()).max(1));
            for (name, part) in names.into_iter().zip(parts) {
                let view = TensorView::new(dtype, shape.clone(), part).map_err(failed)?;
                views.push((name, view));
            }
        }
    }
    // What tools that read safetensors expect of tensors in PyTorch's layout.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(failed)?;
    write_whole(path, &bytes).map_err(|source| CheckpointError::Write { path: path.into(), source })
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = linked(path);
    let replaced = target.metadata().ok();
    if replaced.as_ref().is_some_and(|replaced| !replaced.is_file()) {
        let message = "the path exists and is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".perceiver-");
    #[cfg(unix)]
    {
        // As for any new file, what may be done with it is up to the umask.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    if let Some(replaced) = replaced {
        file.as_file().set_permissions(replaced.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// What a link points to, which is what is replaced, not the link; whether it is there or not.
fn linked(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.read_link()) {
        (Ok(target), _) => target,
        (Err(_), Ok(target)) => path.parent().unwrap_or(Path::new("")).join(target),
        (Err(_), Err(_)) => path.to_path_buf(),
    }
}
