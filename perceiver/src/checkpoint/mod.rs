//! Saving and loading models as checkpoints: safetensors files with the tensor names and shapes of the PyTorch reference.
//!
//! A declared model's [`save_checkpoint`](crate::model::Perceiver::save_checkpoint) writes the tensors of its reference's
//! `state_dict`, and [`load_checkpoint`](crate::model::Perceiver::load_checkpoint) reads them, so models move between Rust
//! and PyTorch without conversion. The reference is perceiver-pytorch 0.11; with `family: Transformers`, it is Hugging
//! Face's Transformers, and with `family: PerceiverAr`, perceiver-io. In Rust:
//!
//! ```
//! use perceiver::prelude::*;
//!
//! perceiver! {
//!     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8, latent_dim: 16 }
//! }
//!
//! # let temporary = tempfile::tempdir()?;
//! # let path = temporary.path().join("perceiver.safetensors");
//! let dev = Cpu::default();
//! let model = dev.build_module::<Digits, f32>();
//! model.save_checkpoint(&path)?;
//! let mut again = dev.build_module::<Digits, f32>();
//! again.load_checkpoint(&path)?;
//! assert_eq!(again.latents.array(), model.latents.array());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! And in Python:
//!
//! ```python
//! from safetensors.torch import load_file, save_model
//! save_model(model, "perceiver.safetensors")  # for `load_checkpoint`
//! model.load_state_dict(load_file("perceiver.safetensors"))  # from `save_checkpoint`
//! ```
//!
//! # Which files can be loaded
//! - Files of perceiver-pytorch 0.8 to 0.10, which name the parts of a layer by number.
//! - Files with tied layers, both with a copy for each layer, as in a `state_dict` and as `save_checkpoint` writes them, and
//!   with the first of them only, as `save_model` writes them.
//! - Checkpoints in several files: pass the path of their `model.safetensors.index.json`.
//! - Files that are not exactly the model's, as far as [`LoadOptions`] allow:
//!   [`load_checkpoint_with`](crate::model::Perceiver::load_checkpoint_with) can load the tensors that match, convert data
//!   types, interpolate learned positions, and take a model out of a bigger one. It returns a [`LoadReport`].
//!
//! `load_checkpoint` itself loads exactly the model's tensors, with its settings, or fails without changing the model; a
//! [`CheckpointError`] lists what did not match, and says what to do.
//!
//! # What a file says of the declaration
//! Some keys change what a model computes, but no tensor shows them: the number of heads in the same width, `max_freq`, the
//! activation of a feed-forward layer. `save_checkpoint` writes them into the metadata of the file, and a model that was
//! declared otherwise does not load it, unless it is asked for a part or for a prefix. PyTorch ignores this metadata. Its own
//! files have none, and are not checked: declare the model with exactly the values that it was trained with. Nor do files of
//! [`save_module`] and [`save_training`](crate::train::save_training) have settings.
//!
//! # Other modules, and trainings
//! [`save_module`] and [`load_module`] are for modules of your own of which a declared model is a part. To continue a
//! training, save the state of the optimizer too, with [`save_training`](crate::train::save_training).

mod dtype;
mod error;
pub(crate) mod files;
mod format;
mod interpolate;
mod layout;
pub(crate) mod matching;
mod module;
mod options;
mod read;
mod report;
mod settings;
pub(crate) mod write;

pub use dtype::CheckpointDtype;
pub use error::{CheckpointError, Problem};
pub(crate) use format::Format;
pub(crate) use layout::part_name;
pub use module::{load_module, save_module};
pub use options::LoadOptions;
pub use report::{Converted, DifferentSetting, Interpolated, LoadReport};
pub(crate) use settings::{Described, Settings};
pub(crate) use {read::load, write::save};

use dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorMut, ViewTensorName,
    ViewTensorRef,
};
use dfdx::prelude::*;

/// The number of layers of a model that have their own weights, and the number of all layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    pub stored: usize,
    pub all: usize,
}

impl Depth {
    /// Returns the names that a tensor would have without weight tying: one for each layer that shares it.
    fn names(self, name: &str) -> Vec<String> {
        match layout::layer_of(name) {
            Some(layer) if layer + 1 == self.stored => {
                (layer..self.all).filter_map(|layer| layout::in_layer(name, layer)).collect()
            }
            _ => vec![name.into()],
        }
    }
}

/// A tensor of a module.
pub(crate) struct Visited<'a, E, D> {
    pub name: String,
    pub shape: Vec<usize>,
    pub is_trained: bool,
    pub device: &'a D,
    copy: &'a dyn Fn() -> Vec<E>,
}

impl<E, D> Visited<'_, E, D> {
    /// Copies its numbers from the device.
    pub fn numbers(&self) -> Vec<E> {
        (self.copy)()
    }
}

/// Calls `visit` with each tensor of a module.
pub(crate) fn each_tensor<M: TensorCollection<E, D>, E: Dtype, D: Device<E>>(
    model: &M,
    visit: impl FnMut(Visited<'_, E, D>),
) {
    let visited =
        M::iter_tensors(&mut RecursiveWalker { m: (model, String::new()), f: &mut Each(visit) });
    if let Err(never) = visited {
        match never {}
    }
}

struct Each<F>(F);

impl<E: Dtype, D: Device<E>, F: FnMut(Visited<'_, E, D>)> TensorVisitor<E, D> for Each<F> {
    type Viewer = (ViewTensorRef, ViewTensorName);
    type Err = std::convert::Infallible;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        (tensor, name): (&Tensor<S, E, D>, String),
    ) -> Result<Option<Tensor<S, E, D>>, Self::Err> {
        self.0(Visited {
            name,
            shape: tensor.shape().concrete().into(),
            is_trained: options.do_gradient_update,
            device: tensor.device(),
            copy: &|| tensor.as_vec(),
        });
        Ok(None)
    }
}

/// Replaces the numbers of each tensor of a module for which `numbers`, called with its name, its shape and whether it is
/// trained, returns as many.
pub(crate) fn fill<M: TensorCollection<E, D>, E: Dtype, D: Device<E>>(
    model: &mut M,
    numbers: impl FnMut(&str, &[usize], bool) -> Option<Vec<E>>,
) {
    let visited =
        M::iter_tensors(&mut RecursiveWalker { m: (model, String::new()), f: &mut Fill(numbers) });
    if let Err(never) = visited {
        match never {}
    }
}

struct Fill<F>(F);

impl<E: Dtype, D: Device<E>, F: FnMut(&str, &[usize], bool) -> Option<Vec<E>>> TensorVisitor<E, D>
    for Fill<F>
{
    type Viewer = (ViewTensorMut, ViewTensorName);
    type Err = std::convert::Infallible;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        (tensor, name): (&mut Tensor<S, E, D>, String),
    ) -> Result<Option<Tensor<S, E, D>>, Self::Err> {
        let shape: Vec<usize> = tensor.shape().concrete().into();
        if let Some(numbers) = self.0(&name, &shape, options.do_gradient_update) {
            tensor.copy_from(&numbers);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stored_layer_stands_for_the_rest() {
        let names = |name, stored, all| Depth { stored, all }.names(name);
        assert_eq!(names("layers.0.a", 2, 4), ["layers.0.a"]);
        assert_eq!(names("layers.1.a", 2, 4), ["layers.1.a", "layers.2.a", "layers.3.a"]);
        assert_eq!(names("latents", 2, 4), ["latents"]);
        assert_eq!(names("layers.5.a", 6, 6), ["layers.5.a"]);
    }
}
