//! What has to hold on a GPU. README.md beside this file says how to run it, also where there is none; without a GPU and
//! the emulator, every test fails and says so.

#[macro_use]
#[path = "../parity/cases.rs"]
mod cases;
#[path = "../compare/mod.rs"]
mod compare;
mod counts;
mod devices;
mod dropout;
mod family;
#[cfg(feature = "f16")]
mod half;
mod kernels;
mod masks;
mod memory;
mod model;
#[path = "../inputs/numbers.rs"]
mod numbers;
#[path = "../inputs/parts.rs"]
mod parts;
mod views;

use std::fs;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use perceiver::prelude::*;

use cases::{Tolerance, assert_state_dict};

/// The GPU, for one test at a time: its memory is part of what is tested. Each test makes the device anew, since dfdx's
/// stays on the thread that made it.
struct Gpu {
    device: Cuda,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Gpu {
    type Target = Cuda;

    fn deref(&self) -> &Cuda {
        &self.device
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // dfdx does not free what its cache has when a device is dropped.
        let _ = self.device.try_disable_cache();
    }
}

fn gpu() -> Gpu {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match perceiver::cuda::device(0) {
        Ok(device) => {
            if std::env::var_os("CUDA_TESTS_CACHE").is_some() {
                device.enable_cache();
            }
            Gpu { device, _turn: turn }
        }
        Err(error) => panic!("these tests need a GPU: {error}"),
    }
}

#[test]
fn parts_of_checkpoints_load() {
    parts::assert_parts_load(&*gpu());
}

const TOLERANCE: Tolerance = Tolerance { forward: 1e-3, gradients: 1e-3, step: 1e-3 };

macro_rules! parity {
    ($($case:ident)*) => { $(
        mod $case {
            use super::*;
            use cases::$case::{CHECKPOINT, Model, assert_parity, model};

            #[test]
            fn in_f32() {
                let gpu = gpu();
                assert_parity(model(&*gpu), &*gpu, TOLERANCE);
            }

            #[test]
            fn in_f64() {
                let gpu = gpu();
                assert_parity(model(&*gpu).to_dtype::<f64>(), &*gpu, TOLERANCE);
            }

            #[test]
            fn checkpoints_move_between_devices() {
                let gpu = gpu();
                let [from_gpu, from_cpu, back] = [(); 3].map(|()| cases::file(&[]));
                model(&*gpu).save_checkpoint(&from_gpu).unwrap();
                assert_state_dict(from_gpu.path(), CHECKPOINT);

                let mut on_cpu = Cpu::default().build_module::<Model, f32>();
                on_cpu.load_checkpoint(&from_gpu).unwrap();
                on_cpu.save_checkpoint(&from_cpu).unwrap();
                let mut on_gpu = gpu.build_module::<Model, f32>();
                on_gpu.load_checkpoint(&from_cpu).unwrap();
                on_gpu.save_checkpoint(&back).unwrap();
                let bytes = fs::read(&from_gpu).unwrap();
                assert!(fs::read(&from_cpu).unwrap() == bytes, "the CPU's file differs");
                assert!(fs::read(&back).unwrap() == bytes, "the GPU's second file differs");
            }
        }
    )* };
}

each_case!(parity);
