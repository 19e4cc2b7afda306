//! Too little memory on the GPU.

use perceiver::ForwardError;
use perceiver::prelude::*;

use crate::gpu;
use crate::model::{ImageNet, Images, Small};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Tensors that leave less memory than `smallest` for others; the last of them, several, are that small.
fn ballast(gpu: &Cuda, smallest: usize) -> Vec<Tensor<(usize,), u8, Cuda>> {
    let mut ballast = Vec::new();
    let sizes = [16_384 * MIB, 2_048 * MIB, 256 * MIB, 16 * MIB, 4 * MIB, 512 * KIB, 64 * KIB];
    for size in sizes.into_iter().filter(|size| *size >= smallest) {
        while let Ok(tensor) = gpu.try_zeros_like(&(size,)) {
            ballast.push(tensor);
        }
        // In place of the last one there are several of the next size.
        if size > smallest {
            ballast.pop();
            gpu.empty_cache();
        }
    }
    ballast
}

/// Calls `run` with more and more memory, until it gives something; gives that, and how often it failed.
fn until_there_is_enough<T>(
    gpu: &Cuda,
    smallest: usize,
    mut run: impl FnMut() -> Result<T, CudaError>,
) -> (T, usize) {
    // What a cache may have is enough.
    gpu.empty_cache();
    let mut ballast = ballast(gpu, smallest);
    let mut failures = 0;
    loop {
        match run() {
            Ok(value) => return (value, failures),
            Err(error) => {
                let message = error.to_string();
                let expected = ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED"];
                assert!(expected.iter().any(|e| message.contains(e)), "{message}");
                failures += 1;
                assert!(ballast.pop().is_some(), "{error}, with all memory free");
                // If there is a cache, it keeps what that was.
                gpu.empty_cache();
            }
        }
    }
}

macro_rules! tests {
    ($name:ident, $Model:ident, $size:literal, $smallest:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn a_forward_pass_gives_an_error_and_the_model_stays_usable() {
                let gpu = gpu();
                let model = gpu.build_module::<$Model, f32>();
                let images: Images<f32, Cuda> = gpu.sample_normal_like(&(1, $size, $size, Const));
                let expected = model.forward(images.clone()).as_vec();
                let (logits, failures) = until_there_is_enough(&gpu, $smallest, || {
                    model.try_forward(images.clone()).map_err(|error| match error {
                        ForwardError::Device(error) => error,
                        other => panic!("{other}"),
                    })
                });
                assert!(failures > 1, "it never failed");
                assert_eq!(logits.as_vec(), expected);
            }

            #[test]
            fn a_backward_pass_gives_an_error_and_the_model_stays_usable() {
                let gpu = gpu();
                let model = gpu.build_module::<$Model, f32>();
                let images: Images<f32, Cuda> = gpu.sample_normal_like(&(1, 64, 64, Const));
                let backward = || {
                    let logits = model.try_forward(images.leaky_trace());
                    let logits = logits.map_err(|error| match error {
                        ForwardError::Device(error) => error,
                        other => panic!("{other}"),
                    })?;
                    logits.try_square()?.try_sum::<Rank0, _>()?.try_backward()
                };
                let expected = backward().unwrap().get(&images).as_vec();
                let (gradients, failures) = until_there_is_enough(&gpu, $smallest, backward);
                assert!(failures > 1, "it never failed");
                let found = gradients.get(&images).as_vec();
                // Sums run in any order on a GPU.
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() <= 1e-3, "{found} is not {expected}");
                }
            }
        }
    };
}

tests!(full_size, ImageNet, 224, 4 * MIB);
tests!(small, Small, 40, 64 * KIB);
