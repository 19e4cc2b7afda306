//! The operations that determine the speed of a Perceiver.
//!
//! Each operation has a folder with its kernel trait, its reference implementation in dfdx's own operations, which
//! every device can run and which is the trait's default, its kernels for dfdx's `Cpu` in `f32` and for `Cuda`, and the
//! test of one against the other. [`Device`] combines all of their traits.
//!
//! Dimensions are run-time sizes here, and gradients go to a [`Record`], so that nothing is compiled again for another
//! model or another tape.
//!
//! The kernels for the `Cpu` choose their instruction set at run time (AVX2, AVX-512, NEON, or none), so a plain
//! `cargo build --release` is fast. Half precision is stored as such and computed in `f32`.
//!
//! The kernels for `Cuda`, in all of dfdx's floating-point data types, are CUDA C++ that NVRTC compiles when one is first
//! used. Attention keeps no scores, nor dropout its choices. A forward pass of the README's model makes at most 120 launches
//! and 60 matrix products, and copies nothing between host and GPU. What is left to dfdx's own operations is rare or small: inverted
//! attention, heads wider than 1,024, patches and convolutions, batch norm, concatenation, and the selection of queries.
//!
//! # Threads
//!
//! Kernels run on as many threads as rayon is set to, `RAYON_NUM_THREADS` or the number of cores. The calling thread is one of
//! them. The others are the library's own, which only compute, and help one caller at a time: a server may call one
//! model from many threads at once, which then have a core each. A thread that is in a rayon pool has the threads of that pool
//! instead, so that `pool.install(|| model.forward(x))` limits them, or sets them.
//!
//! Each thread keeps up to 128 MiB that it has computed with, for the next time; [`free_memory`] frees it.
//!
//! dfdx does not expose a tensor's elements as a slice, so the kernels copy what they read. The weights of a model that
//! was prepared for inference are laid out for the kernels instead. The only unsafe code is a prefetch instruction,
//! a call for machines with AVX-512 VNNI, and the lifetime of what is passed to another thread.

mod adam;
mod attention;
mod batch_norm;
mod cache;
mod concat;
pub(crate) mod context;
#[cfg(test)]
pub(crate) mod counted;
pub(crate) mod cpu;
mod cross_entropy;
#[cfg(feature = "cuda")]
mod cuda;
mod elementwise;
pub(crate) mod embed;
pub(crate) mod feed_forward;
mod flatten;
#[cfg(feature = "f16")]
mod half;
mod in_f32;
mod layer_norm;
mod linear;
mod mask;
mod mean;
mod over_depth;
mod patches;
mod random;
mod record;
mod repeat;
mod replace;
mod residual;
mod rotary;
mod select;
mod weight;

pub use adam::{AdamKernel, AdamStep};
pub use attention::{Attend, AttentionKernel};
pub(crate) use attention::{AttentionWeights, weights as attention_weights};
pub(crate) use batch_norm::{BatchNormParameters, batch_norm};
pub use cache::{CacheKernel, Copied, CpuCache};
pub(crate) use concat::{append_features, concat, concat_all, concat_channels, constant};
pub use context::{ContextKernel, CpuContext, CrossParameters, Dense, Positioned};
pub use cpu::free_memory;
pub use cross_entropy::CrossEntropyKernel;
pub(crate) use elementwise::{relu, scale};
pub use embed::{EmbedKernel, Places};
pub use feed_forward::{FeedForwardKernel, FeedForwardParameters};
pub use flatten::{AnyRank, FlattenKernel};
pub use in_f32::{InF32, InF32Kernel};
pub use layer_norm::LayerNormKernel;
pub use linear::LinearKernel;
pub use mask::Mask;
pub(crate) use mask::{concat_masks, flags, mask_of_joined};
pub use mean::MeanKernel;
pub(crate) use over_depth::{mean_over_depth, rms_norm};
pub(crate) use patches::{Window, gather, largest, patches, places, windows};
pub(crate) use random::order;
pub use random::with_dropout_seed;
pub use record::Record;
pub(crate) use record::{Updates, with_tape};
pub use repeat::RepeatKernel;
pub(crate) use repeat::{for_each_item, repeat_row};
pub(crate) use replace::replace_at_random;
pub use residual::ResidualKernel;
pub(crate) use rotary::frequencies;
pub use rotary::{Angles, RotaryKernel};
pub(crate) use select::{Selection, select};
pub use weight::{Weight, WeightPrecision};

use dfdx::prelude::*;

use crate::error::WrongSize;
use crate::spec::Width;

/// Rows of numbers, `(batch, rows, width)`.
pub type Rows<E, D, T = NoneTape> = Tensor<(usize, usize, usize), E, D, T>;

/// A parameter, `(rows, columns)`.
pub type Matrix<E, D> = Tensor<(Width, Width), E, D>;

/// A parameter, `(size,)`.
pub type Vector<E, D> = Tensor<(Width,), E, D>;

