//! Trainings that are stopped or killed, and go on as if they had not been.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::process::{Child, Command, Stdio, exit};
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ::safetensors::SafeTensors;
use perceiver::prelude::*;
use perceiver::train::{
    AdamW, AdamWConfig, Batches, BestModels, Decay, Schedule, TrainError, Trainer, cross_entropy,
};

perceiver! {
    /// Drops out a part of everything.
    struct Model {
        input_shape: [6, 2], num_freq_bands: 2, max_freq: 4.0, depth: 1, num_latents: 4, latent_dim: 8, latent_heads: 2,
        latent_dim_head: 4, cross_dim_head: 4, num_classes: 3, attn_dropout: 0.1, ff_dropout: 0.1,
    }
}

/// What ends a training.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// It is done.
    Done,
    /// It is asked to stop in this step.
    Stop(u64),
    /// Its process ends in this step.
    Exit(u64),
    /// Its process ends after this epoch, before its evaluation.
    Unevaluated(u64),
    /// Each step takes so long that others can end it.
    Slow(Duration),
}

const EPOCHS: u64 = 6;
const STEPS: usize = 30;

/// Trains as a user would, and returns the mean losses of the epochs that were done.
fn train(folder: &Path, seed: u64, end: End) -> Result<Vec<f64>, TrainError<CpuError>> {
    let dev = Cpu::seed_from_u64(seed);
    let mut model = dev.build_module::<Model, f32>();
    let batches = Batches::new(20, 4, 3);
    let steps = EPOCHS * batches.per_epoch() as u64;
    let config = AdamWConfig { max_norm: Some(1.0), weight_decay: 0.1, ..Default::default() };
    let mut trainer = Trainer::new(AdamW::new(&model, config).unwrap(), 1e-2)
        .with_schedule(Schedule { warm_up: 3, decay: Decay::Linear { steps } })
        .with_ema(0.8)
        .with_checkpoint(folder.join("state/run.training"), 3)
        .with_log(folder.join("log.csv"))
        .with_progress()
        .stop_on_ctrl_c()
        .unwrap();
    let flag = trainer.stop_flag();
    trainer = trainer.on_step(move |report| match end {
        End::Stop(step) if step == report.step => flag.store(true, Ordering::Relaxed),
        End::Exit(step) if step == report.step => exit(9),
        End::Slow(time) => sleep(time),
        _ => {}
    });
    let batch = |examples: &[usize]| {
        let numbers = examples.iter().flat_map(|i| (0..12).map(move |j| (i * 31 + j * 17) % 29));
        let numbers = numbers.map(|x| x as f32 / 29.0).collect();
        let targets = examples.iter().map(|i| i % 3).collect();
        let shape = (examples.len(), Const::<6>, Const::<2>);
        (dev.tensor_from_vec(numbers, shape), dev.tensor_from_vec(targets, (examples.len(),)))
    };
    // All of them, so that none can be missing unnoticed.
    let mut best = BestModels::new(folder.join("best"), EPOCHS as usize)?;
    trainer.resume(&mut model)?;
    let mut losses = Vec::new();
    while trainer.epoch() < EPOCHS {
        let batches = batches.epoch(trainer.epoch());
        losses.push(trainer.train_epoch(&mut model, batches, |model, examples, gradients| {
            let (x, targets) = batch(&examples);
            Ok(cross_entropy(model.try_forward_mut(x.traced(gradients))?, &targets)?)
        })?);
        if end == End::Unevaluated(trainer.epoch()) {
            exit(9);
        }
        let averaged = trainer.averaged(&model)?;
        let (x, targets) = batch(&[20, 21, 22, 23, 24, 25]);
        let loss = cross_entropy(averaged.forward(x), &targets).unwrap().array();
        best.offer(trainer.epoch(), loss.into(), |path| averaged.save_checkpoint(path))?;
    }
    Ok(losses)
}

/// A file as bytes; one of tensors as its metadata and tensors, which are in no particular order in it.
fn contents(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if path.ends_with("log.csv") || path.ends_with("evaluations") {
        return bytes;
    }
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata: BTreeMap<_, _> = metadata.metadata().iter().flatten().collect();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors: BTreeMap<_, _> = file.iter().collect();
    format!("{metadata:?} {tensors:?}").into()
}

/// All that a training has written: its log, and the files of its state and of its best models, by name.
fn written(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![folder.join("log.csv"), folder.join("state/run.training")];
    let best = fs::read_dir(folder.join("best")).unwrap();
    let best = best.map(|entry| entry.unwrap());
    // What a process that was killed has begun to write stays for ten minutes.
    let best = best.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    files.extend(best.map(|entry| entry.path()));
    files.sort();
    let name = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
    files.iter().map(|path| (name(path), contents(path))).collect()
}

#[track_caller]
fn assert_same(found: &Path, expected: &Path, how: &str) {
    let (found, expected) = (written(found), written(expected));
    let names = |files: &[(String, _)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "{how}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found == expected, "{} differs: {how}", found.0);
    }
}

fn log_lines(folder: &Path) -> usize {
    fs::read_to_string(folder.join("log.csv")).unwrap_or_default().lines().count()
}

/// Trains in a process of its own, by the test below.
fn start(folder: &Path, end: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "in_a_process_of_its_own"])
        .env("END", end)
        .env("FOLDER", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "run by other tests"]
fn in_a_process_of_its_own() {
    let (end, folder) = (std::env::var("END").unwrap(), std::env::var("FOLDER").unwrap());
    let (what, number) = end.split_once(' ').unwrap();
    let number = number.parse().unwrap();
    let end = match what {
        "exit" => End::Exit(number),
        "unevaluated" => End::Unevaluated(number),
        _ => End::Slow(Duration::from_millis(number)),
    };
    match train(folder.as_ref(), 1, end) {
        Ok(_) => {}
        Err(TrainError::Stopped { .. }) => exit(3),
        Err(error) => panic!("{error}"),
    }
}

