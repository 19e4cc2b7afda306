//! The best models of a training.

use std::cmp::Ordering;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checkpoint::CheckpointError;
use crate::checkpoint::write::{remove_old, write_whole};

/// Keeps the models with the lowest scores in a folder, and counts the evaluations since the best one, for early stopping.
///
/// A score is any number where lower is better, such as the loss on a validation set; offer the negative of an accuracy. A
/// score that is NaN counts as the highest.
///
/// The folder holds a file `step-{step}-score-{score}.safetensors` for each model, and the file `evaluations`. They are read
/// again by [`new`](Self::new), so nothing is lost in a restart.
///
/// ```
/// use perceiver::prelude::*;
/// use perceiver::train::BestModels;
///
/// perceiver! {
///     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8,
///         latent_dim: 32, latent_heads: 2, num_classes: 10 }
/// }
///
/// # let temporary = tempfile::tempdir()?;
/// # let folder = temporary.path();
/// let mut model = Cpu::default().build_module::<Digits, f32>();
/// let mut best = BestModels::new(folder.join("best"), 2)?;
/// for (epoch, loss) in [0.9, 0.5, 0.4, 0.6, 0.7].into_iter().enumerate() {
///     // .. a training epoch, and an evaluation ..
///     best.offer(epoch as u64, loss, |path| model.save_checkpoint(path))?;
///     if best.evaluations_since() == 2 {
///         break; // nothing better came of the last two
///     }
/// }
/// let paths: Vec<_> = best.paths().collect();
/// assert_eq!(paths.len(), 2);
/// model.load_checkpoint(paths[0])?; // that with a loss of 0.4
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BestModels {
    folder: PathBuf,
    count: usize,
    /// From the lowest score on.
    kept: Vec<Kept>,
    evaluations: Evaluations,
}

/// How many evaluations there were since the best.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Evaluations {
    /// The step of the last.
    step: Option<u64>,
    /// Those since the best, without the last, and with it.
    before: u64,
    since: u64,
}

impl Evaluations {
    /// Adds one, in place of the last if that was of the same step.
    fn add(&mut self, step: u64, is_best: bool) {
        let before = if self.step == Some(step) { self.before } else { self.since };
        let since = if is_best { 0 } else { before + 1 };
        *self = Self { step: Some(step), before, since };
    }
}

/// The file of [`Evaluations`].
const EVALUATIONS: &str = "evaluations";

#[derive(Clone, Debug)]
struct Kept {
    score: f64,
    step: u64,
    path: PathBuf,
}

impl BestModels {
    /// Opens a folder in which up to `count` models are kept; a `count` of 0 is taken as 1.
    ///
    /// The folder is created if it does not exist. Models from an earlier run are taken over; if there are more than
    /// `count`, the files of the worst are removed.
    ///
    /// # Errors
    /// [`CheckpointError::Write`] if the folder cannot be created or listed, or a file cannot be removed;
    /// [`CheckpointError::Read`] or [`CheckpointError::State`] if the file `evaluations` is there, but cannot be read.
    pub fn new(folder: impl Into<PathBuf>, count: usize) -> Result<Self, CheckpointError> {
        let folder = folder.into();
        let failed = |error| CheckpointError::Write { path: folder.clone(), error };
        fs::create_dir_all(&folder).map_err(failed)?;
        // What a training that was killed has left of a model.
        remove_old(&folder, ".step-");
        let mut kept = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            kept.extend(Kept::of(entry.map_err(failed)?.path()));
        }
        let path = folder.join(EVALUATIONS);
        let evaluations = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .map_err(|error| CheckpointError::State { path: path.clone(), error })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Evaluations::default(),
            Err(error) => return Err(CheckpointError::Read { path, error }),
        };
        let mut best = Self { folder, count: count.max(1), kept, evaluations };
        best.sort()?;
        Ok(best)
    }

    /// Calls `save` with a path if `score` is among the lowest, removes the file of the model that it displaces, and returns
    /// whether the score is the lowest so far.
    ///
    /// `save` writes the model to the path: with `save_checkpoint` for a declared model, or with
    /// [`save_module`](crate::checkpoint::save_module) for a module of your own. To keep the moving average of the
    /// parameters, save what [`Trainer::averaged`](super::Trainer::averaged) returns.
    ///
    /// `step` identifies the evaluation, such as the number of the step or epoch after which it was made. An evaluation that
    /// is repeated after a restart is counted once; with the same score, its file is overwritten.
    ///
    /// A score that is NaN counts as the highest: it displaces no model.
    ///
    /// # Errors
    /// Any error of `save`, or [`CheckpointError::Write`] if the displaced file cannot be removed or the file `evaluations`
    /// cannot be written.
    pub fn offer(
        &mut self,
        step: u64,
        score: f64,
        save: impl FnOnce(&Path) -> Result<(), CheckpointError>,
    ) -> Result<bool, CheckpointError> {
        let others = || self.kept.iter().filter(|kept| kept.step != step);
        let is_best =
            !score.is_nan() && others().next().is_none_or(|best| is_lower(score, best.score));
        let is_kept = others().count() < self.count
            || others().next_back().is_some_and(|worst| is_lower(score, worst.score));
        if is_kept {
            let path = self.folder.join(name(step, score));
            save(&path)?;
            let same = |kept: &mut Kept| kept.step == step;
            for Kept { path: old, .. } in self.kept.extract_if(.., same).collect::<Vec<_>>() {
                if old != path {
                    let failed = |error| CheckpointError::Write { path: old.clone(), error };
                    fs::remove_file(&old).map_err(failed)?;
                }
            }
            self.kept.push(Kept { score, step, path });
            self.sort()?;
        }
        let mut evaluations = self.evaluations;
        evaluations.add(step, is_best);
        let path = self.folder.join(EVALUATIONS);
        serde_json::to_vec(&evaluations)
            .map_err(io::Error::from)
            .and_then(|json| write_whole(&path, &[&json]))
            .map_err(|error| CheckpointError::Write { path, error })?;
        self.evaluations = evaluations;
        Ok(is_best)
    }

    /// Puts the lowest scores first, and removes the others.
    fn sort(&mut self) -> Result<(), CheckpointError> {
        let order = |kept: &Kept| (kept.score.is_nan(), kept.score, kept.step);
        self.kept.sort_by(|a, b| order(a).partial_cmp(&order(b)).unwrap_or(Ordering::Equal));
        while self.kept.len() > self.count {
            if let Some(Kept { path, .. }) = self.kept.pop() {
                fs::remove_file(&path).map_err(|error| CheckpointError::Write { path, error })?;
            }
        }
        Ok(())
    }

    /// Returns the paths of the models, lowest score first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.kept.iter().map(|kept| &*kept.path)
    }

    /// Returns the lowest score, or `None` if no model is kept yet.
    #[must_use]
    pub fn score(&self) -> Option<f64> {
        self.kept.first().map(|best| best.score)
    }

    /// Returns the number of evaluations since the one with the lowest score, for early stopping: 0 if the last was the
    /// best.
    #[must_use]
    pub fn evaluations_since(&self) -> u64 {
        self.evaluations.since
    }
}

