//! The loop of a training.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::fs::{self, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dfdx::nn::ZeroGrads;
use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::prelude::*;
use serde::{Deserialize, Serialize};

use super::ranks::Ranks;
use super::tensorboard::EventFile;
use super::{AdamW, Schedule, StepError, load_training, save_training, with_dropout_seed};
use crate::checkpoint::{CheckpointDtype, CheckpointError};
use crate::ops::AdamKernel;

/// An error from a training. What was saved before stays.
#[derive(Debug, thiserror::Error)]
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
    Distributed(#[from] super::distributed::DistributedError),
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

/// A step of a training that was just made.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The number of steps so far.
    pub step: u64,
    /// The loss, the mean over the batches of the step.
    pub loss: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The norm of all gradients, before any were limited.
    pub gradient_norm: f64,
}

/// A loop over batches that saves its state and goes on from it.
///
/// ```
/// use perceiver::prelude::*;
/// use perceiver::train::{AdamW, Batches, Decay, Schedule, Trainer, cross_entropy};
///
/// perceiver! {
///     struct Sides { input_shape: [4, 1], num_freq_bands: 2, max_freq: 4.0, depth: 1, num_latents: 4, latent_dim: 16,
///         latent_heads: 2, num_classes: 2 }
/// }
///
/// # let temporary = tempfile::tempdir()?;
/// # let folder = temporary.path();
/// let dev = Cpu::seed_from_u64(1);
/// let mut model = dev.build_module::<Sides, f32>();
/// let batches = Batches::new(64, 8, 1);
/// let epochs = 5;
/// let steps = epochs * batches.per_epoch() as u64;
///
/// let mut trainer = Trainer::new(AdamW::new(&model, Default::default())?, 5e-3)
///     .with_schedule(Schedule { warm_up: 4, decay: Decay::Cosine { steps } })
///     .with_checkpoint(folder.join("sides.training"), 10)
///     .with_log(folder.join("sides.csv"));
/// // Goes on where a run before was stopped or killed.
/// trainer.resume(&mut model)?;
/// while trainer.epoch() < epochs {
///     let loss = trainer.train_epoch(&mut model, batches.epoch(trainer.epoch()), |model, batch, gradients| {
///         // Which half of a row is larger?
///         let numbers = batch.iter().flat_map(|i| [0, 1, 2, 3].map(|j| ((i * 31 + j * 17) % 29) as f32 / 29.0));
///         let rows: Vec<f32> = numbers.collect();
///         let sides = rows.chunks(4).map(|row| usize::from(row[0] + row[1] < row[2] + row[3]));
///         let targets = dev.tensor_from_vec(sides.collect(), (batch.len(),));
///         let rows: Tensor<(usize, Const<4>, Const<1>), f32, _> =
///             dev.tensor_from_vec(rows, (batch.len(), Const, Const));
///         let logits = model.try_forward_mut(rows.traced(gradients))?;
///         Ok(cross_entropy(logits, &targets)?)
///     })?;
///     println!("epoch {}: {loss:.3}", trainer.epoch());
/// }
/// assert_eq!(trainer.optimizer.steps(), steps);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// To stop at ctrl-C, with the state saved, pass [`stop_flag`](Self::stop_flag) to a handler such as that of the crate `ctrlc`:
/// `ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))`.
///
/// A run that is resumed has the losses of one that was not stopped, to the last bit, if its batches are the same. What is dropped
/// out follows from the number of the step.
pub struct Trainer<E: Dtype, D: AdamKernel<E>> {
    /// The optimizer. Its learning rate is set before each step.
    pub optimizer: AdamW<E, D>,
    learning_rate: f64,
    schedule: Schedule,
    accumulated: usize,
    seed: u64,
    checkpoint: Option<(PathBuf, u64)>,
    log: Option<PathBuf>,
    tensorboard: Option<(PathBuf, Option<EventFile>)>,
    on_step: Option<Box<dyn FnMut(&StepReport)>>,
    stop: Arc<AtomicBool>,
    progress: Progress,
    ranks: Ranks,
    /// Whether all ranks have the state of the first.
    started: bool,
}

/// What is saved besides the model and the optimizer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) epoch: u64,
    /// The batches of the epoch that are done.
    pub(super) batches: usize,
    /// The sum of their losses.
    pub(super) loss: f64,
}

impl<E: CheckpointDtype, D: AdamKernel<E>> Trainer<E, D> {
    /// Creates a trainer. `learning_rate`, times the factor of a schedule, overrides that of the optimizer's settings.
    #[must_use]
    pub fn new(optimizer: AdamW<E, D>, learning_rate: f64) -> Self {
        Self {
            optimizer,
            learning_rate,
            schedule: Schedule::default(),
            accumulated: 1,
            seed: 0,
            checkpoint: None,
            log: None,
            tensorboard: None,
            on_step: None,
            stop: Arc::default(),
            progress: Progress::default(),
            ranks: Ranks::default(),
            started: false,
        }
    }

