//! Declare a Perceiver ([Jaegle et al. 2021](https://arxiv.org/abs/2103.03206)) in Rust source and get a
//! dfdx module whose tensor shapes the compiler checks.
//!
//! ```
//! use perceiver::prelude::*;
//!
//! perceiver! {
//!     /// Handwritten digits, 8 × 8 grey values.
//!     pub struct Digits {
//!         input_shape: [8, 8, 1],
//!         num_freq_bands: 4,
//!         max_freq: 8.0,
//!         depth: 2,
//!         num_latents: 16,
//!         latent_dim: 32,
//!         latent_heads: 4,
//!         latent_dim_head: 8,
//!         num_classes: 10,
//!     }
//! }
//!
//! let dev = Cpu::default();
//! let model = dev.build_module::<Digits, f32>();
//! let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
//! let logits: Tensor<Rank2<5, 10>, f32, _> = model.forward(images);
//! assert_eq!(model.num_trainable_params(), Digits::PARAMETERS);
//! ```
//!
//! - [`perceiver!`] is the declaration: its keys, their defaults, and what it makes.
//! - [`nn`] has the layers, to be used by hand.
//! - [`ops`] has the device trait: the operations that a device may have a kernel of its own for.
//! - `mixed`, with the feature `f16`, is for training in mixed precision.
//! - `cuda`, with the feature `cuda`, gives a GPU, or an error that says what is missing.
//! - [`checkpoint`] has the errors of `save_checkpoint` and `load_checkpoint`.

pub mod checkpoint;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod dims;
mod error;
#[macro_use]
mod ranges;
mod keys;
#[cfg(feature = "f16")]
pub mod mixed;
pub mod nn;
pub mod ops;
mod summary;

pub use dfdx;
pub use error::ForwardError;
pub use ops::Device;
pub use summary::{Part, Summary};

/// Declares a Perceiver.
///
#[doc = include_str!("declaration.md")]
#[doc = include_str!("keys.md")]
#[macro_export]
macro_rules! perceiver {
    ($($declaration:tt)*) => {
        $crate::__private::declare! { $crate; $($declaration)* }
    };
}

/// What a program that declares a model needs: [`perceiver!`](crate::perceiver!) and all of dfdx's
/// prelude.
///
/// `Device` is this crate's [`Device`], which is dfdx's with the Perceiver's operations, so
/// that code over any device can call a declared model.
pub mod prelude {
    pub use crate::{Device, perceiver};
    pub use dfdx::prelude::*;
}

/// What the expansion of `perceiver!` refers to. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use core::convert::AsRef;
    pub use core::option::Option;
    pub use core::primitive::{f32, f64, usize};
    pub use core::result::Result::{self, Ok};
    pub use std::path::Path;

    pub use dfdx::nn::modules::Repeated;
    pub use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection, TensorOptions};
    pub use dfdx::nn::{BuildOnDevice, Module, ModuleMut};
    pub use dfdx::shapes::{Const, Dim, Dtype, Rank2};
    pub use dfdx::tensor::{Cpu, Storage, Tape, Tensor};
    pub use dfdx::tensor_ops::Device as TensorDevice;
    pub use perceiver_macros::declare;

    pub use crate::checkpoint::{self, CheckpointDtype, CheckpointError};
    pub use crate::keys::{Keys, ranges};
    pub use crate::nn::declared::*;
    pub use crate::nn::{
        Dropout, FourierFeatures, Layer, Sizes, ToLogits, reset_to_normal, try_iterate,
    };
    pub use crate::{Device, ForwardError, Summary};

    /// How many layers have weights of their own.
    #[must_use]
    pub const fn stored_layers(depth: usize, tied: bool) -> usize {
        if tied && depth > 2 { 2 } else { depth }
    }

    /// The width of a token with its position encoding.
    #[must_use]
    pub const fn input_dim(channels: usize, axes: usize, bands: usize, encoded: bool) -> usize {
        if encoded {
            channels + axes * (2 * bands + 1)
        } else {
            channels
        }
    }

    /// A size of `input_shape`.
    #[must_use]
    pub const fn size_at<const N: usize>(shape: Option<[usize; N]>, index: usize) -> usize {
        match shape {
            Some(shape) => shape[index],
            None => 0,
        }
    }

    /// `forward` is `try_forward` that panics, with the error's own words.
    #[track_caller]
    pub fn or_panic<T, Err: core::fmt::Debug + core::fmt::Display>(
        result: Result<T, ForwardError<Err>>,
    ) -> T {
        match result {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The code in the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
