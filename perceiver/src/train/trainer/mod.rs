//! The training loop.

mod error;
mod log;
mod options;
mod ranks;
mod tensorboard;
mod terminal;

use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dfdx::nn::ZeroGrads;
use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::error::TrainError;
pub use self::log::StepReport;

use self::log::Logs;
use self::ranks::Ranks;
use self::terminal::EpochBar;
use super::{AdamW, Schedule, load_training, save_training, with_dropout_seed};
use crate::checkpoint::{CheckpointDtype, CheckpointError};
use crate::ops::AdamKernel;

/// A training loop that saves its state and can be resumed.
///
/// It computes gradients, makes steps of [`AdamW`], sets the learning rate, saves the state of the training and logs. You
/// write the loop over epochs, and a closure that computes the loss of a batch:
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
/// // Continues where an earlier run was stopped or killed.
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
/// A training that is resumed has the same losses as one that was never interrupted, to the last bit, if its batches are the
/// same, as those of [`Batches`](super::Batches) are. What dropout drops depends on the number of the step, and on the seed
/// of [`with_seed`](Self::with_seed).
///
/// With the feature `terminal`, `with_progress` shows a progress bar, and `stop_on_ctrl_c` saves the state before the
/// program ends. [`BestModels`](super::BestModels) keeps the best models and tells when to stop early.
pub struct Trainer<E: Dtype, D: AdamKernel<E>> {
    /// The optimizer. [`AdamW::steps`] is the number of steps so far. Its learning rate is overwritten before each step.
    pub optimizer: AdamW<E, D>,
    learning_rate: f64,
    schedule: Schedule,
    accumulated: usize,
    seed: u64,
    checkpoint: Option<(PathBuf, u64)>,
    logs: Logs,
    bar: EpochBar,
    on_step: Option<Box<dyn FnMut(&StepReport)>>,
    stop: Arc<AtomicBool>,
    progress: Progress,
    /// Whether no step was made since the last save.
    is_saved: bool,
    ranks: Ranks,
    /// Whether all ranks have the state of the first.
    started: bool,
}

/// What is saved besides the model and the optimizer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Progress {
    epoch: u64,
    /// The batches of the epoch that are done.
    batches: usize,
    /// The sum of their losses.
    loss: f64,
}

impl<E: CheckpointDtype, D: AdamKernel<E>> Trainer<E, D> {
    /// Creates a trainer from an optimizer of the model that is to be trained.
    ///
    /// `learning_rate`, times the factor of the [schedule](Self::with_schedule), replaces that of the optimizer's settings.
    #[must_use]
    pub fn new(optimizer: AdamW<E, D>, learning_rate: f64) -> Self {
        Self {
            optimizer,
            learning_rate,
            schedule: Schedule::default(),
            accumulated: 1,
            seed: 0,
            checkpoint: None,
            logs: Logs::default(),
            bar: EpochBar::default(),
            on_step: None,
            stop: Arc::default(),
            progress: Progress::default(),
            is_saved: false,
            ranks: Ranks::default(),
            started: false,
        }
    }

