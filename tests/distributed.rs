//! Training in several processes: this program starts itself with `mpirun`.

use std::path::Path;
use std::process::{Command, ExitCode, Output};

use perceiver::prelude::*;
use perceiver::train::distributed::{self, World};
use perceiver::train::{AdamW, AdamWConfig, Trainer, cross_entropy};

perceiver! {
    struct Model {
        input_shape: [6, 2], num_freq_bands: 2, max_freq: 4.0, depth: 1, num_latents: 4, latent_dim: 8, latent_heads: 2,
        latent_dim_head: 4, cross_dim_head: 4, num_classes: 3,
    }
    struct Other {
        input_shape: [6, 2], num_freq_bands: 3, max_freq: 4.0, depth: 1, num_latents: 4, latent_dim: 8, latent_heads: 2,
        latent_dim_head: 4, cross_dim_head: 4, num_classes: 3,
    }
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("rank") => distributed::run(|world| {
            let argument = |i| std::env::args().nth(i).ok_or("an argument is missing");
            rank(world, &argument(2)?, argument(3)?.as_ref())
        }),
        // That of `cargo test`.
        _ => {
            tests();
            ExitCode::SUCCESS
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What each rank does.
fn rank(world: &World, what: &str, folder: &Path) -> Result<(), Failure> {
    // Each rank begins with a model of its own, and is given that of the first.
    let dev = Cpu::seed_from_u64(1 + world.rank() as u64);
    let mut model = dev.build_module::<Model, f32>();
    let is_last = world.rank() + 1 == world.size();
    let examples = if what == "counts" && is_last { 79 } else { 80 };
    let batches = world.batches(examples, if what == "split" { 3 } else { 4 }, 3)?;
    let config = AdamWConfig { max_norm: Some(1.0), ..AdamWConfig::default() };
    let mut trainer = Trainer::new(AdamW::new(&model, config)?, 1e-2)
        .with_checkpoint(folder.join("run.training"), 10)
        .with_log(folder.join("log.csv"))
        .with_ema(0.9)
        .with_world(world);
    if what == "declaration" && is_last {
        let mut other = dev.build_module::<Other, f32>();
        let mut trainer = Trainer::new(AdamW::new(&other, config)?, 1e-2).with_world(world);
        trainer.resume(&mut other)?;
    }
    trainer.resume(&mut model)?;
    while trainer.epoch() < 5 {
        let dies = what == "death" && is_last && trainer.epoch() == 2;
        let batches = batches.epoch(trainer.epoch());
        trainer.train_epoch(&mut model, batches, |model, batch, gradients| {
            assert!(!dies, "this rank dies");
            let number = |i: usize, j: usize| ((i * 31 + j * 17) % 29) as f32 / 29.0;
            let rows = batch.iter().flat_map(|i| (0..12).map(move |j| number(*i, j)));
            let x: Tensor<(usize, Const<6>, Const<2>), f32, _> =
                dev.tensor_from_vec(rows.collect(), (batch.len(), Const, Const));
            let targets = batch.iter().map(|i| i % 3).collect();
            let targets = dev.tensor_from_vec(targets, (batch.len(),));
            Ok(cross_entropy(model.try_forward_mut(x.traced(gradients))?, &targets)?)
        })?;
    }
    // All have the same parameters.
    let bits = |model: &Model| -> Vec<u32> {
        model.latents.as_vec().iter().map(|x| x.to_bits()).collect()
    };
    world.agree("parameters", &bits(&model))?;
    world.agree("averages of parameters", &bits(&trainer.averaged(&model)?))?;
    Ok(())
}

fn run(ranks: usize, what: &str, folder: &Path) -> Output {
    Command::new("mpirun")
        .args(["--allow-run-as-root", "--oversubscribe", "-np", &ranks.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args(["rank", what])
        .arg(folder)
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .unwrap_or_else(|error| panic!("these tests need `mpirun`: {error}"))
}

/// The losses that were logged.
fn losses(folder: &Path) -> Vec<f64> {
    let log = std::fs::read_to_string(folder.join("log.csv")).unwrap();
    let loss = |line: &str| line.split(',').nth(2).unwrap().parse().unwrap();
    log.lines().skip(1).map(loss).collect()
}

fn tests() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let stderr = |output: Output| {
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let expect =
        |text: &str, part: &str| assert!(text.contains(part), "`{part}` is not in: {text}");

    // 1, 2 and 4 ranks with the same batches have the same losses in 100 steps.
    let mut all = Vec::new();
    for ranks in [1, 2, 4] {
        let folder = in_folder(&format!("{ranks}"));
        let output = run(ranks, "plain", &folder);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        all.push(losses(&folder));
    }
    assert_eq!(all[0].len(), 100);
    assert!(all[0][99] < all[0][0]);
    for losses in &all[1..] {
        for (step, (found, expected)) in losses.iter().zip(&all[0]).enumerate() {
            assert!((found - expected).abs() < 1e-5, "step {step}: {found} is not {expected}");
        }
    }
    println!("1, 2 and 4 ranks have the same losses");

    // What does not fit together stops at the start.
    let message = stderr(run(2, "counts", &in_folder("counts")));
    expect(&message, "rank 1 has a number of examples, batch size or seed other than rank 0");
    let message = stderr(run(2, "declaration", &in_folder("declaration")));
    expect(&message, "rank 1 has a model other than rank 0");
    let message = stderr(run(2, "split", &in_folder("split")));
    expect(&message, "a batch of 3 cannot be split into equal parts for 2 ranks");
    println!("ranks that differ stop and say so");

    // A rank that dies ends the others, and the training goes on from what was saved.
    let dead = in_folder("dead");
    expect(&stderr(run(2, "death", &dead)), "this rank dies");
    assert!(run(2, "plain", &dead).status.success());
    for (found, expected) in losses(&dead).iter().zip(&all[0]) {
        assert!((found - expected).abs() < 1e-5);
    }
    assert_eq!(losses(&dead).len(), 100);
    println!("a rank that dies ends the training, which goes on from its checkpoint");
}
