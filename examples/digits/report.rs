//! The report at the end of the training.

use std::path::Path;

use anyhow::Result;
use plotters::style::BLUE;

use super::Digit;
use crate::common::picture::{self, Line};

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
    let points = (1..).zip(losses).map(|(epoch, loss)| (f64::from(epoch), f64::from(*loss)));
    let line = Line::new("training loss", BLUE, points.collect());
    picture::chart("Digits: training loss", ["epoch", "cross entropy"], &[line], path)
}
