//! What a forward pass and a step of training ask of the device. The emulator counts it; a real GPU does not say.

#![allow(unsafe_code)] // looks up the emulator's function

use std::ffi::{c_char, c_int, c_void};

use perceiver::prelude::*;
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
    ("memsets", 145, 540),
    ("allocations", 145, 380),
    ("frees", 145, 380),
    ("synchronisations", 0, 2),
];

perceiver! {
    /// The README's model with fewer and narrower latents, which change no counts.
    struct Narrow {
        input_channels: 3, input_axis: 2, num_freq_bands: 6, max_freq: 10.0, depth: 6, num_latents: 32, latent_dim: 64,
        num_classes: 1000,
    }
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
    ($Model:ident) => {{
        let gpu = gpu();
        if counts().is_none() {
            println!("not tested: a real GPU does not count");
            return;
        }
        let mut model = gpu.build_module::<$Model, f32>();
        let images: Images<f32, Cuda> = gpu.sample_normal_like(&(1, 8, 8, Const));
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
        assert_within_limits(forward, counts_of(step).unwrap());
    }};
}

#[track_caller]
fn assert_within_limits(forward: Counts, training: Counts) {
    let mut failures = Failures::default();
    for (i, (what, of_forward, of_training)) in LIMITS.into_iter().enumerate() {
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
    within_limits!(Narrow);
}

#[test]
fn a_step_at_full_size_stays_within_limits() {
    within_limits!(ImageNet);
}
