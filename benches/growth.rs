//! How time and memory grow with the number of tokens: `cargo bench --bench growth`.
//!
//! One forward pass of the README's model for square images of growing size, each in a process of its own, since the
//! peak of a process's memory never falls. Writes `benches/growth.csv` and, from it, `benches/growth.png`.

#[path = "peers/memory.rs"]
mod memory;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use perceiver::prelude::*;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

perceiver! {
    struct ReadMe {
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_latents: 256,
        latent_dim: 512,
        num_classes: 1000,
    }
}

/// The sides of the images: 10⁴ to 10⁷ tokens, in equal steps of the logarithm.
const SIDES: [usize; 10] = [100, 147, 215, 316, 464, 681, 1000, 1468, 2154, 3162];
/// The fastest of a few runs: what disturbs a run only ever adds to it.
const RUNS: usize = 3;
const HEADER: &str = "tokens,ms,ns per token,MB beyond input and weights";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(side) = arguments.iter().find_map(|a| a.strip_prefix("--side=")) {
        println!("{}", measure(side.parse()?));
        return Ok(());
    }
    // Only `cargo bench` gives this; `cargo test --benches` has nothing to measure.
    if !arguments.iter().any(|a| a == "--bench") {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut csv = String::from(HEADER) + "\n";
    println!("{HEADER}");
    for side in SIDES {
        let row = in_another_process(side)?;
        print!("{row}");
        csv += &row;
    }
    std::fs::write(folder.join("growth.csv"), &csv)?;
    draw(&csv, &folder.join("growth.png"))
}

fn in_another_process(side: usize) -> Result<String> {
    let output = Command::new(std::env::current_exe()?)
        .arg(format!("--side={side}"))
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "side {side}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// A row of the table.
fn measure(side: usize) -> String {
    let dev = Cpu::seed_from_u64(0);
    let model = dev.build_module::<ReadMe, f32>();
    let image: Tensor<(usize, usize, usize, Const<3>), f32, _> =
        dev.sample_normal_like(&(1, side, side, Const));
    let before = memory::resident();

    let runs = (0..RUNS).map(|_| {
        let start = Instant::now();
        let _ = model.forward(image.clone());
        start.elapsed().as_secs_f64() * 1e3
    });
    let ms = runs.fold(f64::INFINITY, f64::min);
    let tokens = side * side;
    let ns = ms * 1e6 / tokens as f64;
    let memory = memory::peak() - before;
    format!("{tokens},{ms:.1},{ns:.0},{memory:.1}")
}

/// Draws the last two columns over the first.
fn draw(csv: &str, path: &Path) -> Result<()> {
    // A font of our own: a machine may have none.
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    let _ = register_font("sans-serif", FontStyle::Normal, font);
    let rows: Vec<Vec<f64>> = csv
        .lines()
        .skip(1)
        .map(|row| row.split(',').map(str::parse).collect())
        .collect::<Result<_, _>>()?;
    let column =
        |y: usize| -> Vec<(f64, f64)> { rows.iter().map(|row| (row[0], row[y])).collect() };

    let root = BitMapBackend::new(path, (800, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    let (upper, lower) = root.split_vertically(360);
    chart(&upper, "Time per token (ns)", &column(2))?;
    chart(&lower, "Peak memory beyond input and weights (MB)", &column(3))?;
    root.present()?;
    println!("{}", path.display());
    Ok(())
}

fn chart(
    area: &DrawingArea<BitMapBackend<'_>, Shift>,
    caption: &str,
    points: &[(f64, f64)],
) -> Result<()> {
    let (first, last) = points.first().zip(points.last()).context("no points")?;
    let highest = points.iter().fold(0.0, |a: f64, (_, y)| a.max(*y));
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((first.0..last.0).log_scale(), 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("tokens")
        .x_label_formatter(&|tokens| format!("{tokens:e}"))
        .label_style(("sans-serif", 16))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    let line = LineSeries::new(points.iter().copied(), BLUE.stroke_width(2));
    chart.draw_series(line.point_size(4))?;
    Ok(())
}
