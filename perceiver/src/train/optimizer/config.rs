//! The settings and errors of an optimizer.

use std::fmt::{Debug, Display};

/// The settings of [`AdamW`](super::AdamW).
///
/// The defaults are those of PyTorch's `AdamW`, except that weight decay leaves out biases and the parameters of norms.
/// [`lamb`](Self::lamb) returns those of LAMB. [`AdamW::step`](super::AdamW::step) checks the ranges.
///
/// ```
/// use perceiver::train::AdamWConfig;
///
/// let config = AdamWConfig { weight_decay: 0.1, max_norm: Some(1.0), ..AdamWConfig::default() };
/// assert_eq!(config.learning_rate, 1e-3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// The learning rate, at least 0; 1e-3 by default. A [`Trainer`](crate::train::Trainer) overwrites it before each step.
    pub learning_rate: f64,
    /// The decay rates of the running means of the gradient and of its square, from 0 to 1, exclusive of 1; 0.9 and 0.999 by
    /// default.
    pub betas: [f64; 2],
    /// The number that is added to the root of the mean square, to avoid a division by zero, at least 0; 1e-8 by default.
    pub epsilon: f64,
    /// The weight decay, at least 0; 0.01 by default. Each step multiplies the parameters by
    /// `1 - learning_rate · weight_decay`.
    pub weight_decay: f64,
    /// Whether tensors with at most one axis, which are biases and the parameters of norms, decay too; false by default.
    pub decay_vectors: bool,
    /// The largest norm of all gradients taken as one vector, above 0; `None`, without a limit, by default. Gradients with a
    /// larger norm are scaled down to it, as by PyTorch's `clip_grad_norm_`.
    pub max_norm: Option<f64>,
    /// The largest absolute value of an element of a gradient, above 0; `None`, without a limit, by default. Elements are
    /// clamped after the gradients were scaled for `max_norm`.
    pub max_value: Option<f64>,
    /// Whether the update of each tensor is scaled to the norm of the tensor, as in
    /// [LAMB](https://arxiv.org/abs/1904.00962); false by default. It applies to the tensors that decay, as
    /// [`decay_vectors`](Self::decay_vectors) says.
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
    /// Returns the settings of LAMB with which the Perceiver's authors trained it (Jaegle et al. 2021, section 3.1):
    /// [`trust_ratio`](Self::trust_ratio), `learning_rate` 0.004, `weight_decay` 0.1 and `epsilon` 1e-6.
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

impl AdamWConfig {
    /// Returns the first setting that is out of its range.
    pub(super) fn check<Err: Debug + Display>(&self) -> Result<(), StepError<Err>> {
        let not_negative = |x: f64| x >= 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        let (max_norm, max_value) = (self.max_norm.unwrap_or(1.0), self.max_value.unwrap_or(1.0));
        let settings = [
            (
                "learning_rate",
                self.learning_rate,
                not_negative(self.learning_rate),
                "of at least 0",
            ),
            ("betas[0]", self.betas[0], share(self.betas[0]), "from 0 to 1, exclusive"),
            ("betas[1]", self.betas[1], share(self.betas[1]), "from 0 to 1, exclusive"),
            ("epsilon", self.epsilon, not_negative(self.epsilon), "of at least 0"),
            ("weight_decay", self.weight_decay, not_negative(self.weight_decay), "of at least 0"),
            ("max_norm", max_norm, max_norm > 0.0, "above 0"),
            ("max_value", max_value, max_value > 0.0, "above 0"),
        ];
        match settings.into_iter().find(|(_, _, fits, _)| !fits) {
            None => Ok(()),
            Some((name, value, _, expected)) => Err(StepError::Setting { name, value, expected }),
        }
    }
}

/// An error from [`AdamW`](super::AdamW). `Err` is the device's own error.
///
/// Unless it is [`Device`](Self::Device), neither the model nor the optimizer has changed.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StepError<Err: Debug + Display> {
    /// A setting of [`AdamWConfig`], or the decay of the moving average, is out of range.
    #[error("`{name}` is {value}: expected a number {expected}")]
    Setting {
        /// The name of the setting.
        name: &'static str,
        /// The value of the setting.
        value: f64,
        /// The range that the setting must be in.
        expected: &'static str,
    },
    /// The function passed to [`with_factors`](super::AdamW::with_factors) returns 0 for every parameter, so that nothing would
    /// be trained.
    #[error("`with_factors` gives every parameter the factor 0; their names are such as `{name}`")]
    NothingTrained {
        /// The name of one of the parameters.
        name: String,
    },
    /// A gradient is infinite or NaN.
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
    /// The optimizer was created for another model.
    #[error(
        "the optimizer was made for a model with {expected} trainable tensors, but this one has {found}, or of other sizes"
    )]
    OtherModel {
        /// The number of trainable tensors of the model that the optimizer was created for.
        expected: usize,
        /// The number of trainable tensors of the model that it was given.
        found: usize,
    },
    /// The device failed, most likely because it ran out of memory. Some of the parameters may have changed.
    #[error("the device failed: {0}")]
    Device(Err),
}

crate::error::debug_as_message!(StepError<Err>);
