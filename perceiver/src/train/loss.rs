//! Losses.

use std::fmt::{Debug, Display};

use dfdx::prelude::*;

use crate::Device;
use crate::ops::{Record, Rows, check, with_tape};

/// An error from a loss. `Err` is the device's own error.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LossError<Err: Debug + Display> {
    /// There are not as many targets as rows of logits.
    #[error(
        "the targets have shape {targets:?}, but the logits have {logits:?} without their classes: there must be one target for \
         each row of logits"
    )]
    Shape {
        /// The sizes of the targets.
        targets: Vec<usize>,
        /// The sizes of the logits without the last.
        logits: Vec<usize>,
    },
    /// A target is not a class.
    #[error("the target {target} is not a class: targets must be below {classes}")]
    Target {
        /// The target.
        target: usize,
        /// The number of classes.
        classes: usize,
    },
    /// Every target is ignored, or there are none.
    #[error("there are no targets: at least one must not be ignored")]
    NoTargets,
    /// The smoothing is out of range.
    #[error("`label_smoothing` is {0}: it must be from 0 to 1")]
    Smoothing(f64),
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(Err),
}

crate::error::debug_as_message!(LossError<Err>);

/// Returns the mean cross entropy of logits, `(.., classes)`, and classes, `(..)`, in nats, as PyTorch's `cross_entropy` does.
///
/// Targets are class numbers, not one-hot rows. The shape of the logits determines that of the targets when the program is
/// compiled.
///
/// ```
/// use perceiver::prelude::*;
/// use perceiver::train::cross_entropy;
///
/// let dev = Cpu::default();
/// let logits = dev.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
/// let targets = dev.tensor([0, 2]);
/// let loss = cross_entropy(logits.leaky_trace(), &targets)?;
/// assert!((loss.array() - 0.3955_f32).abs() < 1e-4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the targets do not fit, or the device runs out of memory.
pub fn cross_entropy<S, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    logits: Tensor<S, E, D, T>,
    targets: &Targets<S, D>,
) -> Result<Tensor<(), E, D, T>, LossError<D::Err>>
where
    S: Shape + ReduceShape<S::LastAxis>,
{
    CrossEntropy::default().loss(logits, targets)
}

/// A class for each row of logits of shape `S`.
pub type Targets<S, D> = Tensor<<S as ReduceShape<<S as Shape>::LastAxis>>::Reduced, usize, D>;

/// [`cross_entropy`] with settings.
///
/// ```
/// use perceiver::prelude::*;
/// use perceiver::train::CrossEntropy;
///
/// const PADDING: usize = 0;
/// let loss = CrossEntropy { label_smoothing: 0.1, ignore: Some(PADDING) };
/// let dev = Cpu::default();
/// let logits: Tensor<(usize, usize, Const<5>), f32, _> = dev.zeros_like(&(2, 3, Const));
/// let targets = dev.tensor_from_vec(vec![1, 4, PADDING, 2, PADDING, PADDING], (2, 3));
/// assert!((loss.loss(logits, &targets)?.array() - 5_f32.ln()).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// How much of each target is spread over all classes, from 0 to 1.
    pub label_smoothing: f64,
    /// A target whose rows do not count, such as the id of padding. It need not be a class.
    pub ignore: Option<usize>,
}

impl CrossEntropy {
    /// Returns the mean over all rows that count.
    ///
    /// # Errors
    /// Same as [`cross_entropy`], or if the settings are out of range.
    pub fn loss<S, E: Dtype, D: Device<E>, T: Tape<E, D>>(
        &self,
        logits: Tensor<S, E, D, T>,
        targets: &Targets<S, D>,
    ) -> Result<Tensor<(), E, D, T>, LossError<D::Err>>
    where
        S: Shape + ReduceShape<S::LastAxis>,
    {
        let targets = self.targets(&logits, targets)?;
        let (logits, mut tape) = logits.split_tape();
        let mut record = Record::for_tape::<T>();
        let loss = with_tape!(record, rows(logits, targets.len()))
            .and_then(|rows| {
                D::try_cross_entropy(&mut record, rows, &targets, self.label_smoothing)
            })
            .map_err(LossError::Device)?;
        record.put_on(&mut tape);
        Ok(loss.put_tape(tape))
    }

    /// The target of each row, if it counts.
    fn targets<S, E: Dtype, D: Device<E>, T>(
        &self,
        logits: &Tensor<S, E, D, T>,
        targets: &Targets<S, D>,
    ) -> Result<Vec<Option<usize>>, LossError<D::Err>>
    where
        S: Shape + ReduceShape<S::LastAxis>,
    {
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(LossError::Smoothing(self.label_smoothing));
        }
        let mut sizes: Vec<usize> = logits.shape().concrete().into();
        let classes = sizes.pop().unwrap_or_default();
        let of_targets: Vec<usize> = targets.shape().concrete().into();
        if of_targets != sizes {
            return Err(LossError::Shape { targets: of_targets, logits: sizes });
        }
        // dfdx panics at tensors without elements.
        let targets = if sizes.contains(&0) { Vec::new() } else { targets.as_vec() };
        let counts = |target: usize| Some(target) != self.ignore;
        let targets: Vec<_> =
            targets.into_iter().map(|target| counts(target).then_some(target)).collect();
        if let Some(&target) = targets.iter().flatten().find(|target| **target >= classes) {
            return Err(LossError::Target { target, classes });
        }
        if targets.iter().flatten().next().is_none() {
            return Err(LossError::NoTargets);
        }
        Ok(targets)
    }
}

fn rows<S: Shape, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    logits: Tensor<S, E, D, T>,
    rows: usize,
) -> Result<Rows<E, D, T>, D::Err> {
    let numbers = logits.shape().num_elements();
    check::<D::Err>(rows > 0)?;
    logits.try_contiguous()?.try_reshape_like(&(1, rows, numbers / rows))
}

/// Returns the fraction of rows, `(.., classes)`, whose largest logit is that of the target, from 0 to 1.
///
/// ```
/// use perceiver::prelude::*;
/// use perceiver::train::accuracy;
///
/// let dev = Cpu::default();
/// let logits = dev.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
/// assert_eq!(accuracy(&logits, &dev.tensor([0, 1]))?, 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the targets do not fit.
pub fn accuracy<S, E: Dtype, D: Device<E>, T>(
    logits: &Tensor<S, E, D, T>,
    targets: &Targets<S, D>,
) -> Result<f64, LossError<D::Err>>
where
    S: Shape + ReduceShape<S::LastAxis>,
{
    let (hits, count) = hits(&CrossEntropy::default(), logits, targets)?;
    Ok(hits as f64 / count as f64)
}

/// How many rows have their largest logit at the target, and how many count.
pub(super) fn hits<S, E: Dtype, D: Device<E>, T>(
    criterion: &CrossEntropy,
    logits: &Tensor<S, E, D, T>,
    targets: &Targets<S, D>,
) -> Result<(usize, usize), LossError<D::Err>>
where
    S: Shape + ReduceShape<S::LastAxis>,
{
    let targets = criterion.targets(logits, targets)?;
    let classes = logits.shape().num_elements() / targets.len();
    let logits = logits.as_vec();
    let rows = logits.chunks_exact(classes).zip(&targets);
    let rows = rows.filter_map(|(row, target)| Some((row, (*target)?)));
    let hits = rows.filter(|(row, target)| row.iter().all(|other| *other <= row[*target]));
    Ok((hits.count(), targets.iter().flatten().count()))
}