/// A device that can run a Perceiver, such as dfdx's `Cpu` and `Cuda`: dfdx's trait of this name, and one for each operation
/// of a model.
///
/// It is the bound that code needs which is generic over the device:
///
/// ```
/// use perceiver::prelude::*;
///
/// perceiver! { struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_classes: 10 } }
///
/// fn logits<D: Device<f32>>(
///     model: &Digits<f32, D>,
///     images: Tensor<Rank4<5, 8, 8, 1>, f32, D>,
/// ) -> Tensor<Rank2<5, 10>, f32, D> {
///     model.forward(images)
/// }
/// ```
///
/// It is implemented for every type that implements these traits. Another device of dfdx implements each without methods to
/// use dfdx's own operations, or with kernels of its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` must implement `perceiver::Device<{E}>` to run a Perceiver",
    label = "`{Self}: perceiver::Device<{E}>` is required; dfdx's `Device` is not sufficient"
)]
pub trait Device<E: Dtype>:
    dfdx::tensor_ops::Device<E>
    + HasErr<Err: WrongSize>
    + AdamKernel<E>
    + AttentionKernel<E>
    + CacheKernel<E>
    + ContextKernel<E>
    + CrossEntropyKernel<E>
    + EmbedKernel<E>
    + FeedForwardKernel<E>
    + FlattenKernel<E>
    + LayerNormKernel<E>
    + LinearKernel<E>
    + MeanKernel<E>
    + RepeatKernel<E>
    + ResidualKernel<E>
    + RotaryKernel<E>
{
}

#[diagnostic::do_not_recommend]
impl<E: Dtype, D> Device<E> for D where
    D: dfdx::tensor_ops::Device<E>
        + HasErr<Err: WrongSize>
        + AdamKernel<E>
        + AttentionKernel<E>
        + CacheKernel<E>
        + ContextKernel<E>
        + CrossEntropyKernel<E>
        + EmbedKernel<E>
        + FeedForwardKernel<E>
        + FlattenKernel<E>
        + LayerNormKernel<E>
        + LinearKernel<E>
        + MeanKernel<E>
        + RepeatKernel<E>
        + ResidualKernel<E>
        + RotaryKernel<E>
{
}

/// The bounds of every kernel trait.
pub trait KernelDevice<E: Dtype>:
    dfdx::tensor_ops::Device<E> + HasErr<Err: WrongSize> + InF32Kernel<E>
{
}

#[diagnostic::do_not_recommend]
impl<E: Dtype, D> KernelDevice<E> for D where
    D: dfdx::tensor_ops::Device<E> + HasErr<Err: WrongSize> + InF32Kernel<E>
{
}

/// Implements an operation's trait with its reference implementation on the `Cpu` in `f64`: what kernels are tested against.
macro_rules! plain_in_f64 {
    ($Trait:ident $(, $methods:path)?) => {
        impl $Trait<f64> for Cpu {
            $($methods!(f64);)?
        }
    };
}
use plain_in_f64;

/// Converts the dimensions of a tensor to run-time sizes; the result shares its gradient.
pub(crate) fn untyped<S, N, E, D: Storage<E>>(x: Tensor<S, E, D>) -> Tensor<N, E, D>
where
    S: Shape,
    N: Shape<Concrete = S::Concrete>,
{
    match x.try_realize::<N>() {
        Ok(x) => x,
        Err(_) => unreachable!("every dimension can be a run-time size"),
    }
}

/// Converts the dimensions of a tensor to types, and adds a tape; the result shares its gradient.
pub(crate) fn typed<S, N, E: Dtype, D, T>(
    x: Tensor<N, E, D>,
    tape: T,
) -> Result<Tensor<S, E, D, T>, D::Err>
where
    S: Shape,
    N: Shape<Concrete = S::Concrete>,
    D: KernelDevice<E>,
{
    match x.try_realize::<S>() {
        Ok(x) => Ok(x.put_tape(tape)),
        Err(_) => Err(D::Err::wrong_size()),
    }
}

/// Replaces the gradient of `x`. dfdx cannot turn a tensor into a gradient, but the gradient of the sum of
/// `x · gradient` is `gradient`.
pub(crate) fn set_gradient<S: Shape, E: Dtype, D: dfdx::tensor_ops::Device<E>>(
    gradients: &mut Gradients<E, D>,
    x: &Tensor<S, E, D>,
    gradient: Tensor<S, E, D>,
) -> Result<(), D::Err> {
    let count = x.shape().num_elements();
    let mut made = x
        .clone()
        .put_tape(OwnedTape::default())
        .try_mul(gradient)?
        .try_reshape_like(&(count,))?
        .try_sum::<Rank0, _>()?
        .try_backward()?;
    std::mem::swap(gradients.get_or_alloc_mut(x)?, made.get_or_alloc_mut(x)?);
    Ok(())
}

/// Returns an error unless sizes that are known only at run time match.
pub(crate) fn check<Err: WrongSize>(sizes_fit: bool) -> Result<(), Err> {
    if sizes_fit { Ok(()) } else { Err(Err::wrong_size()) }
}

/// A parameter as dfdx's operations accept it, without a tape.
pub(crate) fn matrix<E: Dtype, D: Storage<E>>(
    parameter: &Matrix<E, D>,
) -> Tensor<(usize, usize), E, D> {
    untyped(parameter.clone())
}

/// A parameter as dfdx's operations accept it, without a tape.
fn vector<E: Dtype, D: Storage<E>>(parameter: &Vector<E, D>) -> Tensor<(usize,), E, D> {
    untyped(parameter.clone())
}
