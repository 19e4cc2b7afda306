//! Devices for numbers of half precision, `f16` and `AMP<f16>`.
//!
//! A `Cpu` computes in `f32`, with its kernels, and stores in half precision: that takes half the memory for parameters,
//! and more time than `f32`. A `Cuda` multiplies in half precision, which it is fast at, and makes softmax, norms and
//! means in `f32`; gradients of biases, and whatever several operations add to one gradient, are sums of dfdx's.

mod cpu;
mod wide;

use dfdx::dtypes::{AMP, Dtype, f16};
pub(crate) use wide::set_gradient;
#[cfg(feature = "cuda")]
pub(super) use wide::try_accumulate;

/// A number of half precision.
pub trait Half: Dtype {}

impl Half for f16 {}
impl Half for AMP<f16> {}
