//! How a trainer trains, and what it writes and shows.

use std::path::PathBuf;

#[cfg(feature = "terminal")]
use super::terminal;
use super::{StepReport, Trainer};
use crate::checkpoint::CheckpointDtype;
use crate::ops::AdamKernel;
use crate::train::Schedule;
#[cfg(feature = "mpi")]
use crate::train::distributed::World;

impl<E: CheckpointDtype, D: AdamKernel<E>> Trainer<E, D> {
    /// Trains together with other processes: all begin with the state of the first, and average their gradients. Only the
    /// first saves and logs.
    #[cfg(feature = "mpi")]
    #[must_use]
    pub fn with_world(mut self, world: &World) -> Self {
        self.ranks.world = Some(world.clone());
        self
    }

    /// Multiplies the learning rate by the factors of a schedule.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Makes each step from the mean gradient of so many batches, or of what is left of an epoch.
    #[must_use]
    pub fn with_accumulation(mut self, batches: usize) -> Self {
        self.accumulated = batches.max(1);
        self
    }

    /// Sets the seed for dropout, 0 by default.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Saves the state to a file after every so many steps, after each epoch, and before it stops; a file that
    /// [`load_training`](crate::train::load_training) reads. Its folder is created if need be.
    #[must_use]
    pub fn with_checkpoint(mut self, path: impl Into<PathBuf>, every: u64) -> Self {
        self.checkpoint = Some((path.into(), every.max(1)));
        self
    }

    /// Appends each step to a file of comma-separated values, with a line of their names at its start. The first step begins the
    /// file anew. Its folder is created if need be.
    #[must_use]
    pub fn with_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.logs.csv = Some(path.into());
        self
    }

    /// Writes the loss, the learning rate and the norm of the gradients of each step to a folder, for
    /// `tensorboard --logdir`, which may show several runs in folders next to each other. A training that goes on begins
    /// another file there.
    #[must_use]
    pub fn with_tensorboard(mut self, folder: impl Into<PathBuf>) -> Self {
        self.logs.tensorboard = Some(folder.into());
        self
    }

    /// Keeps an exponential moving average of the parameters; same as [`AdamW::with_ema`](crate::train::AdamW::with_ema).
    /// Evaluate and save [`averaged`](Self::averaged) then.
    #[must_use]
    pub fn with_ema(mut self, decay: f64) -> Self {
        self.optimizer = self.optimizer.with_ema(decay);
        self
    }

    /// Shows a progress bar for each epoch on the standard error stream, if that is a terminal: the batches done, the loss of the
    /// last step, and the time left. It is gone when [`train_epoch`](Self::train_epoch) returns; of several processes, only the
    /// first shows it. For another one, see [`on_step`](Self::on_step).
    #[cfg(feature = "terminal")]
    #[must_use]
    pub fn with_progress(mut self) -> Self {
        self.bar.is_on = true;
        self
    }

    /// At ctrl-C, or when asked to end (SIGTERM), as cluster schedulers and `docker stop` do, saves the state after the current
    /// step, and returns [`TrainError::Stopped`](crate::train::TrainError::Stopped). A second ctrl-C ends the program at once,
    /// with exit status 130.
    ///
    /// # Errors
    /// If the system does not allow to handle signals.
    #[cfg(feature = "terminal")]
    pub fn stop_on_ctrl_c(self) -> std::io::Result<Self> {
        terminal::set_on_signal(&self.stop)?;
        Ok(self)
    }

    /// Calls a function after each step: for a progress bar, or a log of your own.
    #[must_use]
    pub fn on_step(mut self, report: impl FnMut(&StepReport) + 'static) -> Self {
        self.on_step = Some(Box::new(report));
        self
    }
}
