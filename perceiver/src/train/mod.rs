//! Training: losses, an optimizer, learning rate schedules, batches, and a training loop that can be interrupted and
//! resumed.
//!
//! [`Trainer`] is the training loop, and its documentation has a complete example. It is built from parts that can also be
//! used on their own, with any dfdx module:
//!
//! - [`cross_entropy`] is the loss of a classifier, and [`accuracy`] the share of correct predictions. [`CrossEntropy`] adds
//!   label smoothing and skips padding. For other losses, such as `mse_loss`, use those of dfdx.
//! - [`Evaluation`] is the loss and the accuracy over several batches.
//! - [`AdamW`] is the optimizer, AdamW or LAMB. It clips gradients, can scale the learning rate per parameter, refuses
//!   gradients that are not finite, and keeps a moving average of the parameters ([`AdamW::with_ema`]).
//! - [`Schedule`] changes the learning rate over the steps of a training.
//! - [`Batches`] shuffles examples and splits them into batches; [`made_ahead`] prepares these on other threads.
//! - [`save_training`] and [`load_training`] save and load a model together with the state of its optimizer.
//! - [`BestModels`] keeps the best models on disk and tells when to stop early.
//! - [`with_dropout_seed`] makes dropout reproducible.
//! - `distributed` (feature `mpi`) trains in several processes, on one machine or many.
//!
//! The [guide](crate::guide#training) trains a model from start to end.

mod batches;
mod best;
#[cfg(feature = "mpi")]
pub mod distributed;
mod evaluate;
mod loss;
mod optimizer;
mod schedule;
mod state;
mod trainer;

#[doc(inline)]
pub use crate::ops::with_dropout_seed;
pub use batches::{Batches, made_ahead};
pub use best::BestModels;
pub use evaluate::Evaluation;
pub use loss::{CrossEntropy, LossError, Targets, accuracy, cross_entropy};
pub use optimizer::{AdamW, AdamWConfig, StepError};
pub use schedule::{Decay, Schedule};
pub(crate) use state::MOMENTS;
pub use state::{load_training, save_training};
pub use trainer::{StepReport, TrainError, Trainer};
