//! The errors of a training.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::io;
use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::train::StepError;
#[cfg(feature = "mpi")]
use crate::train::distributed::DistributedError;

/// An error from a [`Trainer`](super::Trainer). `Err` is the device's own error.
///
/// Files that were saved before stay as they are: a program that is started again can [`resume`](super::Trainer::resume) the
/// training.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TrainError<Err: Debug + Display> {
    /// The closure that computes the loss returned an error.
    #[error("step {step}: {error}")]
    Loss {
        /// The number of the step, from 1.
        step: u64,
        /// The error that the closure returned.
        error: Box<dyn Error + Send + Sync>,
    },
    /// The file of [`with_checkpoint`](super::Trainer::with_checkpoint) exists, but [`resume`](super::Trainer::resume) was
    /// not called: the training in it would be lost.
    #[error("{} is there already: call `resume` to go on with that training, or remove the file", path.display())]
    NotResumed {
        /// The file.
        path: PathBuf,
    },
    /// All gradients of the first step are 0: the loss does not depend on the parameters of the model.
    #[error(
        "all gradients of the first step are 0: compute the loss from the output of the model that the function is given, for an \
         input with `traced(gradients)`; this loss is that of another model, or does not depend on the output"
    )]
    NoGradients,
    /// An epoch that was [resumed](super::Trainer::resume) has fewer batches than were already done.
    #[error(
        "{done} batches of epoch {epoch} were done before, but it has only {found}: a training is resumed with the same batches; \
         to begin anew, remove its files"
    )]
    OtherBatches {
        /// The epoch, from 0.
        epoch: u64,
        /// The number of batches that were done before.
        done: usize,
        /// The number of batches in the epoch.
        found: usize,
    },
    /// The loss of a batch is infinite or NaN.
    #[error(
        "the loss of step {step} is {loss}: is there a number that is not finite in the input, or is the learning rate too high?"
    )]
    NotFinite {
        /// The number of the step, from 1.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// The iterator over the batches of an epoch is empty.
    #[error("epoch {epoch} has no batches: is an iterator used up, or are there no examples?")]
    NoBatches {
        /// The epoch, from 0.
        epoch: u64,
    },
    /// The optimizer failed, such as at a gradient that is not finite.
    #[error(transparent)]
    Step(#[from] StepError<Err>),
    /// The device failed in the backward pass, most likely because it ran out of memory.
    #[error("the device failed: {0}")]
    Device(Err),
    /// The state of the training could not be saved or loaded.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The processes of a distributed training do not match.
    #[cfg(feature = "mpi")]
    #[error(transparent)]
    Distributed(#[from] DistributedError),
    /// The log or the files for TensorBoard could not be written.
    #[error("cannot write {}: {error}", path.display())]
    Log {
        /// The file, or the folder of TensorBoard's files.
        path: PathBuf,
        /// The underlying I/O error.
        error: io::Error,
    },
    /// The training was asked to stop. Its state was saved, if it has a [checkpoint](super::Trainer::with_checkpoint).
    #[error("stopped after step {steps}")]
    Stopped {
        /// The number of steps so far.
        steps: u64,
    },
}

crate::error::debug_as_message!(TrainError<Err>);
