//! Trains a Perceiver IO to complete a time series, between the samples that are known and beyond the last:
//! `cargo run --release --example heartbeat`; add `--features cuda` to run on a GPU.
//!
//! The series is an electrocardiogram (see `heartbeat.txt`). The model gets a quarter of the samples of two seconds, at irregular
//! times, and half a second after them it is not told anything. It is trained on the first four of five minutes and compared on the
//! last with simple methods.

#[path = "../common/mod.rs"]
mod common;
mod window;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, Batches};
use plotters::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use common::picture::{self, Line};
use window::{LEN, PAST, RATE, STEP, TOKENS, WIDTH, Window};

const BATCH: usize = 16;
const LEARNING_RATE: f64 = 2e-3;

perceiver! {
    /// What straight lines between the known samples lack at all times. A token is about five of them.
    pub struct Heart {
        input: Grid {
            shape: [TOKENS, WIDTH],
            stem: [Linear(64)],
            position: Fourier { bands: 16, max_freq: 45.0 },
        },
        depth: 2,
        num_latents: 32,
        latent_dim: 64,
        cross_heads: 4,
        cross_dim_head: 16,
        latent_heads: 4,
        latent_dim_head: 16,
        output: Queries { queries: Input, query_residual: true, project: STEP },
    }
}

/// Trains a Perceiver on an electrocardiogram, and tests it on a later part.
#[derive(Parser)]
struct Arguments {
    /// The number of epochs, of 1,600 windows each.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// The seed for the initial parameters, the windows, and the times that are known.
    #[arg(long, default_value_t = 2)]
    seed: u64,
    /// The picture to write.
    #[arg(long, default_value = "heartbeat.png")]
    output: PathBuf,
}

type Model = Heart<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let dev = common::device(arguments.seed)?;
    let mut rng = StdRng::seed_from_u64(arguments.seed);
    let series = window::load()?;
    let (train, test) = series.split_at(series.len() / 5 * 4);
    let windows: Vec<Window> =
        test.chunks_exact(LEN).map(|samples| Window::new(samples, &mut rng)).collect();
    println!("{} s to learn from, {} s held out\n", train.len() / RATE, test.len() / RATE);

    let mut model = dev.build_module::<Heart, f32>();
    println!("{}\n", model.summary());
    learn(&mut model, train, &windows, arguments.epochs, &dev, &mut rng)?;
    println!("\ntrained in {:.1} s\n", start.elapsed().as_secs_f32());

    let completed = complete(&model, &windows, &dev)?;
    let straight: Vec<_> = windows.iter().map(Window::straight).collect();
    let nearest: Vec<_> = windows.iter().map(|window| window.nearest(train)).collect();
    println!("error in millivolts            between known samples   the half second after");
    for (name, estimates) in [
        ("straight lines, last value", &straight),
        ("most similar part of training", &nearest),
        ("this model", &completed),
    ] {
        let [between, after] = errors(&windows, estimates);
        println!("  {name:<29}{between:18.3}{after:24.3}");
    }
    draw(&windows, &straight, &completed, &arguments)
}

fn learn(
    model: &mut Model,
    train: &[f32],
    test: &[Window],
    epochs: u64,
    dev: &AutoDevice,
    rng: &mut StdRng,
) -> Result<()> {
    let config = AdamWConfig { max_norm: Some(1.0), ..AdamWConfig::default() };
    let optimizer = AdamW::new(model, config)?;
    let batches = Batches::new(1600, BATCH, 1);
    let loss = |model: &mut Model, numbers: Vec<usize>, gradients| {
        let windows: Vec<_> = numbers.iter().map(|_| Window::random(train, rng)).collect();
        let lacking = model.try_forward_mut(window::tokens(&windows, dev).traced(gradients))?;
        Ok(mse_loss(lacking, window::targets(&windows, dev)))
    };
    common::train(model, optimizer, LEARNING_RATE, &batches, epochs, loss, |model| {
        let [between, after] = errors(test, &complete(model, test, dev)?);
        Ok(format!("error {between:.3} mV between samples, {after:.3} mV after them"))
    })
}

fn complete(model: &Model, windows: &[Window], dev: &AutoDevice) -> Result<Vec<Vec<f32>>> {
    let lacking = model.try_forward(window::tokens(windows, dev))?.as_vec();
    let add = |(window, lacking): (&Window, &[f32])| {
        window
            .straight()
            .iter()
            .zip(lacking)
            .map(|(straight, lacking)| straight + lacking)
            .collect()
    };
    Ok(windows.iter().zip(lacking.chunks(LEN)).map(add).collect())
}

/// The root of the mean squared error where samples are not known: among those that are, and after them.
fn errors(windows: &[Window], estimates: &[Vec<f32>]) -> [f32; 2] {
    [0..PAST, PAST..LEN].map(|range| {
        let (mut sum, mut count) = (0.0, 0);
        for (window, estimate) in windows.iter().zip(estimates) {
            for i in range.clone().filter(|i| !window.known[*i]) {
                sum += (window.samples[i] - estimate[i]).powi(2);
                count += 1;
            }
        }
        (sum / count as f32).sqrt()
    })
}

/// Draws two of the windows.
fn draw(
    windows: &[Window],
    straight: &[Vec<f32>],
    completed: &[Vec<f32>],
    arguments: &Arguments,
) -> Result<()> {
    picture::register();
    let root = BitMapBackend::new(&arguments.output, (1000, 720)).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, i) in root.split_evenly((2, 1)).iter().zip([0, 12]) {
        let points = |samples: &[f32]| -> Vec<(f64, f64)> {
            (0..LEN).map(|i| (i as f64 / RATE as f64, f64::from(samples[i]))).collect()
        };
        let lines = [
            Line::new("what was measured", RGBColor(190, 190, 190), points(&windows[i].samples)),
            Line::new("straight lines", RGBColor(230, 150, 60), points(&straight[i])),
            Line::new("the Perceiver", BLUE, points(&completed[i])),
        ];
        let known = points(&windows[i].samples).into_iter().zip(&windows[i].known);
        let known: Vec<_> = known.filter(|(_, known)| **known).map(|(point, _)| point).collect();
        let title = "Held-out electrocardiogram; dots: what the model is given";
        let axes = ["seconds", "millivolts"];
        picture::draw_lines(area, title, axes, &lines, &known, SeriesLabelPosition::LowerRight)?;
    }
    root.present()?;
    println!("\npicture: {}", arguments.output.display());
    Ok(())
}
