//! Pictures of frames and motions.

use std::f32::consts::TAU;
use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::common::picture::register;
use crate::frame::{Frame, Grid, Motion};

/// A picture and the line of text under it.
pub struct Panel {
    pub pixels: Grid<RGBColor>,
    pub caption: String,
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

const MARGIN: i32 = 16;
const TEXT_HEIGHT: i32 = 24;
/// The radius of the legend, and its width with the text beside it.
const RADIUS: i32 = 48;
const LEGEND_WIDTH: i32 = 440;

impl Frame {
    pub fn panel(&self, caption: impl Into<String>) -> Panel {
        let colour = |row, column| {
            let [red, green, blue] = self[(row, column)].map(|value| (127.5 * (value + 1.0)) as u8);
            RGBColor(red, green, blue)
        };
        Panel { pixels: Grid::from_fn(self.height, self.width, colour), caption: caption.into() }
    }
}

impl Motion {
    /// Draws directions as hues; a motion of length `largest` is fully saturated, no motion is white.
    pub fn panel(&self, largest: f32, caption: impl Into<String>) -> Panel {
        let colour = |row, column| hue(self[(row, column)].map(|value| value / largest));
        Panel { pixels: Grid::from_fn(self.height, self.width, colour), caption: caption.into() }
    }
}

/// The colour of a motion of length 0 to 1: its direction is the hue, its length the saturation.
fn hue([right, down]: [f32; 2]) -> RGBColor {
    let direction = (down.atan2(right) / TAU).rem_euclid(1.0);
    let saturation = right.hypot(down).min(1.0);
    // `HSLColor` has the same hues; colours of saturation 1 and lightness 0.5 to 1 are those of HSV with value 1.
    let lightness = 1.0 - saturation / 2.0;
    let (red, green, blue) = HSLColor(direction.into(), 1.0, lightness.into()).rgb();
    RGBColor(red, green, blue)
}

/// Writes rows of equally many panels of the same size, with each pixel drawn as a square of `side` pixels, and below
/// them a legend of the colours of motions.
pub fn write(rows: &[Vec<Panel>], side: i32, largest: f32, path: &Path) -> Result<()> {
    register();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let (width, height) = rows.iter().flatten().next().map_or((0, 0), |panel| {
        (side * panel.pixels.width as i32, side * panel.pixels.height as i32)
    });
    let width = (columns as i32 * (width + MARGIN)).max(LEGEND_WIDTH) + MARGIN;
    let height = rows.len() as i32 * (height + TEXT_HEIGHT + MARGIN) + MARGIN;
    let size = (width as u32, (height + 2 * RADIUS + 1 + MARGIN) as u32);

    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (panels, legend) = root.split_vertically(height);
    let cells = panels.margin(MARGIN, 0, MARGIN, 0).split_evenly((rows.len(), columns));
    for (panel, cell) in rows.iter().flatten().zip(&cells) {
        draw(panel, side, cell)?;
    }
    draw_legend(largest, &legend.margin(0, MARGIN, MARGIN, MARGIN))?;
    root.present()?;
    Ok(())
}

fn draw(panel: &Panel, side: i32, area: &Area<'_>) -> Result<()> {
    let Grid { height, width, .. } = panel.pixels;
    for row in 0..height {
        for column in 0..width {
            let (x, y) = (column as i32 * side, row as i32 * side);
            let corners = [(x, y), (x + side, y + side)];
            area.draw(&Rectangle::new(corners, panel.pixels[(row, column)].filled()))?;
        }
    }
    write_text(&panel.caption, (0, height as i32 * side + 4), VPos::Top, area)
}

/// Draws each motion of up to `largest` pixels, from the centre of a disc, in its colour.
fn draw_legend(largest: f32, area: &Area<'_>) -> Result<()> {
    for y in -RADIUS..=RADIUS {
        for x in -RADIUS..=RADIUS {
            let motion = [x, y].map(|value| value as f32 / RADIUS as f32);
            // The last pixel fades, so that the edge is smooth.
            let cover = (RADIUS as f32 * (1.0 - motion[0].hypot(motion[1])) + 0.5).clamp(0.0, 1.0);
            area.draw_pixel((x + RADIUS, y + RADIUS), &hue(motion).mix(cover.into()))?;
        }
    }
    let lines = [
        "direction of the motion: from the centre outwards",
        &format!("centre: no motion; edge: {largest:.1} pixels or more"),
    ];
    for (i, line) in lines.iter().enumerate() {
        let y = RADIUS + TEXT_HEIGHT * (2 * i as i32 - 1) / 2;
        write_text(line, (2 * RADIUS + MARGIN, y), VPos::Center, area)?;
    }
    Ok(())
}

fn write_text(text: &str, at: (i32, i32), vertical: VPos, area: &Area<'_>) -> Result<()> {
    let style = ("sans-serif", 17).into_text_style(area).pos(Pos::new(HPos::Left, vertical));
    area.draw(&Text::new(text, at, style))?;
    Ok(())
}