/// A folder for a training that is left alone, which is done, and one for another.
fn folders(temporary: &Path) -> [std::path::PathBuf; 2] {
    let [whole, parts] = ["whole", "parts"].map(|name| temporary.join(name));
    fs::create_dir(&whole).unwrap();
    fs::create_dir(&parts).unwrap();
    train(&whole, 1, End::Done).unwrap();
    assert_eq!(log_lines(&whole), 1 + STEPS);
    [whole, parts]
}

#[test]
fn a_training_that_is_stopped_goes_on() {
    let temporary = tempfile::tempdir().unwrap();
    let [whole, parts] = folders(temporary.path());
    let again = temporary.path().join("again");
    fs::create_dir(&again).unwrap();
    let expected = train(&again, 1, End::Done).unwrap();
    assert_eq!(expected.len(), EPOCHS as usize);
    assert!(expected[5] < expected[0]);

    let stopped = train(&parts, 1, End::Stop(7));
    assert!(matches!(stopped, Err(TrainError::Stopped { steps: 7 })));
    let rest = train(&parts, 2, End::Done).unwrap();
    // The mean of the second epoch is that of all its batches.
    assert_eq!(rest, expected[1..]);
    assert_same(&parts, &whole, "stopped");
    // All steps are made, but the last evaluation may not be: it is made again.
    assert_eq!(train(&parts, 3, End::Done).unwrap(), expected[5..]);
    assert_same(&parts, &whole, "run again");
}

#[test]
fn a_training_that_ends_in_any_step_goes_on() {
    let temporary = tempfile::tempdir().unwrap();
    let [whole, parts] = folders(temporary.path());
    let ends = [
        "exit 2",
        "exit 4",
        "exit 11",
        "exit 12",
        "exit 13",
        "unevaluated 3",
        "exit 20",
        "exit 29",
    ];
    for end in ends {
        let status = start(&parts, end).wait().unwrap();
        assert_eq!(status.code(), Some(9), "{end}");
    }
    train(&parts, 2, End::Done).unwrap();
    assert_same(&parts, &whole, "ended in steps");
}

/// Kills, on Unix by SIGKILL, at random times: before the first step, while it computes, and while it writes.
#[test]
fn a_training_that_is_killed_goes_on() {
    let temporary = tempfile::tempdir().unwrap();
    let [whole, parts] = folders(temporary.path());
    let mut delays = Vec::new();
    let mut is_done = false;
    while !is_done && delays.len() < 100 {
        let mut process = start(&parts, "slow 10");
        let delay = Duration::from_millis(RandomState::new().build_hasher().finish() % 200);
        delays.push(delay);
        sleep(delay);
        is_done = process.try_wait().unwrap().is_some_and(|status| status.success());
        process.kill().unwrap();
        process.wait().unwrap();
    }
    assert!(is_done, "it is never done: {delays:?}");
    assert_same(&parts, &whole, &format!("killed after {delays:?}"));
}

/// Waits for a process that has made so many steps.
#[cfg(unix)]
fn wait_for(folder: &Path, steps: usize) {
    let start = Instant::now();
    while log_lines(folder) <= steps {
        assert!(start.elapsed() < Duration::from_secs(60), "it makes no steps");
        sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
fn signal(process: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_stops() {
    let temporary = tempfile::tempdir().unwrap();
    let [whole, parts] = folders(temporary.path());
    for (name, steps) in [("-INT", 4), ("-TERM", 10)] {
        let mut process = start(&parts, "slow 100");
        wait_for(&parts, steps);
        signal(&process, name);
        assert_eq!(process.wait().unwrap().code(), Some(3));
        // What was done is saved: no step is made again.
        let lines = log_lines(&parts);
        let stopped = train(&parts, 1, End::Stop(lines as u64));
        assert!(matches!(stopped, Err(TrainError::Stopped { steps }) if steps == lines as u64));
        assert_eq!(log_lines(&parts), lines + 1);
    }
    train(&parts, 2, End::Done).unwrap();
    assert_same(&parts, &whole, "stopped by signals");
}

#[cfg(unix)]
#[test]
fn ctrl_c_again_ends_at_once() {
    let temporary = tempfile::tempdir().unwrap();
    let mut process = start(temporary.path(), "slow 60000");
    let start = Instant::now();
    // It is created after signals are handled, and before the first step.
    while start.elapsed() < Duration::from_secs(60) && !temporary.path().join("state").exists() {
        sleep(Duration::from_millis(5));
    }
    signal(&process, "-INT");
    while start.elapsed() < Duration::from_secs(30) && process.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(100));
        signal(&process, "-INT");
    }
    assert_eq!(process.wait().unwrap().code(), Some(130));
}

#[test]
fn a_training_that_is_not_resumed_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.training");
    fs::write(&path, "another training").unwrap();
    let mut model = Cpu::default().build_module::<Model, f32>();
    let before = model.latents.as_vec();
    let mut trainer = Trainer::new(AdamW::new(&model, AdamWConfig::default()).unwrap(), 1e-2)
        .with_checkpoint(&path, 1);
    let error = trainer
        .train_epoch(&mut model, [()], |_, (), _| panic!("nothing is computed"))
        .unwrap_err();
    assert!(matches!(error, TrainError::NotResumed { .. }), "{error}");
    assert_eq!(model.latents.as_vec(), before);
    assert_eq!(fs::read(&path).unwrap(), b"another training");
}
