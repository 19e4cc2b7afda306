//! Schedules of the learning rate.

use std::f64::consts::PI;

/// A learning rate schedule: the factor by which the learning rate is multiplied in each step.
///
/// The factor rises linearly to 1 during the first `warm_up` steps, then falls according to [`Decay`]. The default is a
/// constant factor of 1. A [`Trainer`](super::Trainer) takes it in [`with_schedule`](super::Trainer::with_schedule); in a
/// loop of your own, set the learning rate before each step:
///
/// ```
/// use perceiver::train::{Decay, Schedule};
///
/// let schedule = Schedule { warm_up: 10, decay: Decay::Cosine { steps: 110 } };
/// assert_eq!(schedule.factor(0), 0.1);
/// assert_eq!(schedule.factor(9), 1.0);
/// assert!((schedule.factor(60) - 0.5).abs() < 1e-9);
/// assert_eq!(schedule.factor(110), 0.0);
/// // optimizer.config.learning_rate = 1e-3 * schedule.factor(optimizer.steps());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Schedule {
    /// The number of steps in which the factor rises to 1; step `i`, from 0, has the factor `(i + 1) / warm_up`. 0 by
    /// default.
    pub warm_up: u64,
    /// How the factor falls after the warm-up; [`Decay::Constant`] by default.
    pub decay: Decay,
}

/// How the factor of a [`Schedule`] falls from 1 after the warm-up.
///
/// Steps are counted from the start of the training, warm-up included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Decay {
    /// The factor stays 1.
    #[default]
    Constant,
    /// The factor falls to 0 along half a cosine, and stays 0 from step `steps` on.
    Cosine {
        /// The number of steps of the whole training, warm-up included.
        steps: u64,
    },
    /// The factor falls to 0 linearly, and stays 0 from step `steps` on.
    Linear {
        /// The number of steps of the whole training, warm-up included.
        steps: u64,
    },
    /// The factor is multiplied by `factor` after every `every` steps, as by PyTorch's `StepLR`.
    Step {
        /// The number of steps between two changes, counted from step 0; 0 is taken as 1.
        every: u64,
        /// The number that the factor is multiplied by.
        factor: f64,
    },
    /// The factor falls with the inverse square root of the step, `sqrt(warm_up / step)`, as in "Attention Is All You Need"
    /// ([arXiv 1706.03762](https://arxiv.org/abs/1706.03762), section 5.3). Steps are counted from 1 here, and a `warm_up`
    /// of 0 is taken as 1.
    InverseRoot,
}

impl Schedule {
    /// Returns a warm-up over a twentieth of `steps`, followed by half a cosine to 0: a good default.
    ///
    /// `steps` must be the number of steps of the whole training, such as `epochs * batches.per_epoch()`: from step `steps`
    /// on, the learning rate is 0, and nothing more is learned.
    ///
    /// ```
    /// use perceiver::train::{Batches, Schedule};
    ///
    /// let (epochs, batches) = (10, Batches::new(50_000, 100, 1));
    /// let schedule = Schedule::cosine(epochs * batches.per_epoch() as u64);
    /// assert_eq!(schedule.warm_up, 250);
    /// assert_eq!(schedule.factor(249), 1.0);
    /// assert_eq!(schedule.factor(5_000), 0.0);
    /// ```
    #[must_use]
    pub fn cosine(steps: u64) -> Self {
        Self { warm_up: steps / 20, decay: Decay::Cosine { steps } }
    }

    /// Returns a warm-up over three tenths of `steps`, followed by half a cosine to 0: one cycle, similar to PyTorch's
    /// `OneCycleLR`, but with a linear warm-up and from and to 0.
    ///
    /// As for [`cosine`](Self::cosine), `steps` must be the number of steps of the whole training.
    #[must_use]
    pub fn one_cycle(steps: u64) -> Self {
        Self { warm_up: steps * 3 / 10, decay: Decay::Cosine { steps } }
    }

    /// Returns the factor for a step, counted from 0: the next step of an optimizer is number
    /// [`AdamW::steps`](super::AdamW::steps).
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        let Self { warm_up, decay } = *self;
        if step < warm_up {
            return (step + 1) as f64 / warm_up as f64;
        }
        let progress = |steps: u64| {
            let all = steps.saturating_sub(warm_up).max(1);
            ((step - warm_up) as f64 / all as f64).min(1.0)
        };
        match decay {
            Decay::Constant => 1.0,
            Decay::Cosine { steps } => f64::midpoint(1.0, (PI * progress(steps)).cos()),
            Decay::Linear { steps } => 1.0 - progress(steps),
            Decay::Step { every, factor } => factor.powf((step / every.max(1)) as f64),
            Decay::InverseRoot => ((warm_up.max(1)) as f64 / (step + 1) as f64).sqrt().min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_rise_and_fall() {
        let factors = |decay, warm_up, steps: &[u64]| -> Vec<f64> {
            steps.iter().map(|step| Schedule { warm_up, decay }.factor(*step)).collect()
        };
        assert_eq!(factors(Decay::Constant, 4, &[0, 1, 3, 4, 99]), [0.25, 0.5, 1.0, 1.0, 1.0]);
        assert_eq!(factors(Decay::Linear { steps: 12 }, 2, &[2, 7, 12, 99]), [1.0, 0.5, 0.0, 0.0]);
        assert_eq!(factors(Decay::Cosine { steps: 0 }, 0, &[0, 1]), [1.0, 0.0]);
        let steps = Decay::Step { every: 10, factor: 0.1 };
        assert_eq!(factors(steps, 0, &[0, 9, 10]), [1.0, 1.0, 0.1]);
        assert_eq!(factors(Decay::Step { every: 0, factor: 0.5 }, 0, &[0, 1]), [1.0, 0.5]);
        assert_eq!(factors(Decay::InverseRoot, 4, &[3, 15]), [1.0, 0.5]);
        assert_eq!(factors(Decay::InverseRoot, 0, &[0, 3]), [1.0, 0.5]);
        assert_eq!(Schedule::one_cycle(100).factor(29), 1.0);
    }
}
