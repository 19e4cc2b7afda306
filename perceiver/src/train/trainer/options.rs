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
    /// Trains together with the other processes of an MPI program.
    ///
    /// All ranks start from the state of rank 0 and average their gradients before each step. Only rank 0 saves and
    /// logs. [`distributed`](crate::train::distributed) has an example.
    #[cfg(feature = "mpi")]
    #[must_use]
    pub fn with_world(mut self, world: &World) -> Self {
        self.ranks.world = Some(world.clone());
        self
    }

    /// Multiplies the learning rate of each step by the factor of a schedule. By default, the learning rate is constant.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Makes each step from the mean gradient of `batches` batches, 1 by default; 0 is taken as 1.
    ///
    /// Use it to train with batches that do not fit into memory. If an epoch has fewer batches left, its last step is made
    /// from these. Steps are then fewer than batches, which matters for the number of steps of a [`Schedule`].
    #[must_use]
    pub fn with_accumulation(mut self, batches: usize) -> Self {
        self.accumulated = batches.max(1);
        self
    }

    /// Sets the seed for dropout, 0 by default. What is dropped depends only on this seed, the number of the step, the batch
    /// within the step, and the process.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Saves the state of the training to the file `path` after every `every` steps, after each epoch, and when the training
    /// is asked to stop. An `every` of 0 is taken as 1.
    ///
    /// The file is replaced atomically. Its folder is created if it does not exist. Call [`resume`](Self::resume) before the
    /// first epoch to continue from it: without that, an existing file is an error. It is a file of
    /// [`save_training`](crate::train::save_training).
    #[must_use]
    pub fn with_checkpoint(mut self, path: impl Into<PathBuf>, every: u64) -> Self {
        self.checkpoint = Some((path.into(), every.max(1)));
        self
    }

    /// Logs each step as a line of a CSV file with the columns `step`, `epoch`, `loss`, `learning_rate` and `gradient_norm`,
    /// those of [`StepReport`].
    ///
    /// The first step of a training replaces an existing file; a training that is resumed appends to it. Its folder is
    /// created if it does not exist.
    #[must_use]
    pub fn with_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.logs.csv = Some(path.into());
        self
    }

    /// Logs the loss, the learning rate and the norm of the gradients of each step for TensorBoard.
    ///
    /// Files are written to `folder`, which is created if it does not exist, and to which a resumed training adds another
    /// file. To compare runs, give each its own folder, and pass the parent folder to `tensorboard --logdir`.
    #[must_use]
    pub fn with_tensorboard(mut self, folder: impl Into<PathBuf>) -> Self {
        self.logs.tensorboard = Some(folder.into());
        self
    }

    /// Keeps an exponential moving average of the parameters, as [`AdamW::with_ema`](crate::train::AdamW::with_ema) does.
    /// Evaluate and save the model that [`averaged`](Self::averaged) returns.
    #[must_use]
    pub fn with_ema(mut self, decay: f64) -> Self {
        self.optimizer = self.optimizer.with_ema(decay);
        self
    }

    /// Shows a progress bar for each epoch on the standard error stream, if that is a terminal.
    ///
    /// It shows the number of batches done, the time left, and the loss of the last step, and is removed when
    /// [`train_epoch`](Self::train_epoch) returns. Of several processes, only the first shows it. For a progress bar of your
    /// own, use [`on_step`](Self::on_step).
    #[cfg(feature = "terminal")]
    #[must_use]
    pub fn with_progress(mut self) -> Self {
        self.bar.is_on = true;
        self
    }

    /// Stops the training at ctrl-C, or at the signal SIGTERM, which cluster schedulers and `docker stop` send.
    ///
    /// [`train_epoch`](Self::train_epoch) then finishes the current step, saves the state, and returns
    /// [`TrainError::Stopped`](crate::train::TrainError::Stopped). A second ctrl-C ends the program at once, with exit
    /// status 130.
    ///
    /// # Errors
    /// If the system refuses to register the signal handlers.
    #[cfg(feature = "terminal")]
    pub fn stop_on_ctrl_c(self) -> std::io::Result<Self> {
        terminal::set_on_signal(&self.stop)?;
        Ok(self)
    }

    /// Calls `report` after each step, for a progress bar or a log of your own. Replaces the function of an earlier call.
    ///
    /// ```
    /// use perceiver::dfdx::nn::{BuildModule, builders::Linear};
    /// use perceiver::prelude::*;
    /// use perceiver::train::{AdamW, Trainer};
    ///
    /// let model = Cpu::default().build_module::<Linear<3, 2>, f32>();
    /// let trainer = Trainer::new(AdamW::new(&model, Default::default())?, 1e-3)
    ///     .on_step(|report| println!("step {}: loss {:.3}", report.step, report.loss));
    /// # _ = trainer;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_step(mut self, report: impl FnMut(&StepReport) + 'static) -> Self {
        self.on_step = Some(Box::new(report));
        self
    }
}
