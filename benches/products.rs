//! Matrix products of the sizes of a Perceiver, against PyTorch's `linear`: `cargo bench --bench products`, or with
//! `-- --python target/venv/bin/python --threads 1`.
//!
//! `x · weightᵀ` in f32, with a weight that is laid out, as in a model after `prepare_for_inference`. Both sides take turns.
//! Without a Python that has PyTorch, only this project's side runs.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use perceiver::ops::{LinearKernel, Record, Rows, Weight};
use perceiver::prelude::*;
use perceiver::spec::Width;

/// Rows, outputs, inputs: feed-forward layers, projections, and a square.
const SIZES: [[usize; 3]; 6] = [
    [256, 4096, 512],
    [256, 512, 2048],
    [256, 1536, 512],
    [512, 8192, 1024],
    [512, 1024, 4096],
    [2048, 2048, 2048],
];

#[derive(Parser)]
struct Arguments {
    /// A Python with PyTorch.
    #[arg(long, default_value = "python3")]
    python: String,
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, |count| count.get()))]
    threads: usize,
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Only `cargo bench` gives this; `cargo test --benches` has nothing to measure.
    if !arguments.bench {
        return Ok(());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    let mut peer = Peer::start(&arguments)?;
    println!(
        "{} threads, billions of operations per second: median of {} rounds",
        arguments.threads, arguments.rounds
    );
    println!("{:>20} {:>10} {:>10} {:>8}", "rows, outputs, inputs", "this", "PyTorch", "ratio");
    for size in SIZES {
        let mut ours = Ours::new(size);
        let (mut own, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            own.push(pool.install(|| ours.rate()));
            theirs.extend(peer.as_mut().map(|peer| peer.rate(size)).transpose()?);
        }
        let (own, theirs) = (median(own), median(theirs));
        let [rows, outputs, inputs] = size;
        let name = format!("{rows} × {outputs} × {inputs}");
        println!("{name:>20} {own:>10.0} {theirs:>10.0} {:>8.2}", own / theirs);
    }
    Ok(())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// For so long in a turn.
const SECONDS: f64 = 0.25;

struct Ours {
    x: Rows<f32, Cpu>,
    weight: Weight<f32, Cpu>,
    operations: f64,
}

impl Ours {
    fn new([rows, outputs, inputs]: [usize; 3]) -> Self {
        let dev = Cpu::default();
        let matrix = dev.sample_normal_like(&(Width::new(outputs), Width::new(inputs)));
        let mut weight = Weight::from(matrix);
        Cpu::prepare(&mut weight, Default::default());
        let operations = 2.0 * (rows * outputs * inputs) as f64;
        Self { x: dev.sample_normal_like(&(1, rows, inputs)), weight, operations }
    }

    fn rate(&mut self) -> f64 {
        let mut fastest = f64::INFINITY;
        let begin = Instant::now();
        while begin.elapsed().as_secs_f64() < SECONDS {
            let start = Instant::now();
            let mut record = Record::for_tape::<NoneTape>();
            let y = Cpu::try_linear(&mut record, self.x.clone(), &self.weight, None, None);
            drop(y.expect("the sizes match"));
            fastest = fastest.min(start.elapsed().as_secs_f64());
        }
        self.operations / fastest / 1e9
    }
}

/// A process with PyTorch.
struct Peer(Child);

impl Peer {
    /// None without PyTorch.
    fn start(arguments: &Arguments) -> Result<Option<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("products.py");
        let child = Command::new(&arguments.python)
            .arg(script)
            .args([arguments.threads.to_string(), SECONDS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", arguments.python))?;
        let mut peer = Self(child);
        let is_ready = peer.line()? == "ready";
        Ok(is_ready.then_some(peer))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().context("no output")?).read_line(&mut line)?;
        Ok(line.trim().to_string())
    }

    fn rate(&mut self, [rows, outputs, inputs]: [usize; 3]) -> Result<f64> {
        writeln!(self.0.stdin.as_mut().context("no input")?, "{rows} {outputs} {inputs}")?;
        Ok(self.line()?.parse()?)
    }
}
