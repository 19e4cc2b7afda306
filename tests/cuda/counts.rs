//! What a forward pass and a step of training ask of the device. The emulator counts it; a real GPU does not say.

#![allow(unsafe_code)] // looks up the emulator's function

use std::ffi::{c_char, c_int, c_void};

use perceiver::ops::{EmbedKernel, Matrix, Record};
use perceiver::prelude::*;
use perceiver::spec::Width;
use perceiver::train::{AdamW, AdamWConfig, cross_entropy};

use crate::gpu;
use crate::model::{ImageNet, Images};
use crate::numbers::Failures;

/// What is counted, as the emulator gives it, and how much of it the README's model may ask for with one image: in a
/// forward pass, and in a step of training with AdamW.
const LIMITS: [(&str, u64, u64); 10] = [
    ("launches", 120, 350),
    ("matrix products", 60, 165),
    // The gradient of the loss, which dfdx copies. Targets are the same each time.
    ("copies from the host", 0, 1),
    // The targets, and the norm of the gradients.
    ("copies to the host", 0, 2),
    ("copies on the device", 0, 0),
    ("bytes copied on the device", 0, 0),
    // Each tensor is one allocation, from the driver's pool, and set to zero.
    ("memsets", 135, 500),
    ("allocations", 135, 335),
    ("frees", 135, 335),
    ("synchronisations", 0, 2),
];

perceiver! {
    /// The README's model with fewer and narrower latents, which change no counts.
    struct Narrow {
        input_channels: 3, input_axis: 2, num_freq_bands: 6, max_freq: 10.0, depth: 6, num_latents: 32, latent_dim: 64,
        num_classes: 1000,
    }
}