    /// Trains together with other processes: all begin with the state of the first, and average their gradients. Only the
    /// first saves and logs.
    #[cfg(feature = "mpi")]
    #[must_use]
    pub fn with_world(mut self, world: &super::distributed::World) -> Self {
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
    /// [`load_training`] reads.
    #[must_use]
    pub fn with_checkpoint(mut self, path: impl Into<PathBuf>, every: u64) -> Self {
        self.checkpoint = Some((path.into(), every.max(1)));
        self
    }

    /// Appends each step to a file of comma-separated values, with a line of their names at its start. The first step begins the
    /// file anew.
    #[must_use]
    pub fn with_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Writes the loss, the learning rate and the norm of the gradients of each step to a folder, for
    /// `tensorboard --logdir`, which may show several runs in folders next to each other. A training that goes on begins
    /// another file there.
    #[must_use]
    pub fn with_tensorboard(mut self, folder: impl Into<PathBuf>) -> Self {
        self.tensorboard = Some((folder.into(), None));
        self
    }

    /// Calls a function after each step: for a progress bar, or a log of your own.
    #[must_use]
    pub fn on_step(mut self, report: impl FnMut(&StepReport) + 'static) -> Self {
        self.on_step = Some(Box::new(report));
        self
    }

    /// The epoch that is not done yet, from 0.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.progress.epoch
    }

    /// A flag that stops the training after the current step if it is set, from any thread.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Loads the state from the file of [`with_checkpoint`](Self::with_checkpoint), if there is one, and takes the lines after it
    /// out of the log. Returns whether there was one.
    ///
    /// # Errors
    /// If the file is not one of this training; nothing is changed then.
    pub fn resume<M>(&mut self, model: &mut M) -> Result<bool, TrainError<D::Err>>
    where
        M: TensorCollection<E, D>,
    {
        if self.ranks.rank() == 0 {
            self.load(model)?;
        }
        self.start(model)?;
        Ok(self.optimizer.steps() > 0)
    }

    fn start<M: TensorCollection<E, D>>(
        &mut self,
        model: &mut M,
    ) -> Result<(), TrainError<D::Err>> {
        self.started = true;
        self.ranks.start(model, &mut self.optimizer, &mut self.progress)
    }

    fn load<M: TensorCollection<E, D>>(&mut self, model: &mut M) -> Result<(), TrainError<D::Err>> {
        let Some((path, _)) = &self.checkpoint else { return Ok(()) };
        if !path.exists() {
            return Ok(());
        }
        self.progress = load_training(path, model, &mut self.optimizer)?;
        if let Some(log) = &self.log {
            cut(log, self.optimizer.steps())
                .map_err(|error| TrainError::Log { path: log.clone(), error })?;
        }
        Ok(())
    }

    /// Trains on the current epoch and returns its mean loss. Pass all of its batches: those done before a resume are skipped.
    /// `loss` gets the model, a batch, and the gradients to trace its input with.
    ///
    /// # Errors
    /// If there are no batches, `loss` or the device fails, a gradient is not finite, a file cannot be written, or a stop was
    /// requested.
    pub fn train_epoch<M, B>(
        &mut self,
        model: &mut M,
        batches: impl IntoIterator<Item = B>,
        mut loss: impl FnMut(
            &mut M,
            B,
            Gradients<E, D>,
        )
            -> Result<Tensor<(), E, D, OwnedTape<E, D>>, Box<dyn Error + Send + Sync>>,
    ) -> Result<f64, TrainError<D::Err>>
    where
        M: TensorCollection<E, D> + ZeroGrads<E, D>,
    {
        if !self.started {
            self.start(model)?;
        }
        let mut batches = batches.into_iter().skip(self.progress.batches).peekable();
        let mut gradients = model.try_alloc_grads().map_err(TrainError::Device)?;
        while batches.peek().is_some() {
            let part: Vec<B> = batches.by_ref().take(self.accumulated).collect();
            let count = part.len();
            let mut sum = 0.0;
            for (i, batch) in part.into_iter().enumerate() {
                let step = self.optimizer.steps() + 1;
                let seed = self.dropout_seed(i);
                let loss = with_dropout_seed(seed, || loss(model, batch, gradients))
                    .map_err(|error| TrainError::Loss { step, error })?;
                sum += loss.as_vec().iter().filter_map(|loss| loss.to_f64()).sum::<f64>();
                let share = E::from_f64(1.0 / count as f64).unwrap_or(E::ONE);
                let loss = if count == 1 { Ok(loss) } else { loss.try_mul(share) };
                gradients =
                    loss.and_then(|loss| loss.try_backward()).map_err(TrainError::Device)?;
            }
            self.ranks.average(model, &mut gradients)?;
            gradients = self.step(model, gradients, sum, count)?;
            let mut stop = [f64::from(u8::from(self.stop.load(Ordering::Relaxed)))];
            self.ranks.mean(&mut stop);
            if stop != [0.0] {
                self.save(model)?;
                return Err(TrainError::Stopped { steps: self.optimizer.steps() });
            }
        }
        let Progress { epoch, batches, loss } = self.progress;
        if batches == 0 {
            return Err(TrainError::NoBatches { epoch });
        }
        self.progress = Progress { epoch: epoch + 1, batches: 0, loss: 0.0 };
        self.save(model)?;
        Ok(loss / batches as f64)
    }