    /// Returns the number of the current epoch, from 0, which is also the number of epochs that are done.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.progress.epoch
    }

    /// Returns a clone of the model in which the trainable parameters are replaced by their moving averages: evaluate this
    /// clone, and save it, such as with [`BestModels`](super::BestModels). Without [`with_ema`](Self::with_ema), or before
    /// the first step, it is a plain clone.
    ///
    /// # Errors
    /// [`StepError::OtherModel`](super::StepError::OtherModel), in [`TrainError::Step`], if the model is not the one that is
    /// trained.
    pub fn averaged<M>(&self, model: &M) -> Result<M, TrainError<D::Err>>
    where
        M: TensorCollection<E, D> + Clone,
    {
        Ok(self.optimizer.averaged(model)?)
    }

    /// Returns a flag that stops the training after the current step when any thread sets it to `true`.
    ///
    /// [`train_epoch`](Self::train_epoch) then saves the state and returns [`TrainError::Stopped`].
    #[must_use]
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Loads the state of an earlier run from the file of [`with_checkpoint`](Self::with_checkpoint), if it exists, and
    /// returns whether there was one.
    ///
    /// Lines that the earlier run logged after that state are removed from the log.
    ///
    /// If the earlier run ended after an epoch, but before the first checkpoint of the next, it is resumed at the end of
    /// that epoch: [`train_epoch`](Self::train_epoch) returns the epoch's loss without making a step, and what your program
    /// does after it, such as an evaluation, is done again.
    ///
    /// # Errors
    /// - [`TrainError::Checkpoint`] if the file exists but cannot be read, or is not of a training of this model, as
    ///   [`load_training`] says: the model and the optimizer are then unchanged. Also if the folder of the file cannot be
    ///   created.
    /// - [`TrainError::Log`] if the log cannot be shortened.
    /// - With several processes, `TrainError::Distributed` if their models differ.
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
        // Now, and not when there is something to save.
        if self.ranks.rank() == 0 {
            let paths = self.checkpoint.iter().map(|(path, _)| path).chain(&self.logs.csv);
            for (path, folder) in paths.filter_map(|path| Some((path, path.parent()?))) {
                fs::create_dir_all(folder)
                    .map_err(|error| CheckpointError::Write { path: path.clone(), error })?;
            }
        }
        self.started = true;
        self.ranks.start(model, &mut self.optimizer, &mut self.progress)
    }

    /// Checks that no other training's state would be lost.
    fn refuse_to_replace(&self) -> Result<(), TrainError<D::Err>> {
        match &self.checkpoint {
            Some((path, _)) if self.ranks.rank() == 0 && path.exists() => {
                Err(TrainError::NotResumed { path: path.clone() })
            }
            _ => Ok(()),
        }
    }

    fn load<M: TensorCollection<E, D>>(&mut self, model: &mut M) -> Result<(), TrainError<D::Err>> {
        let Some((path, _)) = &self.checkpoint else { return Ok(()) };
        let failed = |error| CheckpointError::Read { path: path.clone(), error };
        if !path.try_exists().map_err(failed)? {
            return Ok(());
        }
        self.progress = load_training(path, model, &mut self.optimizer)?;
        self.is_saved = true;
        self.logs.cut(self.optimizer.steps())
    }

    /// Trains on the batches of the current epoch, and returns the mean of their losses.
    ///
    /// Always pass all batches of the epoch, in the same order: those that were done before a [`resume`](Self::resume) are
    /// skipped.
    ///
    /// `loss` is called with the model, a batch, and gradients. It must trace the input of the model with these gradients,
    /// as in `model.try_forward_mut(input.traced(gradients))`, and return a loss computed from the output, such as
    /// [`cross_entropy`](super::cross_entropy). With gradients from elsewhere, such as `input.leaky_trace()`, the gradients
    /// of [accumulated](Self::with_accumulation) batches would be lost.
    ///
    /// # Errors
    /// - [`TrainError::NotResumed`] if the file of [`with_checkpoint`](Self::with_checkpoint) exists and
    ///   [`resume`](Self::resume) was not called,
    /// - [`TrainError::NoBatches`] if the epoch has no batches, and [`TrainError::OtherBatches`] if it has fewer than were done
    ///   before a resume,
    /// - [`TrainError::Loss`] if `loss` returns an error, and [`TrainError::NotFinite`] if it returns a loss that is infinite or NaN,
    /// - [`TrainError::NoGradients`] if all gradients of the first step of the training are 0,
    /// - [`TrainError::Step`] if the optimizer fails, as [`AdamW::step`] says, such as at a gradient that is not finite,
    /// - [`TrainError::Device`] if the device fails in a backward pass,
    /// - [`TrainError::Checkpoint`] or [`TrainError::Log`] if a file cannot be written,
    /// - [`TrainError::Stopped`] if a stop was requested.
    pub fn train_epoch<M, B>(
        &mut self,
        model: &mut M,
        batches: impl IntoIterator<Item = B>,
        loss: impl FnMut(
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
            self.refuse_to_replace()?;
            self.start(model)?;
        }
        let (done, epoch) = (self.progress.batches, self.progress.epoch);
        let mut batches = batches.into_iter();
        let found = batches.by_ref().take(done).count();
        if found < done {
            return Err(TrainError::OtherBatches { epoch, done, found });
        }
        let (rest, most) = batches.size_hint();
        let len = most.filter(|most| *most == rest).map(|rest| done + rest);
        if self.ranks.rank() == 0 {
            self.bar.begin(epoch, done, len);
        }
        let trained = self.train_on(model, batches, loss);
        self.bar.end();
        trained
    }

    /// Trains on the rest of an epoch.
    fn train_on<M, B>(
        &mut self,
        model: &mut M,
        batches: impl Iterator<Item = B>,
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
        let mut batches = batches.peekable();
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
                let number = loss.as_vec().iter().filter_map(|loss| loss.to_f64()).sum::<f64>();
                if !number.is_finite() {
                    return Err(TrainError::NotFinite { step, loss: number });
                }
                sum += number;
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
        // As it is before the next epoch: what the program does after this one, such as an evaluation, is still to be done.
        self.save(model)?;
        self.progress = Progress { epoch: epoch + 1, batches: 0, loss: 0.0 };
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
        mut gradients: Gradients<E, D>,
        loss: f64,
        batches: usize,
    ) -> Result<Gradients<E, D>, TrainError<D::Err>> {
        let mut means = [loss];
        self.ranks.mean(&mut means);
        let [loss] = means;
        let learning_rate = self.learning_rate * self.schedule.factor(self.optimizer.steps());
        self.optimizer.config.learning_rate = learning_rate;
        let is_first = self.optimizer.steps() == 0;
        if is_first && !self.optimizer.has_gradients(model, &mut gradients)? {
            return Err(TrainError::NoGradients);
        }
        let gradients = self.optimizer.step(model, gradients)?;
        self.is_saved = false;
        self.progress.batches += batches;
        self.progress.loss += loss;
        let report = StepReport {
            epoch: self.progress.epoch,
            step: self.optimizer.steps(),
            loss: loss / batches as f64,
            learning_rate,
            gradient_norm: self.optimizer.gradient_norm(),
        };
        self.bar.show(self.progress.batches, report.loss);
        if let Some(on_step) = &mut self.on_step {
            on_step(&report);
        }
        if self.ranks.rank() == 0 {
            self.logs.add(&report)?;
        }
        if let Some((_, every)) = &self.checkpoint
            && report.step.is_multiple_of(*every)
        {
            self.save(model)?;
        }
        Ok(gradients)
    }

    /// Saves the state, unless it is saved already.
    fn save<M: TensorCollection<E, D>>(&mut self, model: &M) -> Result<(), CheckpointError> {
        if let Some((path, _)) = &self.checkpoint
            && !self.is_saved
            && self.ranks.rank() == 0
        {
            save_training(path, model, &self.optimizer, &self.progress)?;
        }
        self.is_saved = true;
        Ok(())
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
