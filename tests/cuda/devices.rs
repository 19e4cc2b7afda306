//! Several GPUs, or none.

use std::env;
use std::os::unix::fs::symlink;
use std::process::Command;

use perceiver::prelude::*;

use crate::compare::assert_close;
use crate::counts::counts;
use crate::gpu;
use crate::numbers::{backward, numbers, samples, tensor};

perceiver! {
    struct Digits {
        input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8, latent_dim: 32, latent_heads: 2,
        num_classes: 10,
    }
}

/// The logits of a model, and the gradients of its latents.
fn outcome<D: Device<f32>>(model: &Digits<f32, D>) -> [Vec<f64>; 2] {
    let shape = <Rank4<3, 8, 8, 1>>::default();
    let images: Tensor<_, f32, D> = tensor(model.latents.device(), &samples(5, 192), shape);
    let (logits, gradients) = backward(model.forward(images.leaky_trace()));
    [logits, numbers(&gradients.get(&model.latents))]
}

/// Two GPUs take turns on one thread.
#[test]
fn a_model_moves_between_gpus() {
    let first = gpu();
    if perceiver::cuda::count().unwrap() < 2 {
        println!("not tested: there is one GPU");
        return;
    }
    let second = perceiver::cuda::device(1).unwrap();
    let on_cpu = Cpu::seed_from_u64(9).build_module::<Digits, f32>();
    let on_first = on_cpu.to_device(&*first);
    let on_second = on_first.to_device(&second);
    let back = on_second.to_device(&*first);
    let expected = outcome(&on_cpu);
    for _ in 0..2 {
        for (name, model) in [("first", &on_first), ("second", &on_second), ("back", &back)] {
            for (found, expected) in outcome(model).iter().zip(&expected) {
                assert_close(name, found, expected, 1e-3);
            }
        }
    }
}

/// Runs a test of this program where something is missing.
#[test]
fn an_error_says_what_is_missing() {
    if counts().is_none() {
        println!("not tested: only the emulator can be taken away");
        return;
    }
    let message = |name: &str, value: &str| {
        let mut program = Command::new(env::current_exe().unwrap());
        let test = program.args(["--exact", "model::a_gpu_that_is_not_there_is_an_error"]);
        let output = test.env(name, value).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let libraries = folder.path().to_str().unwrap();
    let without_driver = message("LD_LIBRARY_PATH", libraries);
    assert!(without_driver.contains("there is no NVIDIA driver"), "{without_driver}");

    let path = env::var_os("LD_LIBRARY_PATH").unwrap();
    let emulator = env::split_paths(&path).find(|path| path.join("libcuda.so.1").exists()).unwrap();
    symlink(emulator.join("libcuda.so.1"), folder.path().join("libcuda.so.1")).unwrap();
    symlink(emulator.join("libcublas.so.13"), folder.path().join("libcublas.so.13")).unwrap();
    let without_nvrtc = message("LD_LIBRARY_PATH", libraries);
    assert!(without_nvrtc.contains("dfdx cannot compile kernels for it"), "{without_nvrtc}");

    let without_gpu = message("EMULATOR_GPUS", "0");
    assert!(without_gpu.contains("the NVIDIA driver has no GPU to use"), "{without_gpu}");
}
