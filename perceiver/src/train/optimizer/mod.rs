//! The optimizer.

mod average;
mod config;
mod visit;

use dfdx::nn::tensor_collection::{RecursiveWalker, TensorCollection};
use dfdx::optim::{Optimizer, OptimizerUpdateError};
use dfdx::prelude::*;

pub use self::config::{AdamWConfig, StepError};

use self::average::Average;
use self::visit::{Apply, Measure, each};
use crate::WrongSize;
use crate::ops::{AdamKernel, AdamStep};

/// The optimizer [AdamW](https://arxiv.org/abs/1711.05101), which can also be [LAMB](https://arxiv.org/abs/1904.00962), for any
/// dfdx module.
///
/// With the same settings, its results match those of PyTorch's `AdamW`. [`AdamWConfig`] lists the settings and their
/// defaults.
///
/// [`step`](Self::step) takes the gradients of a backward pass and returns them, set to 0, for the next one. On the `Cpu` in
/// `f32`, it makes one pass over each parameter, on all threads. `AdamW` also implements dfdx's [`Optimizer`], for code that
/// is generic over optimizers; prefer `step`, which is faster, and refuses gradients that are not finite.
///
/// [`Trainer`](super::Trainer) is a training loop around it. In a loop of your own:
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
    /// The settings. They may be changed between steps, such as the learning rate by a [`Schedule`](super::Schedule).
    pub config: AdamWConfig,
    steps: u64,
    norm: f64,
    /// None if the model has no parameters.
    device: Option<D>,
    slots: Vec<Slot<E, D>>,
    average: Option<Average<E, D>>,
}

/// What [`AdamW::restore`] takes.
pub(super) struct State<E> {
    pub(super) steps: u64,
    /// Those of each parameter.
    pub(super) moments: Vec<[Vec<E>; 2]>,
    /// The average of each parameter; none if there is none.
    pub(super) average: Vec<Vec<E>>,
}

/// What is kept for a parameter.
#[derive(Clone, Debug)]
struct Slot<E: Dtype, D: AdamKernel<E>> {
    name: String,
    len: usize,
    /// The running means of its gradient and of its square.
    moments: [D::Numbers; 2],
    /// Multiplies the learning rate.
    factor: f64,
}

impl<E: Dtype, D: AdamKernel<E>> AdamW<E, D> {
    /// Creates an optimizer for a model, with moments of 0. They take twice the memory of the model's trainable parameters.
    ///
    /// Settings are not checked here, but in each [`step`](Self::step).
    ///
    /// # Errors
    /// [`StepError::Device`] if the device runs out of memory.
    pub fn new<M: TensorCollection<E, D>>(
        model: &M,
        config: AdamWConfig,
    ) -> Result<Self, StepError<D::Err>> {
        let (mut slots, mut of_model) = (Vec::new(), None);
        each(model, |name, len, device| {
            of_model = Some(device.clone());
            let zeros = || device.try_numbers(vec![E::default(); len]);
            let moments = zeros().and_then(|first| Ok([first, zeros()?]));
            slots.push(moments.map(|moments| Slot { name, len, moments, factor: 1.0 }));
        });
        let slots = slots.into_iter().collect::<Result<_, _>>().map_err(StepError::Device)?;
        Ok(Self { config, steps: 0, norm: 0.0, device: of_model, slots, average: None })
    }

    /// Multiplies the learning rate of each parameter by a factor. A parameter with factor 0 is not trained.
    ///
    /// `factor` is called with the name of each trainable tensor, such as `output.weight`: the names under which dfdx, and
    /// [`save_module`](crate::checkpoint::save_module), save them, not those of checkpoints. [`names`](Self::names) has them.
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

