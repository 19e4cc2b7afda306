//! Schedules of the learning rate.

use std::f64::consts::PI;

/// How the learning rate changes: a factor for each step. A learning rate first rises in equal steps, for as many as
/// `warm_up`, then falls as [`Decay`] says.
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
    /// The number of steps in which the factor rises to 1.
    pub warm_up: u64,
    /// What happens after them.
    pub decay: Decay,
}

/// How a factor falls from 1. Steps are counted from the first of the training; after the last, the factor stays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Decay {
    /// It stays 1.
    #[default]
    Constant,
    /// Half a cosine, to 0.
    Cosine {
        /// The number of all steps.
        steps: u64,
    },
    /// A line, to 0.
    Linear {
        /// The number of all steps.
        steps: u64,
    },
    /// Multiplied by `factor` after every so many steps.
    Step {
        /// The number of steps between changes.
        every: u64,
        /// What the factor is multiplied by.
        factor: f64,
    },
    /// By the inverse root of the number of the step, as in "Attention Is All You Need".
    InverseRoot,
}

impl Schedule {
    /// A warm-up of a twentieth of all steps, then half a cosine to 0: a good start for any training.
    #[must_use]
    pub fn cosine(steps: u64) -> Self {
        Self { warm_up: steps / 20, decay: Decay::Cosine { steps } }
    }

    /// A warm-up of three tenths of all steps, then half a cosine: one cycle, as PyTorch's `OneCycleLR`, from and to 0.
    #[must_use]
    pub fn one_cycle(steps: u64) -> Self {
        Self { warm_up: steps * 3 / 10, decay: Decay::Cosine { steps } }
    }

    /// The factor for a step, from 0 on, as [`AdamW::steps`](super::AdamW::steps) counts them.
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
