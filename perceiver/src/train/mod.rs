//! Training: losses, optimizers, and what surrounds them.

mod loss;
mod optimizer;
mod schedule;
mod state;

pub use loss::{CrossEntropy, LossError, Targets, accuracy, cross_entropy};
pub use optimizer::{AdamW, AdamWConfig, StepError};
pub use schedule::{Decay, Schedule};
pub use state::{load_training, save_training};
