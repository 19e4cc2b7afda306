//! What averaging the gradients of the README's model takes over a network: `cargo bench --bench network` prints the table of
//! `benches/README.md` and draws `benches/network.png`. Computed, not measured.

use std::path::Path;

use anyhow::Result;
use perceiver::prelude::*;
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

/// Networks, with the bytes that they transfer in a second.
const NETWORKS: [(&str, f64, RGBColor); 3] =
    [("1 GbE", 0.12e9, RED), ("10 GbE", 1.2e9, BLUE), ("100 GbE", 12e9, RGBColor(0, 128, 0))];
/// A training step with an image of 224 × 224 pixels on two cores.
const STEP: f64 = 0.8;

/// The seconds that an all-reduce takes if each machine sends and receives at once, as fast as the network transfers.
fn seconds(machines: u32, bytes_per_second: f64) -> f64 {
    let gradients = size_of::<f32>() as f64 * ReadMe::<f32>::PARAMETERS as f64;
    let n = f64::from(machines);
    2.0 * (n - 1.0) / n * gradients / bytes_per_second
}

fn main() -> Result<()> {
    // Only `cargo bench` gives this; `cargo test --benches` has nothing to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    println!("| network | GB/s | 2 machines | 8 machines | 64 machines |");
    println!("| --- | --- | --- | --- | --- |");
    for (network, rate, _) in NETWORKS {
        let [two, eight, all] = [2, 8, 64].map(|machines| seconds(machines, rate));
        println!("| {network} | {} | {two:.2} s | {eight:.2} s | {all:.2} s |", rate / 1e9);
    }
    draw(&Path::new(env!("CARGO_MANIFEST_DIR")).join("network.png"))
}

fn draw(path: &Path) -> Result<()> {
    // A font of our own: a machine may have none.
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    let _ = register_font("sans-serif", FontStyle::Normal, font);
    let root = BitMapBackend::new(path, (800, 500)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d((2.0..64.0).log_scale().base(2.0), (0.01..10.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("Machines")
        .y_desc("Seconds to average gradients")
        .x_labels(6)
        .x_label_formatter(&|machines| format!("{machines:.0}"))
        .y_label_formatter(&f64::to_string)
        .y_labels(4)
        .max_light_lines(0)
        .label_style(("sans-serif", 16))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    for (network, rate, color) in NETWORKS {
        let points = (2..=64).map(|n| (f64::from(n), seconds(n, rate)));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(network)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color.stroke_width(2)));
    }
    chart
        .draw_series(DashedLineSeries::new(
            [(2.0, STEP), (64.0, STEP)],
            6,
            4,
            BLACK.stroke_width(1),
        ))?
        .label("a training step")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 24, y)], BLACK));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::Coordinate(540, 228))
        .label_font(("sans-serif", 16))
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    println!("{}", path.display());
    Ok(())
}
