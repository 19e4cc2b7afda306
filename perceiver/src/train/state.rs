//! Saving and loading the state of a training.

use std::collections::HashMap;
use std::path::Path;

use dfdx::nn::tensor_collection::TensorCollection;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::AdamW;
use super::optimizer::State;
use crate::checkpoint::matching::{Expected, Matching};
use crate::checkpoint::{
    CheckpointDtype, CheckpointError, LoadOptions, each_tensor, files, fill, write,
};
use crate::ops::AdamKernel;

/// What the metadata of the file has under `format`.
const FORMAT: &str = "perceiver training 1";

/// Saves a model with the state of its optimizer, so that [`load_training`] can continue the training exactly where it was.
///
/// The file has the parameters of the model, the moments and the number of steps of the optimizer, its moving average of the
/// parameters if it keeps one, and a `state` of your own, such as the epoch. `state` can be anything that serde can
/// serialize to JSON. The settings of the optimizer are not saved. A [`Trainer`](super::Trainer) saves this file itself,
/// with [`with_checkpoint`](super::Trainer::with_checkpoint).
///
/// The file is replaced atomically: it is written next to its destination and then moved there. It is a safetensors file
/// with dfdx's names of the tensors. To use the model outside this training, save it with `save_checkpoint`, or with
/// [`save_module`](crate::checkpoint::save_module) if it is a module of your own.
///
/// If `prepare_for_inference_in` has rounded the weights, the rounded weights are saved: unlike `save_checkpoint`, this
/// function takes any dfdx module and cannot tell. To use a model while it trains, prepare a clone of it.
///
/// ```
/// use perceiver::dfdx::nn::{builders::Linear, BuildModule};
/// use perceiver::prelude::*;
/// use perceiver::train::{AdamW, load_training, save_training};
///
/// let dev = Cpu::default();
/// let mut model = dev.build_module::<Linear<3, 2>, f32>();
/// let mut optimizer = AdamW::new(&model, Default::default())?;
///
/// let path = std::env::temp_dir().join("perceiver-doc.training");
/// let epoch = 7;
/// save_training(&path, &model, &optimizer, &epoch)?;
/// let epoch: u32 = load_training(&path, &mut model, &mut optimizer)?;
/// assert_eq!(epoch, 7);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`CheckpointError::Write`] if `state` cannot be serialized to JSON or the file cannot be written. An existing file is
/// then left unchanged.
pub fn save_training<M, E, D>(
    path: impl AsRef<Path>,
    model: &M,
    optimizer: &AdamW<E, D>,
    state: &impl Serialize,
) -> Result<(), CheckpointError>
where
    M: TensorCollection<E, D>,
    E: CheckpointDtype,
    D: AdamKernel<E>,
{
    let path = path.as_ref();
    let mut tensors: Vec<write::Tensor> = Vec::new();
    let bytes = |numbers: &[E]| {
        let mut bytes = Vec::new();
        E::write(numbers, &mut bytes);
        bytes
    };
    each_tensor(model, |tensor| {
        let bytes = bytes(&tensor.numbers());
        tensors.push((of_model(&tensor.name), tensor.shape, bytes));
    });
    for (name, moments) in optimizer.moments() {
        for (of_moment, numbers) in MOMENTS.iter().zip(&moments) {
            tensors.push((format!("{of_moment}{name}"), vec![numbers.len()], bytes(numbers)));
        }
    }
    for (name, numbers) in optimizer.averages() {
        tensors.push((format!("{AVERAGE}{name}"), vec![numbers.len()], bytes(&numbers)));
    }
    let state = serde_json::to_string(state)
        .map_err(|error| CheckpointError::Write { path: path.into(), error: error.into() })?;
    let metadata = [
        ("format", FORMAT.to_string()),
        ("steps", optimizer.steps().to_string()),
        ("state", state),
    ];
    let metadata = metadata.into_iter().map(|(key, value)| (key.to_string(), value)).collect();
    write::write_plain(&tensors, E::DTYPE, &metadata, path)
}

/// The prefixes of the names of moments.
pub(crate) const MOMENTS: [&str; 2] = ["moment 1: ", "moment 2: "];
/// The prefix of the names of averages.
const AVERAGE: &str = "average: ";

fn of_model(name: &str) -> String {
    format!("model: {name}")
}

/// Loads a file of [`save_training`] into a model and its optimizer, and returns the `state` that was saved with them.
///
/// The settings of the optimizer stay as they are. If it keeps a moving average of the parameters and the file has none, the
/// average starts anew with the next step. [`save_training`] has an example.
///
/// # Errors
/// - [`CheckpointError::Read`] if the file cannot be read,
/// - [`CheckpointError::NotTraining`] if it was not written by [`save_training`]; for files that are not safetensors at all,
///   [`CheckpointError::Malformed`], [`CheckpointError::Pickle`] or [`CheckpointError::Npz`],
/// - [`CheckpointError::Mismatch`] if its tensors are not exactly those of the model and the optimizer,
/// - [`CheckpointError::Average`] if it has a moving average and the optimizer keeps none: call [`AdamW::with_ema`] before,
/// - [`CheckpointError::State`] if the saved `state` cannot be deserialized as a `T`.
///
/// The model and the optimizer are then left unchanged.
pub fn load_training<M, E, D, T>(
    path: impl AsRef<Path>,
    model: &mut M,
    optimizer: &mut AdamW<E, D>,
) -> Result<T, CheckpointError>
where
    M: TensorCollection<E, D>,
    E: CheckpointDtype,
    D: AdamKernel<E>,
    T: DeserializeOwned,
{
    let path = path.as_ref();
    let bytes = files::read(path)?;
    let file = files::parse(path, &bytes)?;
    let metadata = files::metadata(&bytes);
    let value = |key: &str| metadata.get(key).map(String::as_str);
    let steps = value("steps").and_then(|steps| steps.parse().ok());
    let (Some(FORMAT), Some(steps), Some(state)) = (value("format"), steps, value("state")) else {
        return Err(CheckpointError::NotTraining { path: path.into() });
    };
    let state = serde_json::from_str(state)
        .map_err(|error| CheckpointError::State { path: path.into(), error })?;

    let has_average = file.names().into_iter().any(|name| name.starts_with(AVERAGE));
    if has_average && !optimizer.has_average() {
        return Err(CheckpointError::Average { path: path.into() });
    }
    let (options, files) = (LoadOptions::default(), [file]);
    let mut matching = Matching::new(&options, &files, |name| name.to_string());
    let mut take = |name: &str, shape: &[usize]| {
        let expected = Expected { shape: shape.to_vec(), grid: None };
        let fitting = matching.take::<E>(&[name], &expected);
        fitting.map(|fits| E::read(fits.view.data())).unwrap_or_default()
    };
    let mut numbers = HashMap::new();
    each_tensor(model, |tensor| {
        let of_file = take(&of_model(&tensor.name), &tensor.shape);
        numbers.insert(tensor.name, of_file);
    });
    let moments: Vec<[Vec<E>; 2]> = optimizer
        .lens()
        .map(|(name, len)| MOMENTS.map(|moment| take(&format!("{moment}{name}"), &[len])))
        .collect();
    let of_average = optimizer.lens().filter(|_| has_average);
    let average = of_average.map(|(name, len)| take(&format!("{AVERAGE}{name}"), &[len])).collect();
    matching.finish().all_or_nothing(path)?;
    optimizer.restore(State { steps, moments, average }).map_err(|error| {
        CheckpointError::Read { path: path.into(), error: std::io::Error::other(error.to_string()) }
    })?;
    fill(model, |name, _, _| numbers.remove(name));
    Ok(state)
}
