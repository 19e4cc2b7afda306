//! How time and memory grow with the number of tokens, the depth, the number of latents and the batch:
//! `cargo bench --bench growth`.
//!
//! One forward pass of the README's model each, in a process of its own, since the peak of a process's memory never falls. Images
//! have 224 × 224 pixels where it is not the number of tokens that grows. Writes `benches/growth.csv` and, from it,
//! `benches/growth.png`; with the name of an axis, such as `-- depth`, only prints its rows, and with `-- draw` only draws.

#[path = "peers/memory.rs"]
mod memory;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use perceiver::dfdx::nn::BuildOnDevice;
use perceiver::prelude::*;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

/// The README's model, with these numbers of layers and latents.
macro_rules! models {
    ($($Model:ident: $depth:literal, $latents:literal;)+) => {
        perceiver! { $(
            struct $Model {
                num_freq_bands: 6, max_freq: 10.0, depth: $depth, num_latents: $latents, latent_dim: 512,
                num_classes: 1000,
            }
        )+ }
    };
}
models! {
    Depth1: 1, 256; Depth2: 2, 256; Depth4: 4, 256; ReadMe: 6, 256; Depth8: 8, 256; Depth16: 16, 256;
    Latents64: 6, 64; Latents128: 6, 128; Latents512: 6, 512; Latents1024: 6, 1024;
}

/// What grows, with its sizes: the tokens are the pixels of square images of 10⁴ to 10⁷.
const AXES: [(&str, &[usize]); 4] = [
    ("tokens", &[100, 147, 215, 316, 464, 681, 1000, 1468, 2154, 3162]),
    ("depth", &[1, 2, 4, 8, 16]),
    ("latents", &[64, 128, 256, 512, 1024]),
    ("batch", &[1, 2, 4, 8, 16]),
];
const SIDE: usize = 224;
/// The fastest of a few runs: what disturbs a run only ever adds to it.
const RUNS: usize = 3;
const HEADER: &str = "axis,size,ms,MB beyond input and weights";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(point) = arguments.iter().find_map(|a| a.strip_prefix("--point=")) {
        let (axis, size) = point.split_once(':').context("a point is AXIS:SIZE")?;
        println!("{}", measure_at(axis, size.parse()?)?);
        return Ok(());
    }
    // Only `cargo bench` gives this; `cargo test --benches` has nothing to measure.
    if !arguments.iter().any(|a| a == "--bench") {
        return Ok(());
    }
    let only = arguments.iter().find(|a| !a.starts_with('-'));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    if only.is_some_and(|only| only == "draw") {
        let csv = std::fs::read_to_string(folder.join("growth.csv"))?;
        return draw(&csv, &folder.join("growth.png"));
    }
    let mut csv = String::from(HEADER) + "\n";
    println!("{HEADER}");
    for (axis, sizes) in AXES.into_iter().filter(|(axis, _)| only.is_none_or(|only| only == axis)) {
        for size in sizes {
            let row = in_another_process(&format!("--point={axis}:{size}"))?;
            print!("{row}");
            csv += &row;
        }
    }
    if only.is_some() {
        return Ok(());
    }
    std::fs::write(folder.join("growth.csv"), &csv)?;
    draw(&csv, &folder.join("growth.png"))
}

fn in_another_process(point: &str) -> Result<String> {
    let output =
        Command::new(std::env::current_exe()?).arg(point).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{point}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// A row of the table.
fn measure_at(axis: &str, size: usize) -> Result<String> {
    let [mut batch, mut side] = [1, SIDE];
    match axis {
        "tokens" => side = size,
        "batch" => batch = size,
        _ => {}
    }
    let of = (axis, size, batch, side);
    Ok(match (axis, size) {
        ("depth", 1) => measure::<Depth1>(of),
        ("depth", 2) => measure::<Depth2>(of),
        ("depth", 4) => measure::<Depth4>(of),
        ("depth", 8) => measure::<Depth8>(of),
        ("depth", 16) => measure::<Depth16>(of),
        ("latents", 64) => measure::<Latents64>(of),
        ("latents", 128) => measure::<Latents128>(of),
        ("latents", 512) => measure::<Latents512>(of),
        ("latents", 1024) => measure::<Latents1024>(of),
        ("tokens" | "batch" | "latents", _) => measure::<ReadMe>(of),
        _ => bail!("there is no model of {axis} {size}"),
    })
}

type Images = Tensor<(usize, usize, usize, Const<3>), f32, Cpu>;

fn measure<M>((axis, size, batch, side): (&str, usize, usize, usize)) -> String
where
    M: BuildOnDevice<Cpu, f32>,
    M::Built: Module<Images>,
{
    let dev = Cpu::seed_from_u64(0);
    let model = dev.build_module::<M, f32>();
    let images: Images = dev.sample_normal_like(&(batch, side, side, Const));
    let before = memory::resident();
    let runs = (0..RUNS).map(|_| {
        let start = Instant::now();
        let _ = model.forward(images.clone());
        start.elapsed().as_secs_f64() * 1e3
    });
    let ms = runs.fold(f64::INFINITY, f64::min);
    let memory = memory::peak() - before;
    let size = if axis == "tokens" { side * side } else { size };
    format!("{axis},{size},{ms:.1},{memory:.1}")
}

/// Draws a column of two charts for each axis.
fn draw(csv: &str, path: &Path) -> Result<()> {
    // A font of our own: a machine may have none.
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    let _ = register_font("sans-serif", FontStyle::Normal, font);
    let root = BitMapBackend::new(path, (1600, 640)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (axis, _)) in root.split_evenly((1, AXES.len())).iter().zip(AXES) {
        let of_axis = csv.lines().filter_map(|row| row.strip_prefix(axis)?.strip_prefix(','));
        let rows: Vec<Vec<f64>> = of_axis
            .map(|row| row.split(',').map(str::parse).collect())
            .collect::<Result<_, _>>()?;
        let column =
            |y: usize| -> Vec<(f64, f64)> { rows.iter().map(|row| (row[0], row[y])).collect() };
        let (upper, lower) = area.split_vertically(320);
        chart(&upper, axis, "Time (ms)", &column(1))?;
        chart(&lower, axis, "Memory (MB)", &column(2))?;
    }
    root.present()?;
    println!("{}", path.display());
    Ok(())
}

fn chart(
    area: &DrawingArea<BitMapBackend<'_>, Shift>,
    axis: &str,
    caption: &str,
    points: &[(f64, f64)],
) -> Result<()> {
    let (first, last) = points.first().zip(points.last()).context("no points")?;
    let decade = |power: f64| 10_f64.powf(power);
    let lowest = points.iter().fold(f64::INFINITY, |a, (_, y)| a.min(*y));
    let highest = points.iter().fold(0.0, |a: f64, (_, y)| a.max(*y));
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (first.0..last.0).log_scale(),
            (decade(lowest.log10().floor())..decade(highest.log10().ceil())).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc(axis)
        .x_labels(4)
        .y_labels(4)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .max_light_lines(0)
        .x_label_formatter(&|size| if *size < 1e4 { size.to_string() } else { format!("{size:e}") })
        .label_style(("sans-serif", 16))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    let line = LineSeries::new(points.iter().copied(), BLUE.stroke_width(2));
    chart.draw_series(line.point_size(4))?;
    Ok(())
}
