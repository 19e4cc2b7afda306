//! Half precision on all devices: `f16` and `AMP<f16>`.
//!
//! A `Cpu` computes in `f32`, with its kernels, and stores in half precision: parameters take half the memory, and
//! computation takes longer than in `f32`. A `Cuda` multiplies in half precision, at which it is fast, and computes
//! all else in `f32`, the sums of the gradients of norms and biases included. Gradients to which several operations
//! contribute are stored in half precision in between.

mod cpu;
mod upcast;

use dfdx::dtypes::{AMP, f16};
use dfdx::prelude::*;

use super::{InF32, InF32Kernel};

/// A half-precision data type.
pub trait Half: Dtype {}

impl Half for f16 {}
impl Half for AMP<f16> {}

macro_rules! in_f32 {
    ($Device:ty: $($E:ty),+) => { $(
        impl InF32Kernel<$E> for $Device {
            fn try_in_f32<S: Shape, Op: InF32<S, Self>, T: Tape<$E, Self>>(
                x: Tensor<S, $E, Self, T>,
                op: Op,
            ) -> Result<Tensor<Op::Output, $E, Self, T>, Self::Err> {
                upcast::try_in_f32(x, op)
            }
        }
    )+ };
}

in_f32!(Cpu: f16, AMP<f16>);
#[cfg(feature = "cuda")]
in_f32!(Cuda: f16, AMP<f16>);
