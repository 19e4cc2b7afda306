//! An optimizer.

use std::fmt::{Debug, Display};

use dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorMut, ViewTensorName,
    ViewTensorRef,
};
use dfdx::optim::{Optimizer, OptimizerUpdateError};
use dfdx::prelude::*;

use crate::WrongSize;
use crate::ops::{AdamKernel, AdamStep};

/// The settings of [`AdamW`]. The defaults are PyTorch's, except that vectors do not decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// The learning rate, 1e-3 by default. A `Trainer` overwrites it before each step.
    pub learning_rate: f64,
    /// How much of the running means of the gradient and of its square is kept in a step: 0.9 and 0.999 by default.
    pub betas: [f64; 2],
    /// Added to the root of the second, 1e-8 by default.
    pub epsilon: f64,
    /// The weight decay, 0.01 by default: a step multiplies parameters by 1 - `learning_rate · weight_decay`.
    pub weight_decay: f64,
    /// Whether biases and norms, which have one axis, decay too: not by default.
    pub decay_vectors: bool,
    /// The largest norm of all gradients together: beyond it, they are scaled down, as PyTorch's `clip_grad_norm_` does. None by
    /// default.
    pub max_norm: Option<f64>,
    /// Clamps each element of a gradient to this absolute value, after `max_norm`. None by default.
    pub max_value: Option<f64>,
    /// Whether the update of each tensor that decays is scaled to the tensor's norm: LAMB (arXiv 1904.00962). Not by
    /// default.
    pub trust_ratio: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.01,
            decay_vectors: false,
            max_norm: None,
            max_value: None,
            trust_ratio: false,
        }
    }
}

impl AdamWConfig {
    /// The settings of LAMB, with which the Perceiver's authors trained it: `epsilon` 1e-6, `learning_rate` 0.004, and
    /// `weight_decay` 0.1 (Jaegle et al. 2021, section 3.1).
    #[must_use]
    pub fn lamb() -> Self {
        Self {
            learning_rate: 0.004,
            epsilon: 1e-6,
            weight_decay: 0.1,
            trust_ratio: true,
            ..Self::default()
        }
    }
}

/// An error from an optimizer. A step has changed nothing, unless the device failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError<Err: Debug + Display> {
    /// A gradient is infinite or not a number.
    #[error(
        "the gradient of `{parameter}` is not finite in step {step}: the loss may have been NaN before; try a lower learning rate, \
         a warm-up, or `max_norm`"
    )]
    NotFinite {
        /// The name of the first such parameter.
        parameter: String,
        /// The number of the step, from 1.
        step: u64,
    },
    /// The optimizer is that of another model.
    #[error(
        "the optimizer was made for a model with {expected} trainable tensors, but this one has {found}, or of other sizes"
    )]
    OtherModel {
        /// The number of tensors of its own model.
        expected: usize,
        /// The number of tensors of this one.
        found: usize,
    },
    /// The device failed. Parameters may have changed.
    #[error("the device failed: {0}")]
    Device(Err),
}

/// AdamW (arXiv 1711.05101), and LAMB (arXiv 1904.00962), for any dfdx module.
///
/// With the same settings, results match PyTorch's `AdamW`. On the `Cpu` in `f32`, a step is one pass over each parameter on all threads,
/// which also sets its gradient to 0. It implements dfdx's [`Optimizer`], too, but only [`step`](Self::step) checks gradients, and it is faster: it takes
/// the gradients out of a backward pass and returns them for the next one.
///
/// ```
/// use perceiver::prelude::*;
/// use perceiver::train::{AdamW, AdamWConfig, cross_entropy};
///
/// perceiver! {
///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8,
///         latent_dim: 32, latent_heads: 2, num_classes: 10 }
/// }
///
/// let dev = Cpu::seed_from_u64(1);
/// let mut model = dev.build_module::<Digits, f32>();
/// let config = AdamWConfig { learning_rate: 3e-3, max_norm: Some(1.0), ..Default::default() };
/// let mut optimizer = AdamW::new(&model, config)?;
/// let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
/// let targets = dev.tensor([0, 1, 2, 3, 4]);
///
/// let mut gradients = model.alloc_grads();
/// let mut losses = Vec::new();
/// for _ in 0..40 {
///     let logits = model.forward_mut(images.clone().traced(gradients));
///     let loss = cross_entropy(logits, &targets)?;
///     losses.push(loss.array());
///     gradients = optimizer.step(&mut model, loss.backward())?;
/// }
/// assert!(losses[39] < losses[0] / 2.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AdamW<E: Dtype, D: AdamKernel<E>> {
    /// The settings, which may change between steps.
    pub config: AdamWConfig,
    steps: u64,
    norm: f64,
    /// None if the model has no parameters.
    device: Option<D>,
    slots: Vec<Slot<E, D>>,
}

/// What is kept for a parameter.
#[derive(Clone, Debug)]
struct Slot<E: Dtype, D: AdamKernel<E>> {
    name: String,
    len: usize,
    moments: D::Moments,
    /// Multiplies the learning rate.
    factor: f64,
}

