//! The loss and the accuracy of a classifier.

use std::fmt::{Debug, Display};

use dfdx::prelude::*;

use crate::Device;
use crate::ops::{Record, Rows, check, with_tape};

/// An error from [`cross_entropy`], [`CrossEntropy::loss`] or [`accuracy`]. `Err` is the device's own error.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LossError<Err: Debug + Display> {
    /// The shape of the targets is not that of the logits without their last axis. Only sizes known at run time can differ.
    #[error(
        "the targets have shape {targets:?}, but the logits have {logits:?} without their classes: there must be one target for \
         each row of logits"
    )]
    Shape {
        /// The shape of the targets.
        targets: Vec<usize>,
        /// The shape of the logits without their last axis.
        logits: Vec<usize>,
    },
    /// A target is not the index of a class.
    #[error("the target {target} is not a class: targets must be below {classes}")]
    Target {
        /// The first such target.
        target: usize,
        /// The number of classes.
        classes: usize,
    },
    /// There are no targets, or all of them are ignored, so that there is no mean.
    #[error("there are no targets: at least one must not be ignored")]
    NoTargets,
    /// [`CrossEntropy::label_smoothing`] is not from 0 to 1.
    #[error("`label_smoothing` is {0}: it must be from 0 to 1")]
    Smoothing(f64),
    /// The device failed: it ran out of memory.
    #[error("the device failed: {0}")]
    Device(Err),
}

crate::error::debug_as_message!(LossError<Err>);

/// Returns the mean cross entropy of `logits` and the `targets` that they should predict, in nats, as PyTorch's
/// `cross_entropy` does.
///
/// `logits` have the shape `(.., classes)` and `targets` the shape `(..)`, which the compiler checks. A target is the index
/// of a class, from 0, not a one-hot row. For label smoothing, or to skip padding, use [`CrossEntropy`].
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
/// - [`LossError::Shape`] if a size that is known only at run time differs,
/// - [`LossError::Target`] if a target is not below the number of classes,
/// - [`LossError::NoTargets`] if there are no targets,
/// - [`LossError::Device`] if the device runs out of memory.
pub fn cross_entropy<S, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    logits: Tensor<S, E, D, T>,
    targets: &Targets<S, D>,
) -> Result<Tensor<(), E, D, T>, LossError<D::Err>>
where
    S: Shape + ReduceShape<S::LastAxis>,
{
    CrossEntropy::default().loss(logits, targets)
}

/// The targets of logits of shape `S`: a tensor of class indices with the shape of the logits without their last axis.
pub type Targets<S, D> = Tensor<<S as ReduceShape<<S as Shape>::LastAxis>>::Reduced, usize, D>;

/// The cross entropy with label smoothing and targets that are ignored. By default, it is that of [`cross_entropy`].
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
    /// The share of each target that is spread evenly over all classes, from 0 to 1, as PyTorch's `label_smoothing`; 0 by
    /// default.
    pub label_smoothing: f64,
    /// The target whose rows are left out of the mean, such as the id of padding, as PyTorch's `ignore_index`; `None` by
    /// default. It need not be the index of a class.
    pub ignore: Option<usize>,
}

impl CrossEntropy {
    /// Returns the mean cross entropy over all rows whose target is not ignored, in nats. Shapes are those of
    /// [`cross_entropy`].
    ///
    /// # Errors
    /// Same as [`cross_entropy`], [`LossError::NoTargets`] also if all targets are ignored, or [`LossError::Smoothing`] if
    /// [`label_smoothing`](Self::label_smoothing) is not from 0 to 1.
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

    /// The target of each row; `None` if it is ignored.
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

/// Returns the fraction of rows whose largest logit is that of their target, from 0 to 1.
///
/// Shapes are those of [`cross_entropy`]. A row in which another class has the same largest logit counts as correct.
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
/// [`LossError::Shape`], [`LossError::Target`] or [`LossError::NoTargets`], as for [`cross_entropy`].
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
