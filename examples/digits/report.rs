//! The report at the end of the training.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::register_font;

use super::Digit;

/// A table with a row for each digit shown and a column for each digit predicted.
pub fn confusion(digits: &[Digit], predicted: &[usize]) -> String {
    let mut counts = [[0; 10]; 10];
    for (digit, predicted) in digits.iter().zip(predicted) {
        counts[digit.label][*predicted] += 1;
    }
    let mut table = String::from("shown | predicted\n      |");
    table.extend((0..10).map(|class| format!("{class:4}")));
    table += &format!("\n------+{}\n", "-".repeat(40));
    for (class, row) in counts.iter().enumerate() {
        table += &format!("{class:5} |");
        // Zeros would hide the other counts.
        table.extend(row.iter().map(|&count| match count {
            0 => "   .".into(),
            count => format!("{count:4}"),
        }));
        table.push('\n');
    }
    table
}

/// Draws the mean loss of each epoch.
pub fn loss_curve(losses: &[f32], path: &Path) -> Result<()> {
    // Register a font, since the machine may have none.
    let font = epaint_default_fonts::UBUNTU_LIGHT;
    let _ = register_font("sans-serif", FontStyle::Normal, font);
    let highest = losses.iter().copied().fold(0.0, f32::max);

    let root = BitMapBackend::new(path, (800, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Digits: training loss", ("sans-serif", 24))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(1..losses.len(), 0.0..highest)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc("cross entropy")
        .label_style(("sans-serif", 16))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    let points = losses.iter().enumerate().map(|(i, loss)| (i + 1, *loss));
    chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2)))?;
    root.present()?;
    Ok(())
}