    /// The seed for one of the batches of the next step.
    fn dropout_seed(&self, batch: usize) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.optimizer.steps(), batch, self.ranks.rank()).hash(&mut hasher);
        hasher.finish()
    }

    /// Makes a step from the gradients of some batches.
    fn step<M: TensorCollection<E, D>>(
        &mut self,
        model: &mut M,
        gradients: Gradients<E, D>,
        loss: f64,
        batches: usize,
    ) -> Result<Gradients<E, D>, TrainError<D::Err>> {
        let mut means = [loss];
        self.ranks.mean(&mut means);
        let [loss] = means;
        let learning_rate = self.learning_rate * self.schedule.factor(self.optimizer.steps());
        self.optimizer.config.learning_rate = learning_rate;
        let gradients = self.optimizer.step(model, gradients)?;
        self.progress.batches += batches;
        self.progress.loss += loss;
        let report = StepReport {
            epoch: self.progress.epoch,
            step: self.optimizer.steps(),
            loss: loss / batches as f64,
            learning_rate,
            gradient_norm: self.optimizer.gradient_norm(),
        };
        if let Some(on_step) = &mut self.on_step {
            on_step(&report);
        }
        if let Some(path) = &self.log
            && self.ranks.rank() == 0
        {
            append(path, &report).map_err(|error| TrainError::Log { path: path.clone(), error })?;
        }
        if let Some((folder, events)) = &mut self.tensorboard
            && self.ranks.rank() == 0
        {
            log_event(folder, events, &report)
                .map_err(|error| TrainError::Log { path: folder.clone(), error })?;
        }
        if let Some((_, every)) = &self.checkpoint
            && report.step.is_multiple_of(*every)
        {
            self.save(model)?;
        }
        Ok(gradients)
    }

    fn save<M: TensorCollection<E, D>>(&self, model: &M) -> Result<(), CheckpointError> {
        match &self.checkpoint {
            Some((path, _)) if self.ranks.rank() == 0 => {
                save_training(path, model, &self.optimizer, &self.progress)
            }
            _ => Ok(()),
        }
    }
}

impl<E: Dtype, D: AdamKernel<E>> Debug for Trainer<E, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("optimizer", &self.optimizer)
            .field("learning_rate", &self.learning_rate)
            .field("schedule", &self.schedule)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "step,epoch,loss,learning_rate,gradient_norm\n";

/// Appends a line to a log.
fn append(path: &Path, report: &StepReport) -> io::Result<()> {
    let StepReport { epoch, step, loss, learning_rate, gradient_norm } = report;
    // The log of another run does not go on.
    if *step == 1 {
        fs::write(path, COLUMNS)?;
    }
    let mut line = String::new();
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    if file.metadata()?.len() == 0 {
        line += COLUMNS;
    }
    line += &format!("{step},{epoch},{loss},{learning_rate},{gradient_norm}\n");
    file.write_all(line.as_bytes())
}

/// Adds a step to a file for TensorBoard, which the first step creates.
fn log_event(folder: &Path, events: &mut Option<EventFile>, report: &StepReport) -> io::Result<()> {
    let StepReport { step, loss, learning_rate, gradient_norm, .. } = *report;
    let events = match events {
        Some(events) => events,
        None => events.insert(EventFile::create(folder, step)?),
    };
    let numbers =
        [("loss", loss), ("learning_rate", learning_rate), ("gradient_norm", gradient_norm)];
    events.add(step, &numbers)
}

/// Removes the lines after a step from a log, if there is one.
fn cut(path: &Path, steps: u64) -> io::Result<()> {
    let log = match fs::read_to_string(path) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_kept = |line: &&str| match line.split(',').next().map(str::parse::<u64>) {
        Some(Ok(step)) => step <= steps && line.ends_with('\n'),
        _ => *line == COLUMNS,
    };
    let kept: String = log.split_inclusive('\n').filter(is_kept).collect();
    if kept == log { Ok(()) } else { fs::write(path, kept) }
}
