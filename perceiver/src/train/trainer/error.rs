//! The errors of a training.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::io;
use std::path::PathBuf;

use crate::checkpoint::CheckpointError;
use crate::train::StepError;
#[cfg(feature = "mpi")]
use crate::train::distributed::DistributedError;

/// An error from a training. What was saved before stays.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TrainError<Err: Debug + Display> {
    /// The function that computes the loss failed.
    #[error("step {step}: {error}")]
    Loss {
        /// The number of the step, from 1.
        step: u64,
        /// Its error.
        error: Box<dyn Error + Send + Sync>,
    },
    /// There is a state of a training where this one would save its own.
    #[error("{} is there already: call `resume` to go on with that training, or remove the file", path.display())]
    NotResumed {
        /// The file.
        path: PathBuf,
    },
    /// All gradients are 0 in the first step, as they are if the loss does not depend on the model.
    #[error(
        "all gradients of the first step are 0: compute the loss from the output of the model that the function is given, for an \
         input with `traced(gradients)`; this loss is that of another model, or does not depend on the output"
    )]
    NoGradients,
    /// More batches of an epoch were done, before a resume, than it has.
    #[error(
        "{done} batches of epoch {epoch} were done before, but it has only {found}: a training is resumed with the same batches; \
         to begin anew, remove its files"
    )]
    OtherBatches {
        /// The epoch, from 0.
        epoch: u64,
        /// The batches that were done.
        done: usize,
        /// The batches that there are.
        found: usize,
    },
    /// A loss is infinite or not a number.
    #[error(
        "the loss of step {step} is {loss}: is there a number that is not finite in the input, or is the learning rate too high?"
    )]
    NotFinite {
        /// The number of the step, from 1.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// An epoch has no batches.
    #[error("epoch {epoch} has no batches: is an iterator used up, or are there no examples?")]
    NoBatches {
        /// The epoch, from 0.
        epoch: u64,
    },
    /// The optimizer failed.
    #[error(transparent)]
    Step(#[from] StepError<Err>),
    /// The backward pass failed.
    #[error("the device failed: {0}")]
    Device(Err),
    /// The state could not be saved or loaded.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The processes do not fit together.
    #[cfg(feature = "mpi")]
    #[error(transparent)]
    Distributed(#[from] DistributedError),
    /// The log could not be written.
    #[error("cannot write {}: {error}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The underlying I/O error.
        error: io::Error,
    },
    /// The training was asked to stop, and its state is saved, if it has a checkpoint.
    #[error("stopped after step {steps}")]
    Stopped {
        /// The number of steps so far.
        steps: u64,
    },
}

crate::error::debug_as_message!(TrainError<Err>);
