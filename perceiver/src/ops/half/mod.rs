//! Devices for numbers of half precision, `f16` and `AMP<f16>`.
//!
//! A `Cpu` computes in `f32`, with its kernels, and stores in half precision. A `Cuda` multiplies in half precision,
//! which it is fast at, and sums up in `f32`.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod wide;

use dfdx::dtypes::{AMP, Dtype, f16};
pub(crate) use wide::set_gradient;

/// A number of half precision.
pub trait Half: Dtype {}

impl Half for f16 {}
impl Half for AMP<f16> {}
