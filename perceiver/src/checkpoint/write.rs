//! Writing a checkpoint.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;

use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::tensor_ops::Device;
use safetensors::tensor::TensorView;

use super::{CheckpointDtype, CheckpointError, each_tensor, names};

/// Writes a model `depth` layers deep to `path`. The file appears whole or not at all: it is written
/// beside its destination and then moved there.
pub fn save<M: TensorCollection<E, D>, E: CheckpointDtype, D: Device<E>>(
    model: &M,
    depth: usize,
    path: &Path,
) -> Result<(), CheckpointError> {
    let mut tensors = Vec::new();
    each_tensor(model, |name, shape, data: &dyn Fn() -> Vec<E>| {
        let mut bytes = Vec::new();
        E::write(&data(), &mut bytes);
        tensors.push((name, shape, bytes));
    });

    let stored = names::stored_layers(tensors.iter().map(|(name, ..)| name.as_str()));
    let mut views = Vec::new();
    for (name, shape, bytes) in &tensors {
        for name in names::in_file(name, stored, depth) {
            let view = TensorView::new(E::DTYPE, shape.clone(), bytes).map_err(|source| {
                CheckpointError::Malformed {
                    path: path.into(),
                    source,
                }
            })?;
            views.push((name, view));
        }
    }
    write_whole(path, views).map_err(|source| CheckpointError::Write {
        path: path.into(),
        source,
    })
}

fn write_whole(path: &Path, views: Vec<(String, TensorView<'_>)>) -> io::Result<()> {
    // What a link points to is what is replaced, not the link.
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(_) => path.to_path_buf(),
    };
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
    let file = builder.tempfile_in(folder)?;
    // A file that is replaced keeps its permissions.
    let permissions = target
        .metadata()
        .or_else(|_| file.as_file().metadata())?
        .permissions();
    // What tools that read safetensors expect of tensors in PyTorch's layout.
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize_to_file(views, Some(metadata), file.path()).map_err(io::Error::other)?;
    // Opened anew: safetensors puts a file of its own in the place of the one it is given.
    let written = File::open(file.path())?;
    written.set_permissions(permissions)?;
    written.sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}