impl<E: Dtype, D: AdamKernel<E>> AdamW<E, D> {
    /// Makes an optimizer for a model, whose moments are 0.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn new<M: TensorCollection<E, D>>(
        model: &M,
        config: AdamWConfig,
    ) -> Result<Self, StepError<D::Err>> {
        let (mut slots, mut of_model) = (Vec::new(), None);
        each(model, |name, len, device| {
            of_model = Some(device.clone());
            let zeros = vec![E::default(); len];
            let moments = device.try_moments([zeros.clone(), zeros])?;
            slots.push(Slot { name, len, moments, factor: 1.0 });
            Ok(())
        })
        .map_err(StepError::Device)?;
        Ok(Self { config, steps: 0, norm: 0.0, device: of_model, slots })
    }

    /// Multiplies the learning rate of each parameter by a factor that depends on its name, such as `output.weight`; a parameter
    /// with 0 is not trained. Names are those that dfdx saves parameters with.
    ///
    /// ```
    /// # use perceiver::prelude::*;
    /// # use perceiver::train::AdamW;
    /// # perceiver! { struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8,
    /// #     latent_dim: 32, latent_heads: 2, num_classes: 10 } }
    /// # let model = Cpu::default().build_module::<Digits, f32>();
    /// // Trains the output alone.
    /// let optimizer = AdamW::new(&model, Default::default())?
    ///     .with_factors(|name| if name.starts_with("output") { 1.0 } else { 0.0 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_factors(mut self, factor: impl Fn(&str) -> f64) -> Self {
        for slot in &mut self.slots {
            slot.factor = factor(&slot.name);
        }
        self
    }

    /// The number of steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The norm of all gradients in the last step, before any were limited; 0 before the first.
    #[must_use]
    pub fn gradient_norm(&self) -> f64 {
        self.norm
    }

    /// Updates a model, and returns its gradients, which are 0, for the next pass. To accumulate the gradients of several
    /// batches, pass those of one backward pass to the next `traced` before the step.
    ///
    /// # Errors
    /// If a gradient is not finite, or the model is not the one that the optimizer was made for: then nothing has changed. Or if
    /// the device fails.
    pub fn step<M: TensorCollection<E, D>>(
        &mut self,
        model: &mut M,
        mut gradients: Gradients<E, D>,
    ) -> Result<Gradients<E, D>, StepError<D::Err>> {
        self.measure(model, &mut gradients)?;
        self.apply(model, &mut gradients).map_err(StepError::Device)?;
        Ok(gradients)
    }

    /// Computes the norm of the gradients, and checks them.
    fn measure<M: TensorCollection<E, D>>(
        &mut self,
        model: &M,
        gradients: &mut Gradients<E, D>,
    ) -> Result<(), StepError<D::Err>> {
        let (mut lens, mut together) = (Vec::new(), D::Together::default());
        let mut f = Measure { lens: &mut lens, together: &mut together, gradients };
        M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut f }).map_err(StepError::Device)?;
        if !self.slots.iter().map(|slot| slot.len).eq(lens.iter().copied()) {
            let (expected, found) = (self.slots.len(), lens.len());
            return Err(StepError::OtherModel { expected, found });
        }
        let sums = match &self.device {
            Some(device) => device.try_square_sums(together).map_err(StepError::Device)?,
            None => Vec::new(),
        };
        for (slot, sum) in self.slots.iter().zip(&sums) {
            if !sum.is_finite() {
                let parameter = slot.name.clone();
                return Err(StepError::NotFinite { parameter, step: self.steps + 1 });
            }
        }
        self.norm = sums.iter().sum::<f64>().sqrt();
        Ok(())
    }

    fn apply<M: TensorCollection<E, D>>(
        &mut self,
        model: &mut M,
        gradients: &mut Gradients<E, D>,
    ) -> Result<(), D::Err> {
        self.steps += 1;
        let AdamWConfig { learning_rate, betas, epsilon, max_norm, max_value, .. } = self.config;
        let step = AdamStep {
            learning_rate,
            rate_factor: 1.0,
            betas,
            epsilon,
            weight_decay: self.config.weight_decay,
            trust_ratio: self.config.trust_ratio,
            // The summand is that of `clip_grad_norm_`.
            factor: max_norm.map_or(1.0, |max| (max / (self.norm + 1e-6)).min(1.0)),
            limit: max_value.unwrap_or(f64::INFINITY),
            step: self.steps,
        };
        let decay_vectors = self.config.decay_vectors;
        let Some(device) = &self.device else {
            return Ok(());
        };
        let (slots, together) = (self.slots.iter_mut(), D::Together::default());
        let mut f = Apply { slots, gradients, step, decay_vectors, together, is_computed: false };
        M::iter_tensors(&mut RecursiveWalker { m: &mut *model, f: &mut f })?;
        device.try_update(&f.together)?;
        f.is_computed = true;
        let released = M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut f });
        // Those that can be written to have to be, even if the next one could not be released.
        device.try_write(f.together)?;
        released.map(|_| ())
    }

    /// The names of the parameters with their moments.
    pub(super) fn moments(&self) -> impl Iterator<Item = (&str, [Vec<E>; 2])> {
        self.slots.iter().map(|slot| (&*slot.name, D::numbers(&slot.moments)))
    }

    /// The names and lengths of the parameters.
    pub(super) fn lens(&self) -> impl Iterator<Item = (&str, usize)> {
        self.slots.iter().map(|slot| (&*slot.name, slot.len))
    }

    /// Replaces the number of steps and all moments, which must be as many as there are.
    pub(super) fn restore(&mut self, steps: u64, moments: Vec<[Vec<E>; 2]>) -> Result<(), D::Err> {
        let device = self.device.iter().cycle();
        let moments: Vec<_> = device
            .zip(moments)
            .map(|(device, moments)| device.try_moments(moments))
            .collect::<Result<_, _>>()?;
        self.steps = steps;
        for (slot, moments) in self.slots.iter_mut().zip(moments) {
            slot.moments = moments;
        }
        Ok(())
    }
}

