//! Saving and loading models.

use std::path::Path;

use dfdx::prelude::Dtype;

use super::{Output, OutputNames, Perceiver, PerceiverAr};
use crate::Device;
use crate::checkpoint::{
    self, CheckpointDtype, CheckpointError, Described, Format, LoadOptions, LoadReport, Settings,
};
use crate::input::{GridSpec, InputKind};
use crate::spec::{CausalNumbers, CausalSpec, Numbers, Spec};

impl<S: Spec, E: Dtype, D: Device<E>> Perceiver<S, E, D> {
    fn format() -> Format {
        // The features of several inputs are in the order of files.
        let grid = S::MODALITIES.is_empty().then(GridSpec::of::<S>);
        let numbers = const { Numbers::checked::<S>() };
        let described = Described {
            grid: grid.filter(|_| S::Input::TEXT.is_none()),
            modalities: S::MODALITIES,
            outputs: S::OUTPUTS,
            query_grid: S::QUERY_GRID,
            decoder: (S::Output::NAMES != OutputNames::Classifier).then_some(numbers.decoder),
            scale: S::OUTPUT_SCALE,
        };
        Format::new(
            &numbers,
            S::FAMILY,
            S::Input::TEXT.is_some(),
            S::Output::NAMES,
            grid,
            S::MODALITIES,
            Settings::of(&numbers, &described),
        )
    }

    /// Saves the parameters to a safetensors file, with the names and shapes of the PyTorch reference's `state_dict`. The file
    /// is either written completely or left unchanged. Its metadata has the settings that no tensor shows, such as
    /// `max_freq`.
    ///
    /// The reference is that of the spec's [family](crate::spec::Family). For training that is to be continued, see
    /// [`save_training`](crate::train::save_training), which also saves the optimizer.
    ///
    /// # Errors
    /// If the file cannot be written, or the weights were rounded by
    /// [`prepare_for_inference_in`](Self::prepare_for_inference_in).
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError>
    where
        E: CheckpointDtype,
    {
        checkpoint::save(self, self.rounded(), &Self::format(), path.as_ref())
    }

    /// Loads the parameters from a safetensors file written by [`save_checkpoint`](Self::save_checkpoint) or from PyTorch, or
    /// from the several files listed in a `model.safetensors.index.json`, given its path.
    ///
    /// Use [`load_checkpoint_with`](Self::load_checkpoint_with) to load a part of a file, or other data types.
    ///
    /// # Errors
    /// If the file cannot be read, its tensors are not exactly this model's, or its metadata says that the model was declared
    /// otherwise. The model is then unchanged.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<(), CheckpointError>
    where
        E: CheckpointDtype,
    {
        self.load_checkpoint_with(path, &LoadOptions::default()).map(drop)
    }

