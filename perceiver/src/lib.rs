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
//! # Where to look
//!
//! - [`guide`] leads from a first model to training on many machines.
//! - [`perceiver!`] documents declarations: their keys, the defaults, and what is generated.
//! - [`presets`] has published models, which load their checkpoints unchanged.
//! - [`train`] has losses, an optimizer, schedules, batches and a training loop, which work for any dfdx module.
//! - [`checkpoint`] has the options, reports and errors of saving and loading models.
//! - [`generate`] has the settings with which a language model continues a text.
//! - `mixed` (feature `f16`) trains in mixed precision.
//! - `cuda` (feature `cuda`) returns a GPU device, or an error that says what is missing.
//!
//! For models that no declaration describes:
//!
//! - [`spec`] describes a model and [`model`] implements it: together they make a model written by hand.
//! - [`input`], [`position`] and [`nn`] are the building blocks.
//! - [`ops`] has the operations, each a trait that a device with kernels of its own implements.
//!
//! # Features
//!
//! No feature is on by default.
//!
//! - `cuda`: dfdx's `Cuda` device. To build it, `nvcc` and `nvidia-smi` are needed.
//! - `f16`: half precision, dfdx's `f16` and `AMP<f16>`, and the module `mixed`.
//! - `terminal`: a progress bar for [`Trainer`](train::Trainer), and a stop at ctrl-C that saves first.
//! - `mpi`: `train::distributed`, training in several processes. It needs an MPI library and libclang.
//! - `ci-check`: type-checks `cuda` without the CUDA toolkit. Such a build cannot run.
//!
//! # Libraries of models
//!
//! A crate that declares models for others should re-export this one, so that its users need no dependency on `perceiver`
//! themselves, and always have the version that the models were built with:
//!
//! ```
//! pub use perceiver;
//!
//! perceiver::perceiver! {
//!     /// Points of a cloud, without an order.
//!     pub struct Cloud { input: Tokens(3), depth: 1, num_latents: 8, latent_dim: 16, output: MeanPool(5) }
//! }
//! ```
//!
//! They then write `use your_models::{Cloud, perceiver::prelude::*};`.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod checkpoint;
pub(crate) mod cost;
#[cfg(feature = "cuda")]
pub mod cuda;
mod declare;
mod error;
pub mod generate;
#[doc = include_str!("guide.md")]
pub mod guide {}
pub mod input;
#[cfg(feature = "f16")]
pub mod mixed;
pub mod model;
pub mod nn;
pub mod ops;
pub mod position;
pub mod presets;
pub mod spec;
mod summary;
pub mod train;

pub use cost::Cost;
pub use dfdx;
pub use error::{ForwardError, WrongSize};
#[doc(inline)]
pub use ops::{Device, WeightPrecision};
pub use summary::{Part, Summary};

/// Declares a Perceiver, or several: structs whose fields are the settings of a model become dfdx modules.
///
#[doc = include_str!("declaration.md")]
#[doc = include_str!("keys.md")]
#[macro_export]
macro_rules! perceiver {
    ($($declaration:tt)*) => {
        $crate::__private::declare! { $crate; $($declaration)* }
    };
}

/// Everything needed to declare and run a model: [`perceiver!`](crate::perceiver!) and all of dfdx's prelude.
///
/// `Device` is this crate's [`Device`], which extends dfdx's trait of this name by the operations of a Perceiver: code
/// that is generic over the device needs it to call a declared model.
pub mod prelude {
    #[doc(hidden)]
    pub use crate::declare::traced::Backward as _;
    pub use crate::{Device, perceiver};
    pub use dfdx::prelude::*;
    /// dfdx's own trait `Device`, under another name: what `TensorCollection` and `BuildOnDevice` require of the device, for
    /// modules of your own that contain a declared model.
    pub use dfdx::tensor_ops::Device as TensorDevice;
}

/// Used by the expansion of `perceiver!`. Not public API, as all that is hidden in the documentation: it can change in any
/// release, also in a patch. Crates are still compatible by semver, since this one and the macro's are released together and need
/// each other in exactly this version.
#[doc(hidden)]
pub mod __private {
    pub use core::option::Option;
    pub use core::primitive::{bool, f32, f64, str, u64, usize};
    pub use core::result::Result::{self, Ok};
    pub use std::iter::IntoIterator;
    pub use std::ops::{Deref, DerefMut};
    pub use std::vec;
    pub use std::vec::Vec;

    pub use dfdx::nn::tensor_collection::{ModuleVisitor, TensorCollection};
    pub use dfdx::nn::{BuildOnDevice, Module, ModuleMut};
    pub use dfdx::shapes::{Const, Dtype};
    pub use dfdx::tensor::{Cpu, Storage, Tensor};
    pub use dfdx::tensor_ops::Device as TensorDevice;
    pub use perceiver_macros::declare;

    pub use crate::__causal_methods as causal_methods;
    pub use crate::__costs as costs;
    pub use crate::__module as module;
    pub use crate::declare::accepts::*;
    pub use crate::declare::maps::{AnyAxes, AttentionMap, MapAxes, try_attention};
    pub use crate::declare::queries::GivenQueries;
    pub use crate::declare::{Count, check, expect_forward, ide, points, size_at, token_dim};
    pub use crate::input::{
        Grid, GridSpec, JoinTapes, Modalities, Modality, ModalityInput, Stem, Text, TextSpec,
        Unmasked,
    };
    pub use crate::model::{
        Beside, CausalInput, ClassQuery, Given, Latents as LatentsOutput, Learned, Logits,
        MeanPool, Modalities as ModalitiesOutput, NoProjection, OfGrid, OfInput, OutputModality,
        OutputQueries, Outputs, Perceiver, PerceiverAr, Project, ProjectEmbedding, Queries,
        QueryGrid,
    };
    pub use crate::position::{Fourier, MaxFreq, Position};
    pub use crate::spec::{
        Activation, AttentionBias, BlockShape, CausalSpec, Dropout, Family, Heads, Mlp, Share,
        Softmax, Spec,
    };
    pub use crate::{Cost, Device, ForwardError};
}

/// Runs the code in the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
