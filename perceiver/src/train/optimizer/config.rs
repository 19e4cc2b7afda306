//! The settings of an optimizer, and its errors.

use std::fmt::{Debug, Display};

/// The settings of [`AdamW`](super::AdamW). The defaults are PyTorch's, except that vectors do not decay.
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

/// An error from an optimizer. A step has changed nothing, unless the device failed.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StepError<Err: Debug + Display> {
    /// A setting is out of its range.
    #[error("`{name}` is {value}: expected a number {expected}")]
    Setting {
        /// The name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The numbers that it can be.
        expected: &'static str,
    },
    /// Every factor of [`with_factors`](super::AdamW::with_factors) is 0, so that nothing would be trained.
    #[error("`with_factors` gives every parameter the factor 0; their names are such as `{name}`")]
    NothingTrained {
        /// The name of a parameter.
        name: String,
    },
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

crate::error::debug_as_message!(StepError<Err>);
