//! This project's side of `compare.py`, which starts it with a workload and the folder of its data:
//!
//!     peers readme-forward target/peers
//!
//! It answers each line of its standard input with a line of JSON. `check` gives the largest difference from what
//! PyTorch gives in float64, as a fraction of the largest number there, and has to come first: a training step changes
//! the weights. `run 5` gives the milliseconds of five runs, after one that is not timed, and the peak of memory so
//! far. Without a folder, weights and input are random, so that nothing but the model counts as memory.

mod memory;
mod workloads;

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use workloads::Workload;

fn main() -> Result<()> {
    // `cargo bench` and `cargo test --benches` come here too, with options alone.
    let arguments = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let arguments: Vec<String> = arguments.collect();
    let Some((name, folder)) = arguments.split_first() else {
        println!("benches/peers/compare.py runs this; see benches/README.md");
        return Ok(());
    };
    let mut workload = workloads::load(name, folder.first().map(Path::new))?;
    println!("{{}}");
    for line in io::stdin().lines() {
        let answer = match line?.split_whitespace().collect::<Vec<_>>()[..] {
            ["check"] => check(&mut workload),
            ["run", count] => run(&mut workload, count.parse().context("`run` takes a number")?),
            ref other => bail!("unknown command: {other:?}"),
        };
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

fn check(workload: &mut Workload) -> String {
    let mut found = Vec::new();
    while found.len() < workload.expected.len() {
        found.extend((workload.run)());
    }
    let differences = found.iter().zip(&workload.expected);
    // `max` would pass over a NaN.
    let difference = differences.map(|(a, b)| (a - b).abs());
    let largest = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    let scale = workload.expected.iter().map(|x| x.abs()).fold(0.0, largest);
    let difference = difference.fold(0.0, largest) / scale;
    format!("{{\"difference\": {difference:?}}}")
}

fn run(workload: &mut Workload, count: usize) -> String {
    // Another process used the caches before.
    (workload.run)();
    let times: Vec<f64> = (0..count)
        .map(|_| {
            let start = Instant::now();
            (workload.run)();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let peak = memory::peak();
    format!("{{\"ms\": {times:?}, \"peak_mb\": {peak:.1}}}")
}
