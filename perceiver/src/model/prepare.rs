//! Weights that are stored for inference.

use dfdx::prelude::Dtype;

use super::Perceiver;
use crate::Device;
use crate::ops::WeightPrecision;
use crate::spec::Spec;

impl<S: Spec, E: Dtype, D: Device<E>> Perceiver<S, E, D> {
    /// Lays out the weights for fast inference, in place of their tensors.
    ///
    /// On the `Cpu` in `f32`, forward passes without a tape then take about a quarter less time, with the same results and
    /// the same memory. The preparation takes as long as a forward pass. On other devices nothing changes.
    ///
    /// Everything else works as before. What needs the tensors makes them again, and they stay until the model is
    /// prepared again: a forward pass with a tape, an optimizer, `save_checkpoint`, `summary`.
    ///
    /// ```
    /// use perceiver::prelude::*;
    ///
    /// perceiver! {
    ///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8, latent_dim: 32 }
    /// }
    ///
    /// let dev = Cpu::default();
    /// let mut model = dev.build_module::<Digits, f32>();
    /// let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
    /// let logits = model.forward(images.clone());
    /// model.prepare_for_inference();
    /// assert_eq!(model.forward(images).array(), logits.array());
    /// ```
    pub fn prepare_for_inference(&mut self) {
        self.prepare_for_inference_in(WeightPrecision::F32);
    }

    /// Lays out the weights for inference, and rounds those of linear layers to a lower
    /// [precision](crate::WeightPrecision): same as [`prepare_for_inference`](Self::prepare_for_inference) otherwise.
    ///
    /// Rounded are the weights of attention, of feed-forward layers, of stems and for logits; norms, biases, latents, embeddings
    /// and positions stay as they are. This is for the `Cpu` in `f32`; on other devices nothing changes.
    ///
    /// | | bytes of a weight | products |
    /// | --- | --- | --- |
    /// | `Bf16` | 2 | in `f32`, as exact as with other weights |
    /// | `Int8` | 1, and 4 for each output | in `f32`, as exact as with other weights |
    /// | `Int8Dynamic` | 1, and 4 for each output | of integers: the rows that weights are multiplied with are rounded too |
    ///
    /// With `Bf16` and `Int8`, a model computes exactly what one with the rounded weights would. Generating text is faster, since
    /// most of its time goes into reading weights; a forward pass for many latents takes up to a quarter longer. `Int8Dynamic`
    /// makes both faster on a machine with AVX-512 VNNI, and is the same as `Int8` on any other, so its results differ between
    /// machines.
    ///
    /// Accuracy, on one machine with AVX-512 VNNI:
    ///
    /// | | `F32` | `Bf16` | `Int8` | `Int8Dynamic` | command |
    /// | --- | --- | --- | --- | --- | --- |
    /// | handwritten digits classified correctly | 98.9 % | 98.9 % | 98.9 % | 98.9 % | `cargo run --release --example digits` |
    /// | bits per byte of the held-out part of a book | 2.011 | 2.011 | 2.012 | 2.013 | `cargo run --release --example language` |
    ///
    /// The exact weights are lost, so save the model before: `save_checkpoint` is an error until weights are loaded or trained
    /// again. Whatever else needs the tensors gets the rounded weights, in `f32`: a forward pass with a tape, an optimizer,
    /// dfdx's own `save`. So do the cross attentions, which first multiply their projections to keys and values by the weights
    /// of the norm.
    ///
    /// ```
    /// use perceiver::{WeightPrecision, prelude::*};
    ///
    /// perceiver! {
    ///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8, latent_dim: 32 }
    /// }
    ///
    /// let dev = Cpu::seed_from_u64(1);
    /// let mut model = dev.build_module::<Digits, f32>();
    /// let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
    /// let logits = model.forward(images.clone());
    /// model.prepare_for_inference_in(WeightPrecision::Bf16);
    /// let difference = (model.forward(images) - logits).abs().max::<Rank0, _>().array();
    /// assert!(difference > 0.0 && difference < 0.02);
    /// assert!(model.save_checkpoint("digits.safetensors").is_err());
    /// ```
    pub fn prepare_for_inference_in(&mut self, weights: WeightPrecision) {
        self.input.prepare(weights);
        self.layers.prepare(weights);
        self.norm.prepare(weights);
        self.output.prepare(weights);
    }

    /// What the weights were rounded to.
    pub(super) fn rounded(&self) -> Option<WeightPrecision> {
        let layers = self.layers.rounded();
        layers.or_else(|| self.input.rounded()).or_else(|| self.output.rounded())
    }
}