    /// Keeps an exponential moving average (EMA) of the parameters, which often predicts better than the parameters
    /// themselves.
    ///
    /// The average starts with the parameters after the next step. After each further step, it becomes
    /// `decay · average + (1 - decay) · parameter`, as in PyTorch's `AveragedModel` with `get_ema_multi_avg_fn(decay)`. It
    /// covers about the last `1 / (1 - decay)` steps, which should be a small part of the training; 0.999 and 0.9999 are
    /// common. With a decay below 0, or of 1 or more, the first step is an error.
    ///
    /// The average takes as much memory as the trainable parameters, and [`save_training`](super::save_training) saves it
    /// with the rest. It has the data type of the model: use `f32` or `f64`, since in half precision most of its small
    /// changes would be rounded away. [`averaged`](Self::averaged) returns it as a model.
    ///
    /// ```
    /// # use perceiver::prelude::*;
    /// # use perceiver::train::{AdamW, cross_entropy};
    /// # perceiver! { struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8,
    /// #     latent_dim: 32, latent_heads: 2, num_classes: 10 } }
    /// # let dev = Cpu::seed_from_u64(1);
    /// # let mut model = dev.build_module::<Digits, f32>();
    /// # let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
    /// # let targets = dev.tensor([0, 1, 2, 3, 4]);
    /// let mut optimizer = AdamW::new(&model, Default::default())?.with_ema(0.9);
    /// # let mut gradients = model.alloc_grads();
    /// for _ in 0..3 {
    ///     // let gradients = loss.backward();
    /// #   let loss = cross_entropy(model.forward_mut(images.clone().traced(gradients)), &targets)?;
    /// #   gradients = loss.backward();
    ///     gradients = optimizer.step(&mut model, gradients)?;
    /// }
    /// // A model to evaluate, and to save; `model` goes on training.
    /// let averaged = optimizer.averaged(&model)?;
    /// assert_ne!(averaged.latents.array(), model.latents.array());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_ema(mut self, decay: f64) -> Self {
        self.average = Some(Average::new(decay));
        self
    }

    /// Returns a clone of the model in which the trainable parameters are replaced by their moving averages: evaluate and
    /// save this clone. Without [`with_ema`](Self::with_ema), or before the first step, it is a plain clone.
    ///
    /// # Errors
    /// [`StepError::OtherModel`] if the optimizer was created for another model, with other sizes of its parameters.
    pub fn averaged<M>(&self, model: &M) -> Result<M, StepError<D::Err>>
    where
        M: TensorCollection<E, D> + Clone,
    {
        let mut lens = Vec::new();
        each(model, |_, len, _| lens.push(len));
        self.check(&lens)?;
        let mut averaged = model.clone();
        if let Some(average) = &self.average {
            average.write_to(&mut averaged);
        }
        Ok(averaged)
    }

    /// Returns the names of the trainable tensors, which [`with_factors`](Self::with_factors) passes to its function.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|slot| &*slot.name)
    }

    /// Returns the number of steps so far, including those before the state was loaded with
    /// [`load_training`](super::load_training).
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the norm of all gradients in the last step, taken as one vector, before `max_norm` and `max_value` were
    /// applied; 0 before the first step.
    #[must_use]
    pub fn gradient_norm(&self) -> f64 {
        self.norm
    }

    /// Updates the parameters of a model, and returns the gradients, set to 0, to be passed to the next `traced`.
    ///
    /// To accumulate the gradients of several batches, pass the result of `backward` to the `traced` of the next batch, and
    /// call `step` after the last one. Gradients add up: divide each loss by the number of batches for their mean.
    ///
    /// # Errors
    /// - [`StepError::Setting`] if a setting is out of range,
    /// - [`StepError::OtherModel`] if the optimizer was created for another model, with other sizes of its parameters,
    /// - [`StepError::NotFinite`] if a gradient is infinite or NaN,
    /// - [`StepError::Device`] if the device fails.
    ///
    /// The model and the optimizer's state are unchanged then, except after [`StepError::Device`].
    pub fn step<M: TensorCollection<E, D>>(
        &mut self,
        model: &mut M,
        mut gradients: Gradients<E, D>,
    ) -> Result<Gradients<E, D>, StepError<D::Err>> {
        self.check_settings()?;
        self.measure(model, &mut gradients)?;
        self.apply(model, &mut gradients).map_err(StepError::Device)?;
        Ok(gradients)
    }

    /// Whether a gradient of a model is not 0.
    pub(super) fn has_gradients<M: TensorCollection<E, D>>(
        &mut self,
        model: &M,
        gradients: &mut Gradients<E, D>,
    ) -> Result<bool, StepError<D::Err>> {
        self.measure(model, gradients)?;
        Ok(self.norm > 0.0 || self.slots.is_empty())
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
        self.check(&lens)?;
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

    fn check_settings(&self) -> Result<(), StepError<D::Err>> {
        self.config.check()?;
        if let Some(decay) = self.average.as_ref().map(Average::decay)
            && !(0.0..1.0).contains(&decay)
        {
            let (name, expected) = ("decay", "from 0 to 1, exclusive");
            return Err(StepError::Setting { name, value: decay, expected });
        }
        match self.slots.last() {
            Some(slot) if self.slots.iter().all(|slot| slot.factor == 0.0) => {
                Err(StepError::NothingTrained { name: slot.name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Checks that these are the lengths of the parameters.
    fn check(&self, lens: &[usize]) -> Result<(), StepError<D::Err>> {
        match self.slots.iter().map(|slot| slot.len).eq(lens.iter().copied()) {
            true => Ok(()),
            false => {
                let (expected, found) = (self.slots.len(), lens.len());
                Err(StepError::OtherModel { expected, found })
            }
        }
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
        let released = M::iter_tensors(&mut RecursiveWalker { m: &mut *model, f: &mut f });
        // Those that can be written to have to be, even if the next one could not be released.
        device.try_write(f.together)?;
        released?;
        match &mut self.average {
            Some(average) => average.update(device, model),
            None => Ok(()),
        }
    }

    /// The names of the parameters with their moments.
    pub(super) fn moments(&self) -> impl Iterator<Item = (&str, [Vec<E>; 2])> {
        self.slots.iter().map(|slot| (&*slot.name, slot.moments.each_ref().map(D::to_vec)))
    }

    /// The names of the parameters with their averages; none if there are none yet.
    pub(super) fn averages(&self) -> impl Iterator<Item = (&str, Vec<E>)> {
        let names = self.slots.iter().map(|slot| &*slot.name);
        names.zip(self.average.iter().flat_map(Average::to_vecs))
    }

    /// The names and lengths of the parameters.
    pub(super) fn lens(&self) -> impl Iterator<Item = (&str, usize)> {
        self.slots.iter().map(|slot| (&*slot.name, slot.len))
    }

    /// Whether it keeps an average of the parameters.
    pub(super) fn has_average(&self) -> bool {
        self.average.is_some()
    }

    /// Replaces the number of steps, all moments, and the average if it keeps one. Nothing changes on an error.
    pub(super) fn restore(&mut self, state: State<E>) -> Result<(), D::Err> {
        let Some(device) = &self.device else {
            self.steps = state.steps;
            return Ok(());
        };
        let moments: Vec<_> = state
            .moments
            .into_iter()
            .map(|[first, second]| Ok([device.try_numbers(first)?, device.try_numbers(second)?]))
            .collect::<Result<_, _>>()?;
        if let Some(average) = &mut self.average {
            *average = average.with_numbers(device, state.average)?;
        }
        self.steps = state.steps;
        for (slot, moments) in self.slots.iter_mut().zip(moments) {
            slot.moments = moments;
        }
        Ok(())
    }
}

impl<M: TensorCollection<E, D>, E: Dtype, D: AdamKernel<E>> Optimizer<M, D, E> for AdamW<E, D> {
    /// Same as [`step`](AdamW::step), on a copy of the gradients. Settings that are out of range and gradients that are not
    /// finite are not errors here, but used as they are.
    fn update(
        &mut self,
        module: &mut M,
        gradients: &Gradients<E, D>,
    ) -> Result<(), OptimizerUpdateError<D::Err>> {
        let mut gradients = gradients.clone();
        let failed = |error| match error {
            StepError::Device(error) => Some(error),
            StepError::OtherModel { .. } => Some(D::Err::wrong_size()),
            // Not of `measure`, or allowed here.
            StepError::Setting { .. }
            | StepError::NothingTrained { .. }
            | StepError::NotFinite { .. } => None,
        };
        match self.measure(module, &mut gradients).err().and_then(failed) {
            Some(error) => Err(OptimizerUpdateError::DeviceError(error)),
            None => self.apply(module, &mut gradients).map_err(OptimizerUpdateError::DeviceError),
        }
    }
}
