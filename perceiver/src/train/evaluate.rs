//! The loss and accuracy of a model over several batches.

use dfdx::prelude::*;

use super::loss::hits;
use super::{CrossEntropy, LossError, Targets};
use crate::Device;

/// The mean loss and the accuracy of a classifier over several batches, such as those of a validation set.
///
/// Every target counts the same, whatever the size of its batch. Add the logits of `try_forward`, which applies no dropout.
///
/// ```
/// use perceiver::prelude::*;
/// use perceiver::train::Evaluation;
///
/// perceiver! {
///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8,
///         latent_dim: 32, latent_heads: 2, num_classes: 10 }
/// }
///
/// let dev = Cpu::seed_from_u64(1);
/// let model = dev.build_module::<Digits, f32>();
/// let examples: Vec<usize> = (0..40).collect();
///
/// let mut evaluation = Evaluation::default();
/// for batch in examples.chunks(16) {
///     let images: Tensor<(usize, Const<8>, Const<8>, Const<1>), f32, _> =
///         dev.zeros_like(&(batch.len(), Const, Const, Const));
///     let digits = dev.tensor_from_vec(batch.iter().map(|i| i % 10).collect(), (batch.len(),));
///     evaluation.add(model.try_forward(images)?, &digits)?;
/// }
/// assert_eq!(evaluation.targets(), 40);
/// println!("loss {:.3}, accuracy {:.3}", evaluation.loss(), evaluation.accuracy());
/// # assert!((evaluation.accuracy() - 0.1).abs() < 1e-9 && evaluation.loss() > 2.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    criterion: CrossEntropy,
    loss: f64,
    hits: usize,
    targets: usize,
}

impl Evaluation {
    /// Starts an evaluation with the label smoothing and the ignored target of a [`CrossEntropy`]. The default has neither, as
    /// [`cross_entropy`](super::cross_entropy).
    #[must_use]
    pub fn new(criterion: CrossEntropy) -> Self {
        Self { criterion, ..Self::default() }
    }

    /// Adds a batch of `logits`, `(.., classes)`, and of `targets`, `(..)`.
    ///
    /// # Errors
    /// Same as [`CrossEntropy::loss`]. Nothing is added then.
    pub fn add<S, E: Dtype, D: Device<E>>(
        &mut self,
        logits: Tensor<S, E, D>,
        targets: &Targets<S, D>,
    ) -> Result<(), LossError<D::Err>>
    where
        S: Shape + ReduceShape<S::LastAxis>,
    {
        let (hits, count) = hits(&self.criterion, &logits, targets)?;
        let loss = self.criterion.loss(logits, targets)?.as_vec();
        let loss: f64 = loss.iter().filter_map(|loss| loss.to_f64()).sum();
        self.loss += loss * count as f64;
        self.hits += hits;
        self.targets += count;
        Ok(())
    }

    /// Returns the mean loss over all targets added so far, in nats; NaN if there are none.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss / self.targets as f64
    }

    /// Returns the fraction of targets whose logit is the largest of its row, from 0 to 1, as
    /// [`accuracy`](super::accuracy) does; NaN if there are none.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.hits as f64 / self.targets as f64
    }

    /// Returns the number of targets added so far, without those that are ignored.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.targets
    }
}