fn is_lower(score: f64, than: f64) -> bool {
    score < than || (than.is_nan() && !score.is_nan())
}

impl Kept {
    /// What is kept in a file, if its name says so.
    fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (step, score) =
            name.strip_prefix("step-")?.strip_suffix(".safetensors")?.split_once("-score-")?;
        let (step, score) = (step.parse().ok()?, score.parse().ok()?);
        Some(Self { score, step, path })
    }
}

fn name(step: u64, score: f64) -> String {
    format!("step-{step}-score-{score}.safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path) -> Result<(), CheckpointError> {
        fs::write(path, "model")
            .map_err(|error| CheckpointError::Write { path: path.into(), error })
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut files: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        files
    }

    #[test]
    fn the_lowest_scores_are_kept_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("notes.txt");
        fs::write(&other, "of the user").unwrap();
        let mut best = BestModels::new(folder.path(), 2).unwrap();
        let scores = [0.7, f64::NAN, 0.25, 0.5, -1e-9];
        let is_best: Vec<bool> =
            (0..5).map(|i| best.offer(i as u64, scores[i], write).unwrap()).collect();
        assert_eq!(is_best, [true, false, true, false, true]);
        let expected = [
            "evaluations",
            "notes.txt",
            "step-2-score-0.25.safetensors",
            "step-4-score--0.000000001.safetensors",
        ];
        assert_eq!(files(folder.path()), expected);

        let mut again = BestModels::new(folder.path(), 2).unwrap();
        assert_eq!(again.score(), Some(-1e-9));
        assert!(again.paths().eq(best.paths()));
        assert!(!again.offer(5, 0.3, write).unwrap());
        assert!(!again.offer(6, 0.1, write).unwrap());
        assert_eq!(again.evaluations_since(), 2);
        // A training that goes on from before the last evaluation does it again.
        let mut again = BestModels::new(folder.path(), 2).unwrap();
        assert_eq!(again.evaluations_since(), 2);
        assert!(!again.offer(6, 0.1, write).unwrap());
        assert_eq!(again.evaluations_since(), 2);
        assert!(!again.offer(7, 0.1, write).unwrap());
        assert_eq!(again.evaluations_since(), 3);
        assert_eq!(again.paths().count(), 2);
        assert!(again.paths().any(|path| path.ends_with("step-6-score-0.1.safetensors")));
        // Another score of the same step replaces the file of the one before.
        assert!(again.offer(6, -0.2, write).unwrap());
        assert_eq!(
            files(folder.path())[1..],
            ["notes.txt", "step-4-score--0.000000001.safetensors", "step-6-score--0.2.safetensors"]
        );
        // Fewer than there are.
        assert_eq!(BestModels::new(folder.path(), 1).unwrap().paths().count(), 1);
    }

    #[test]
    fn a_score_that_is_no_number_is_not_the_best() {
        let folder = tempfile::tempdir().unwrap();
        let mut best = BestModels::new(folder.path(), 1).unwrap();
        assert!(!best.offer(0, f64::NAN, write).unwrap());
        assert!(best.offer(1, 5.0, write).unwrap());
        assert_eq!(files(folder.path()), ["evaluations", "step-1-score-5.safetensors"]);
    }

    #[test]
    fn a_model_that_cannot_be_saved_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut best = BestModels::new(folder.path(), 1).unwrap();
        best.offer(0, 1.0, write).unwrap();
        let fails = |path: &Path| {
            Err(CheckpointError::Write { path: path.into(), error: std::io::Error::other("full") })
        };
        assert!(best.offer(1, 0.5, fails).is_err());
        assert_eq!(files(folder.path()), ["evaluations", "step-0-score-1.safetensors"]);
        assert_eq!(best.evaluations_since(), 0);
    }
}