    /// Loads parameters from the same kinds of files as [`load_checkpoint`](Self::load_checkpoint), but also from files that are
    /// not exactly the model's, as far as the [`LoadOptions`] allow. Returns a report of what was loaded and what was not.
    ///
    /// Here a classifier of 10 classes is fine-tuned for 5 classes, with a new head:
    ///
    /// ```
    /// use perceiver::checkpoint::LoadOptions;
    /// use perceiver::prelude::*;
    ///
    /// perceiver! {
    ///     struct Digits {
    ///         input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 2, num_latents: 8, latent_dim: 16,
    ///         num_classes: 10,
    ///     }
    ///     struct Vowels {
    ///         input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 2, num_latents: 8, latent_dim: 16,
    ///         num_classes: 5,
    ///     }
    /// }
    ///
    /// # let temporary = tempfile::tempdir()?;
    /// # let path = temporary.path().join("digits.safetensors");
    /// let dev = Cpu::default();
    /// dev.build_module::<Digits, f32>().save_checkpoint(&path)?;
    ///
    /// let mut model = dev.build_module::<Vowels, f32>();
    /// let options = LoadOptions { partial: true, ..LoadOptions::default() };
    /// let report = model.load_checkpoint_with(&path, &options)?;
    ///
    /// println!("{report}");
    /// let not_loaded: Vec<&str> = report.mismatched.iter().map(|problem| problem.tensor()).collect();
    /// assert_eq!(not_loaded, ["to_logits.2.weight", "to_logits.2.bias"]);
    /// assert!(report.missing.is_empty() && report.unexpected.is_empty());
    /// # assert_eq!(
    /// #     report.to_string(),
    /// #     "55 tensors loaded, 2 mismatched\n  \
    /// #      `to_logits.2.weight` has the wrong shape: expected [5, 16], found [10, 16]\n  \
    /// #      `to_logits.2.bias` has the wrong shape: expected [5], found [10]"
    /// # );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// This prints
    ///
    /// ```text
    /// 55 tensors loaded, 2 mismatched
    ///   `to_logits.2.weight` has the wrong shape: expected [5, 16], found [10, 16]
    ///   `to_logits.2.bias` has the wrong shape: expected [5], found [10]
    /// ```
    ///
    /// # Errors
    /// If the file cannot be read; if its tensors or settings differ from this model's in a way that the options do not allow; if not a
    /// single one matches; or if only a part would be loaded into a model whose weights were rounded by
    /// [`prepare_for_inference_in`](Self::prepare_for_inference_in). The model is then unchanged.
    pub fn load_checkpoint_with(
        &mut self,
        path: impl AsRef<Path>,
        options: &LoadOptions,
    ) -> Result<LoadReport, CheckpointError>
    where
        E: CheckpointDtype,
    {
        let rounded = self.rounded();
        checkpoint::load(self, rounded, &Self::format(), path.as_ref(), options)
    }
}

impl<S: CausalSpec, E: Dtype, D: Device<E>> PerceiverAr<S, E, D> {
    fn format() -> Format {
        let numbers = CausalNumbers::of::<S>();
        Format::causal(&numbers, Settings::causal(&numbers, S::ROTARY))
    }

    /// Saves the parameters to a safetensors file, with the names and shapes of the `state_dict` of perceiver-io's
    /// `CausalSequenceModel`. The file is either written completely or left unchanged.
    ///
    /// # Errors
    /// If the file cannot be written, or the weights were rounded by
    /// [`prepare_for_inference_in`](Self::prepare_for_inference_in).
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<(), CheckpointError>
    where
        E: CheckpointDtype,
    {
        checkpoint::save(self, self.rounded(), &Self::format(), path.as_ref())
    }

    /// Loads the parameters from a safetensors file written by [`save_checkpoint`](Self::save_checkpoint) or from PyTorch, or
    /// from the several files listed in a `model.safetensors.index.json`, given its path.
    ///
    /// Use [`load_checkpoint_with`](Self::load_checkpoint_with) to load a part of a file, or other data types.
    ///
    /// # Errors
    /// If the file cannot be read, its tensors are not exactly this model's, or its metadata says that the model was declared
    /// otherwise. The model is then unchanged.
    pub fn load_checkpoint(&mut self, path: impl AsRef<Path>) -> Result<(), CheckpointError>
    where
        E: CheckpointDtype,
    {
        self.load_checkpoint_with(path, &LoadOptions::default()).map(drop)
    }

    /// Loads parameters also from files that are not exactly the model's, as far as the [`LoadOptions`] allow: same as
    /// [`Perceiver::load_checkpoint_with`], which has an example.
    ///
    /// # Errors
    /// Same as [`Perceiver::load_checkpoint_with`]. The model is then unchanged.
    pub fn load_checkpoint_with(
        &mut self,
        path: impl AsRef<Path>,
        options: &LoadOptions,
    ) -> Result<LoadReport, CheckpointError>
    where
        E: CheckpointDtype,
    {
        let rounded = self.rounded();
        checkpoint::load(self, rounded, &Self::format(), path.as_ref(), options)
    }
}
