//! The pictures that examples write: charts of lines, and small images side by side.

use std::path::Path;

use anyhow::{Context, Result};
use image::{ImageFormat, Rgb, RgbImage, imageops};
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The space around each image of a sheet, and the height of a line of text, in pixels.
const GAP: u32 = 10;
const TEXT: u32 = 22;

/// Images in rows and columns, with a heading above each column and a label to the left of each row.
pub struct Sheet {
    pub headings: Vec<String>,
    pub rows: Vec<(String, Vec<RgbImage>)>,
}

impl Sheet {
    /// Writes the images, all of the same size, with each of their pixels drawn as a square of `side` pixels.
    pub fn write(&self, side: u32, path: &Path) -> Result<()> {
        register();
        let first = self.rows.iter().flat_map(|(_, images)| images).next();
        let (width, height) = first.context("a sheet needs an image")?.dimensions();
        let (width, height) = (width * side, height * side);
        let columns = self.rows.iter().map(|(_, images)| images.len()).max().unwrap_or(0) as u32;
        let longest = self.rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0) as u32;
        // About the width of a letter.
        let left = GAP + 8 * longest;
        let top = if self.headings.is_empty() { GAP } else { GAP + TEXT };
        let place = |row: usize, column: usize| {
            (left + column as u32 * (width + GAP), top + row as u32 * (height + GAP))
        };
        let size = (left + columns * (width + GAP), top + self.rows.len() as u32 * (height + GAP));

        let mut pixels = vec![255; (size.0 * size.1 * 3) as usize];
        {
            let root = BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area();
            for (column, heading) in self.headings.iter().enumerate() {
                let (x, _) = place(0, column);
                let at = ((x + width / 2) as i32, (GAP / 2) as i32);
                write_text(&root, heading, at, Pos::new(HPos::Center, VPos::Top))?;
            }
            for (row, (label, _)) in self.rows.iter().enumerate() {
                let (_, y) = place(row, 0);
                let at = (GAP as i32, (y + height / 2) as i32);
                write_text(&root, label, at, Pos::new(HPos::Left, VPos::Center))?;
            }
            root.present()?;
        }
        let mut sheet =
            RgbImage::from_raw(size.0, size.1, pixels).context("three bytes a pixel")?;
        for (row, (_, images)) in self.rows.iter().enumerate() {
            for (column, image) in images.iter().enumerate() {
                let enlarged =
                    imageops::resize(image, width, height, imageops::FilterType::Nearest);
                let (x, y) = place(row, column);
                imageops::replace(&mut sheet, &enlarged, x.into(), y.into());
            }
        }
        sheet.save_with_format(path, ImageFormat::Png)?;
        Ok(())
    }
}

/// A grey image from numbers, row by row, where 0 is black and 1 is white.
pub fn grey(width: usize, numbers: &[f32]) -> RgbImage {
    let height = numbers.len() / width;
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        Rgb([(255.0 * numbers[y as usize * width + x as usize]).round() as u8; 3])
    })
}

/// A line of a chart.
pub struct Line {
    pub label: String,
    pub colour: RGBColor,
    pub points: Vec<(f64, f64)>,
}

impl Line {
    pub fn new(label: impl Into<String>, colour: RGBColor, points: Vec<(f64, f64)>) -> Self {
        Self { label: label.into(), colour, points }
    }

    /// The same number everywhere, which others are compared with.
    pub fn level(label: impl Into<String>, colour: RGBColor, last: f64, level: f64) -> Self {
        Self::new(label, colour, vec![(0.0, level), (last, level)])
    }
}

/// Writes a chart of lines; `axes` says what is along the horizontal and the vertical one.
pub fn chart(title: &str, axes: [&str; 2], lines: &[Line], path: &Path) -> Result<()> {
    register();
    let root = BitMapBackend::new(path, (800, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    draw_lines(&root, title, axes, lines, &[], SeriesLabelPosition::UpperRight)?;
    root.present()?;
    Ok(())
}

/// A place to draw on.
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// Draws lines, and dots at some points, on a part of a picture, with the names of the lines in some corner.
pub fn draw_lines(
    area: &Area<'_>,
    title: &str,
    axes: [&str; 2],
    lines: &[Line],
    dots: &[(f64, f64)],
    names: SeriesLabelPosition,
) -> Result<()> {
    let all = || lines.iter().flat_map(|line| &line.points).chain(dots);
    let range = |number: fn(&(f64, f64)) -> f64| {
        let (low, high) = all()
            .map(number)
            .fold((f64::MAX, f64::MIN), |(low, high), number| (low.min(number), high.max(number)));
        (low, high.max(low + 1e-9))
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let margin = (high - low) / 20.0;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 24))
        .margin(12)
        // Room for half of the last number below the axis.
        .margin_right(28)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(left..right, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .x_desc(axes[0])
        .y_desc(axes[1])
        .label_style(("sans-serif", 16))
        .axis_desc_style(("sans-serif", 16))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for line in lines {
        let colour = line.colour;
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?
            .label(&line.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(2)));
    }
    chart.draw_series(dots.iter().map(|dot| Circle::new(*dot, 3, BLACK.filled())))?;
    chart
        .configure_series_labels()
        .position(names)
        .background_style(WHITE.mix(0.8))
        .border_style(TRANSPARENT)
        .label_font(("sans-serif", 16))
        .draw()?;
    Ok(())
}

/// Writes a line of text.
pub fn write_text(area: &Area<'_>, text: &str, at: (i32, i32), pos: Pos) -> Result<()> {
    let style = ("sans-serif", 16).into_text_style(area).pos(pos);
    area.draw(&Text::new(text, at, style))?;
    Ok(())
}

/// Writes a name, and to the right of it a text in which each part has a colour.
pub fn write_letters(
    area: &Area<'_>,
    name: &str,
    text: &[(String, RGBColor)],
    y: i32,
) -> Result<()> {
    /// The width of a letter of the font.
    const WIDTH: i32 = 9;
    write_text(area, name, (GAP as i32, y), Pos::new(HPos::Left, VPos::Top))?;
    let mut x = 100;
    for (part, colour) in text {
        for letter in part.chars() {
            let style = ("monospace", 16).into_text_style(area).color(colour);
            area.draw(&Text::new(letter.to_string(), (x, y), style))?;
            x += WIDTH;
        }
    }
    Ok(())
}

/// Registers fonts, since the machine may have none.
pub fn register() {
    for (name, font) in [
        ("sans-serif", epaint_default_fonts::UBUNTU_LIGHT),
        ("monospace", epaint_default_fonts::HACK_REGULAR),
    ] {
        let _ = register_font(name, FontStyle::Normal, font);
    }
}
