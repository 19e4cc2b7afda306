//! What a trainer reports and logs.

use std::fmt::{Debug, Display};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::TrainError;
use super::tensorboard::EventFile;
use crate::checkpoint::write::write_whole;

/// What a [`Trainer`](super::Trainer) reports of each step, to the function given to [`on_step`](super::Trainer::on_step).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The number of the epoch, from 0.
    pub epoch: u64,
    /// The number of the step, from 1.
    pub step: u64,
    /// The loss before the step; the mean over its batches if there are [several](super::Trainer::with_accumulation).
    pub loss: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// The norm of all gradients taken as one vector, before they were clipped.
    pub gradient_norm: f64,
}

/// Where steps are logged.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) csv: Option<PathBuf>,
    pub(super) tensorboard: Option<PathBuf>,
    /// The file in that folder, from the first step on.
    events: Option<EventFile>,
}

impl Logs {
    /// Adds a step.
    pub(super) fn add<Err: Debug + Display>(
        &mut self,
        report: &StepReport,
    ) -> Result<(), TrainError<Err>> {
        if let Some(path) = &self.csv {
            append(path, report).map_err(|error| TrainError::Log { path: path.clone(), error })?;
        }
        if let Some(folder) = &self.tensorboard {
            log_event(folder, &mut self.events, report)
                .map_err(|error| TrainError::Log { path: folder.clone(), error })?;
        }
        Ok(())
    }

    /// Removes what was logged after a step; TensorBoard does so itself.
    pub(super) fn cut<Err: Debug + Display>(&self, steps: u64) -> Result<(), TrainError<Err>> {
        match &self.csv {
            None => Ok(()),
            Some(path) => {
                cut(path, steps).map_err(|error| TrainError::Log { path: path.clone(), error })
            }
        }
    }
}

const COLUMNS: &str = "step,epoch,loss,learning_rate,gradient_norm\n";

/// Appends a line to a file.
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

/// Removes the lines after a step from a file, if there is one.
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
    // At once, so that a training that is killed now has not lost its log.
    if kept == log { Ok(()) } else { write_whole(path, &[kept.as_bytes()]) }
}
