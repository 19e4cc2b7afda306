//! Trains a small model for optical flow, the motion of each pixel between two frames, on rendered scenes:
//! `cargo run --release --example flow`; add `--features cuda` to run on a GPU.
//!
//! With `--frames FIRST SECOND --checkpoint FILE`, runs the published model on two images instead. `FILE` is
//! `model.safetensors` of <https://huggingface.co/deepmind/optical-flow-perceiver>.

mod classical;
#[path = "../common/mod.rs"]
mod common;
mod frame;
mod picture;
mod published;
mod scene;
mod train;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use perceiver::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use frame::Motion;

/// The size of the rendered frames, and of the patches of pixels that are one token each.
const HEIGHT: usize = 24;
const WIDTH: usize = 32;
const PATCH: usize = 2;

perceiver! {
    /// The motion of the four pixels of each patch to the right and down, in pixels.
    ///
    /// This is [`perceiver::presets::Flow`] made small, with differences that shorten the training:
    /// - Each token is four pixels, so there are fewer.
    /// - The feed-forwards have gates: motion follows from products of differences in space and time.
    /// - Each query is added to what it attends to, so the pixels reach the output directly, too.
    /// - The latents attend to the tokens twice.
    /// - The family is the default one, whose weights start larger, which suits narrow layers.
    pub struct SmallFlow {
        input: Grid {
            shape: [2, 24, 32, 27],
            stem: [Patches([2, 2, 2]), Linear(64)],
            position: Fourier { bands: 6, max_freq: [24.0, 32.0] },
        },
        depth: 2,
        self_per_cross_attn: 1,
        num_latents: 64,
        latent_dim: 64,
        qk_channels: 64,
        cross_heads: 8,
        latent_heads: 4,
        attn_bias: true,
        feed_forward: Geglu(2),
        output: Queries {
            queries: Input,
            heads: 4,
            qk_channels: 64,
            query_residual: true,
            feed_forward: Geglu(3),
            project: 8,
        },
    }
}

/// Estimates optical flow: trains a small model on rendered scenes, or runs the published one on two images.
#[derive(Parser)]
struct Arguments {
    /// Two images to run the published model on, of the same size and at least 496 × 368 pixels.
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"], requires = "checkpoint")]
    frames: Option<Vec<PathBuf>>,
    /// A safetensors file with weights for the published model.
    #[arg(long, requires = "frames")]
    checkpoint: Option<PathBuf>,
    /// The PNG to write.
    #[arg(long, default_value = "flow.png")]
    output: PathBuf,
    /// The seed for the initial parameters and the scenes to train on.
    #[arg(long, default_value_t = 2)]
    seed: u64,
}

/// The number of pairs to test on, and of those in the picture.
const TESTS: usize = 128;
const SHOWN: usize = 4;

type Model = SmallFlow<f32, AutoDevice>;

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let dev = common::device(arguments.seed)?;
    if let (Some([first, second]), Some(checkpoint)) =
        (arguments.frames.as_deref(), &arguments.checkpoint)
    {
        return published::run([first, second], checkpoint, &arguments.output, &dev);
    }

    let mut model = dev.build_module::<SmallFlow, f32>();
    println!("{}\n", model.summary());
    let start = Instant::now();
    train::train(&mut model, &dev, &mut StdRng::seed_from_u64(arguments.seed))?;
    println!("\ntrained in {:.1} s\n", start.elapsed().as_secs_f32());

    // The same scenes every time, and none that the model was trained on.
    let mut rng = StdRng::seed_from_u64(u64::MAX);
    let (pairs, truth): (Vec<_>, Vec<_>) = (0..TESTS).map(|_| scene::random(&mut rng)).unzip();
    let none = vec![Motion::from_fn(HEIGHT, WIDTH, |_, _| [0.0; 2]); TESTS];
    let classical: Vec<_> = pairs.iter().map(classical::lucas_kanade).collect();
    let estimated = train::estimate(&model, &pairs, &dev)?;

    println!("end-point error on {TESTS} other pairs, in pixels");
    for (name, motions) in
        [("no motion", &none), ("Lucas-Kanade", &classical), ("this model", &estimated)]
    {
        let errors =
            motions.iter().zip(&truth).map(|(motion, truth)| motion.end_point_error(truth));
        println!("{name:14} {:5.2}", errors.sum::<f32>() / TESTS as f32);
    }

    let rows: Vec<_> = (0..SHOWN)
        .map(|i| {
            let motion = |name, motion: &Motion| {
                let error = motion.end_point_error(&truth[i]);
                motion.panel(scene::MAX_MOTION, format!("{name}: error {error:.2}"))
            };
            vec![
                pairs[i].first.panel("frame 1"),
                pairs[i].second.panel("frame 2"),
                truth[i].panel(scene::MAX_MOTION, "true motion"),
                motion("Lucas-Kanade", &classical[i]),
                motion("this model", &estimated[i]),
            ]
        })
        .collect();
    picture::write(&rows, 6, scene::MAX_MOTION, &arguments.output)?;
    println!("\npicture: {}", arguments.output.display());
    Ok(())
}
