//! Training: losses, an optimizer, schedules, batches, and a loop that can be interrupted.
//!
//! Each of them can be used alone, with dfdx's own types and any dfdx module:
//!
//! - [`cross_entropy`] and [`accuracy`] compare logits with class indices; [`CrossEntropy`] has label smoothing and ignores
//!   padding. dfdx has other losses, such as `mse_loss`.
//! - [`Evaluation`] is the loss and the accuracy over several batches.
//! - [`AdamW`] is AdamW or LAMB. It limits gradients, has a factor for the learning rate of each parameter, and does not step if
//!   a gradient is not finite. [`AdamW::with_ema`] keeps a moving average of the parameters.
//! - [`Schedule`] is how the learning rate changes.
//! - [`Batches`] shuffles examples, and [`made_ahead`] prepares batches on other threads.
//! - [`save_training`] and [`load_training`] save and load a model with the state of its optimizer.
//! - [`BestModels`] keeps the best models, and tells when to stop early.
//! - [`with_dropout_seed`] makes dropout reproducible.
//! - [`Trainer`] puts them together. With the feature `terminal`, it can show a progress bar and stop at ctrl-C.
//! - `distributed` (feature `mpi`) trains in several processes, on one machine or many.

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