impl<M: TensorCollection<E, D>, E: Dtype, D: AdamKernel<E>> Optimizer<M, D, E> for AdamW<E, D> {
    /// Same as [`step`](AdamW::step) for a copy of the gradients. Gradients that are not finite are used as they are.
    fn update(
        &mut self,
        module: &mut M,
        gradients: &Gradients<E, D>,
    ) -> Result<(), OptimizerUpdateError<D::Err>> {
        let mut gradients = gradients.clone();
        let failed = |error| match error {
            StepError::Device(error) => Some(error),
            StepError::NotFinite { .. } => None,
            StepError::OtherModel { .. } => Some(D::Err::wrong_size()),
        };
        match self.measure(module, &mut gradients).err().and_then(failed) {
            Some(error) => Err(OptimizerUpdateError::DeviceError(error)),
            None => self.apply(module, &mut gradients).map_err(OptimizerUpdateError::DeviceError),
        }
    }
}

/// Calls a function with the name, length and device of each trainable tensor.
fn each<M: TensorCollection<E, D>, E: Dtype, D: AdamKernel<E>>(
    model: &M,
    visit: impl FnMut(String, usize, &D) -> Result<(), D::Err>,
) -> Result<(), D::Err> {
    M::iter_tensors(&mut RecursiveWalker { m: (model, String::new()), f: &mut Each(visit) })?;
    Ok(())
}

struct Each<F>(F);

impl<E: Dtype, D: AdamKernel<E>, F: FnMut(String, usize, &D) -> Result<(), D::Err>>
    TensorVisitor<E, D> for Each<F>
{
    type Viewer = (ViewTensorRef, ViewTensorName);
    type Err = D::Err;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        (tensor, name): (&Tensor<S, E, D>, String),
    ) -> Result<Option<Tensor<S, E, D>>, D::Err> {
        if options.do_gradient_update {
            self.0(name, tensor.shape().num_elements(), tensor.device())?;
        }
        Ok(None)
    }
}

struct Measure<'a, E: Dtype, D: AdamKernel<E>> {
    lens: &'a mut Vec<usize>,
    together: &'a mut D::Together,
    gradients: &'a mut Gradients<E, D>,
}

impl<E: Dtype, D: AdamKernel<E>> TensorVisitor<E, D> for Measure<'_, E, D> {
    type Viewer = ViewTensorRef;
    type Err = D::Err;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        tensor: &Tensor<S, E, D>,
    ) -> Result<Option<Tensor<S, E, D>>, D::Err> {
        if options.do_gradient_update {
            D::try_measure(tensor, self.gradients, self.together)?;
            self.lens.push(tensor.shape().num_elements());
        }
        Ok(None)
    }
}

struct Apply<'a, E: Dtype, D: AdamKernel<E>> {
    slots: std::slice::IterMut<'a, Slot<E, D>>,
    gradients: &'a mut Gradients<E, D>,
    step: AdamStep,
    decay_vectors: bool,
    together: D::Together,
    /// Whether the updates were computed.
    is_computed: bool,
}

impl<E: Dtype, D: AdamKernel<E>> TensorVisitor<E, D> for Apply<'_, E, D> {
    type Viewer = ViewTensorMut;
    type Err = D::Err;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        tensor: &mut Tensor<S, E, D>,
    ) -> Result<Option<Tensor<S, E, D>>, D::Err> {
        if options.do_gradient_update && self.is_computed {
            D::try_release(tensor, &mut self.together)?;
        } else if options.do_gradient_update
            && let Some(slot) = self.slots.next()
        {
            let mut step = self.step;
            step.rate_factor = slot.factor;
            if S::NUM_DIMS < 2 && !self.decay_vectors {
                (step.weight_decay, step.trust_ratio) = (0.0, false);
            }
            D::try_step(tensor, self.gradients, &mut slot.moments, &step, &mut self.together)?;
        }
        Ok(None)
    }
}
