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
    ("launches", 543, 1_611),
    ("matrix products", 97, 291),
    ("copies from the host", 420, 871),
    ("copies to the host", 0, 0),
    ("copies on the device", 61, 54),
    ("bytes copied on the device", 0, 0),
    ("memsets", 67, 768),
    ("allocations", 732, 2_010),
    ("frees", 732, 2_010),
    ("synchronisations", 0, 0),
];

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

#[test]
fn a_forward_pass_and_a_step_of_training_stay_within_limits() {
    let gpu = gpu();
    if counts().is_none() {
        println!("not tested: a real GPU does not count");
        return;
    }
    let mut model = gpu.build_module::<ImageNet, f32>();
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
    let training = counts_of(step).unwrap();

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
