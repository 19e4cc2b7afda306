//! Checkpoints of modules that are not declared.

use std::collections::HashMap;
use std::path::Path;

use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::tensor_ops::Device;

use super::matching::{Expected, Matching};
use super::write::{self, Metadata};
use super::{CheckpointDtype, CheckpointError, LoadOptions, each_tensor, files, fill};

/// Saves any dfdx module to a safetensors file, such as a module of your own of which a declared model is a part.
///
/// Tensors have the names and shapes that dfdx's `save_safetensors` gives them. A declared model alone is better saved with
/// its `save_checkpoint`, which uses the names of the PyTorch reference. The file is replaced atomically: it is written next
/// to its destination and then moved there.
///
/// ```
/// use perceiver::checkpoint::{load_module, save_module};
/// use perceiver::dfdx::nn::builders::{Linear, ReLU};
/// use perceiver::prelude::*;
///
/// perceiver! {
///     struct Reader { input: Tokens(4), depth: 1, num_latents: 4, latent_dim: 8, latent_heads: 2, num_classes: 6 }
/// }
/// type Net = (Reader, (ReLU, Linear<6, 1>));
///
/// # let temporary = tempfile::tempdir()?;
/// # let path = temporary.path().join("net.safetensors");
/// let dev = Cpu::default();
/// let net = dev.build_module::<Net, f32>();
/// save_module(&path, &net)?;
///
/// let mut again = dev.build_module::<Net, f32>();
/// load_module(&path, &mut again)?;
/// let tokens: Tensor<Rank3<1, 5, 4>, f32, _> = dev.sample_normal();
/// assert_eq!(again.forward(tokens.clone()).array(), net.forward(tokens).array());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// If `prepare_for_inference_in` has rounded the weights, the rounded weights are saved.
///
/// # Errors
/// [`CheckpointError::Write`] if the file cannot be written. An existing file is then left unchanged.
pub fn save_module<M, E, D>(path: impl AsRef<Path>, module: &M) -> Result<(), CheckpointError>
where
    M: TensorCollection<E, D>,
    E: CheckpointDtype,
    D: Device<E>,
{
    let mut tensors = Vec::new();
    each_tensor(module, |tensor| {
        let mut bytes = Vec::new();
        E::write(&tensor.numbers(), &mut bytes);
        tensors.push((tensor.name, tensor.shape, bytes));
    });
    write::write_plain(&tensors, E::DTYPE, &Metadata::new(), path.as_ref())
}

/// Loads a file of [`save_module`], or of dfdx's `save_safetensors`, into a module. [`save_module`] has an example.
///
/// # Errors
/// - [`CheckpointError::Read`] if the file cannot be read,
/// - [`CheckpointError::Malformed`], [`CheckpointError::Pickle`] or [`CheckpointError::Npz`] if it is not a safetensors
///   file,
/// - [`CheckpointError::Mismatch`] if its tensors are not exactly those of the module, in name, shape and data type.
///
/// The module is then unchanged.
pub fn load_module<M, E, D>(path: impl AsRef<Path>, module: &mut M) -> Result<(), CheckpointError>
where
    M: TensorCollection<E, D>,
    E: CheckpointDtype,
    D: Device<E>,
{
    let path = path.as_ref();
    let bytes = files::read(path)?;
    let (options, files) = (LoadOptions::default(), [files::parse(path, &bytes)?]);
    let mut matching = Matching::new(&options, &files, |name| name.to_string());
    let mut numbers = HashMap::new();
    each_tensor(module, |tensor| {
        let expected = Expected { shape: tensor.shape, grid: None };
        if let Some(fits) = matching.take::<E>(&[&tensor.name], &expected) {
            numbers.insert(tensor.name, E::read(fits.view.data()));
        }
    });
    matching.finish().all_or_nothing(path)?;
    fill(module, |name, _, _| numbers.remove(name));
    Ok(())
}