/// The same with dfdx's cache, which keeps the memory that tensors leave.
fn limits_with_cache() -> [(&'static str, u64, u64); LIMITS.len()] {
    LIMITS.map(|limit| match limit {
        (what @ ("allocations" | "frees"), ..) => (what, 0, 0),
        limit => limit,
    })
}

type Counts = [u64; LIMITS.len()];

/// What the program has asked for until now, if it runs in the emulator.
pub fn counts() -> Option<Counts> {
    unsafe extern "C" {
        fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    const RTLD_NOW: c_int = 2;
    // SAFETY: the names are C strings, and a driver that is there is loaded already.
    let function = unsafe {
        let driver = dlopen(c"libcuda.so.1".as_ptr(), RTLD_NOW);
        if driver.is_null() { driver } else { dlsym(driver, c"emulator_counts".as_ptr()) }
    };
    if function.is_null() {
        return None;
    }
    let mut counts = Counts::default();
    // SAFETY: this is the emulator's function, which writes as many numbers as `Counts` has.
    unsafe {
        let function: unsafe extern "C" fn(*mut u64) = std::mem::transmute(function);
        function(counts.as_mut_ptr());
    }
    Some(counts)
}

/// What `run` asks for, in the emulator.
fn counts_of<R>(run: impl FnOnce() -> R) -> Option<Counts> {
    let before = counts()?;
    run();
    let after = counts()?;
    Some(std::array::from_fn(|i| after[i] - before[i]))
}

macro_rules! within_limits {
    ($Model:ident, $is_cached:literal) => {{
        let gpu = gpu();
        if counts().is_none() {
            println!("not tested: a real GPU does not count");
            return;
        }
        if $is_cached {
            gpu.enable_cache();
        }
        let mut model = gpu.build_module::<$Model, f32>();
        // Large enough for the attention to tokens to be split.
        let images: Images<f32, Cuda> = gpu.sample_normal_like(&(1, 24, 24, Const));
        let targets = gpu.tensor_from_vec(vec![7], (1,));
        // Kernels are loaded before anything is counted, and what a model keeps is made.
        model.forward(images.clone());
        let forward = counts_of(|| model.forward(images.clone())).unwrap();

        let mut optimizer = AdamW::new(&model, AdamWConfig::default()).unwrap();
        let mut gradients = Some(model.alloc_grads());
        let mut step = || {
            let logits = model.forward_mut(images.clone().traced(gradients.take().unwrap()));
            let loss = cross_entropy(logits, &targets).unwrap();
            gradients = Some(optimizer.step(&mut model, loss.backward()).unwrap());
        };
        step();
        let limits = if $is_cached { limits_with_cache() } else { LIMITS };
        assert_within_limits(limits, forward, counts_of(step).unwrap());
    }};
}

#[track_caller]
fn assert_within_limits(
    limits: [(&str, u64, u64); LIMITS.len()],
    forward: Counts,
    training: Counts,
) {
    let mut failures = Failures::default();
    for (i, (what, of_forward, of_training)) in limits.into_iter().enumerate() {
        let found = [("forward", forward[i], of_forward), ("training", training[i], of_training)];
        for (pass, found, limit) in found {
            println!("{pass}: {found} {what}, at most {limit}");
            failures.unless(found <= limit, || format!("{pass}: {found} {what}, limit {limit}"));
        }
    }
    failures.assert_none();
}

#[test]
fn a_step_of_a_narrow_model_stays_within_limits() {
    within_limits!(Narrow, false);
}

#[test]
fn with_a_cache_a_step_of_a_narrow_model_stays_within_limits() {
    within_limits!(Narrow, true);
}

#[test]
fn a_step_at_full_size_stays_within_limits() {
    within_limits!(ImageNet, false);
}

/// Two tables: a launch for each, and two for its gradient.
#[test]
fn embeddings_stay_within_limits() {
    let gpu = gpu();
    if counts().is_none() {
        println!("not tested: a real GPU does not count");
        return;
    }
    let table = |rows| gpu.zeros_like(&(Width::new(rows), Width::new(5)));
    let tables: [Matrix<f32, Cuda>; 2] = [table(7), table(3)];
    let places =
        [3, 2].map(|rows| gpu.tensor_from_vec::<(usize, usize)>(vec![rows - 1; 6], (2, 3)));
    let both = [0, 1].map(|i| (&tables[i], &places[i]));
    let run = || -> (Counts, Counts) {
        let mut record = Record::for_tape::<OwnedTape<f32, Cuda>>();
        let mut y = None;
        let forward = counts_of(|| {
            y = Some(<Cuda as EmbedKernel<f32>>::try_embed(&mut record, &both).unwrap());
        });
        let mut tape = OwnedTape::default();
        record.put_on(&mut tape);
        let loss = y.unwrap().put_tape(tape).try_sum::<Rank0, _>().unwrap();
        let plain: Tensor<_, f32, _> = gpu.zeros_like(&(2, 3, 5));
        let plain = plain.leaky_trace().try_sum::<Rank0, _>().unwrap();
        let of_sum = counts_of(|| plain.backward()).unwrap();
        let backward = counts_of(|| loss.backward()).unwrap();
        (forward.unwrap(), std::array::from_fn(|i| backward[i].saturating_sub(of_sum[i])))
    };
    run();
    let (forward, backward) = run();
    println!("forward: {forward:?}, backward: {backward:?}");
    assert_eq!((forward[0], backward[0]), (2, 4), "launches");
    assert_eq!((forward[2], backward[2]), (0, 0), "copies from the host");
}

/// The averages of all parameters are a launch.
#[test]
fn averages_stay_within_limits() {
    let gpu = gpu();
    if counts().is_none() {
        println!("not tested: a real GPU does not count");
        return;
    }
    let step = |has_average: bool| {
        let mut model = gpu.build_module::<Narrow, f32>();
        let mut optimizer = AdamW::new(&model, AdamWConfig::default()).unwrap();
        if has_average {
            optimizer = optimizer.with_ema(0.9);
        }
        let mut gradients = Some(model.alloc_grads());
        let mut step = || {
            let next = optimizer.step(&mut model, gradients.take().unwrap()).unwrap();
            gradients = Some(next);
        };
        step();
        counts_of(step).unwrap()
    };
    let (without, with) = (step(false), step(true));
    println!("without: {without:?}, with: {with:?}");
    assert_eq!(with[0], without[0] + 1, "launches");
    assert_eq!(with[1..], without[1..]);
}
