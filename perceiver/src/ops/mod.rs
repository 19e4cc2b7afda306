//! The operations that decide how fast a Perceiver is, behind one device trait.
//!
//! An operation is a folder: what it computes, its plain form in dfdx's own operations, which every device can run, its
//! kernel for dfdx's `Cpu` in `f32`, and the test of one against the other. A device that has something faster overrides
//! the method of [`Device`].
//!
//! The kernels choose their instructions when the program runs (AVX2, AVX-512, NEON, or none), so a plain
//! `cargo build --release` is fast. They run on as many threads as rayon is set to (`RAYON_NUM_THREADS`, or a pool that
//! the caller is in); the first thread of a program that calls them becomes one of these, for good, so that it works
//! instead of waiting. It has a pool of its own then: what that thread hands to `rayon::spawn` runs there, and a job of
//! its own may run on it during a forward pass, so no lock that such a job takes may be held meanwhile. A program that
//! wants none of this calls a model inside `pool.install`. Half precision is stored as such and computed in `f32`.
//!
//! dfdx shows nobody a view of a tensor's numbers, so the kernels copy what they read, about a twentieth of the time of
//! a forward pass. The one place with unsafe code is the call of the matrix product.

mod accumulation;
mod attention;
mod context;
mod cpu;
mod feed_forward;
#[cfg(feature = "f16")]
mod half;
mod layer_norm;
mod linear;

use std::fmt::Debug;

pub use accumulation::Accumulation;
pub(crate) use accumulation::{Mean, Normalize};
pub use attention::{AttentionOptions, KeyValue};
pub use context::{CpuContext, Dense, Positioned};
pub use feed_forward::FeedForwardParameters;
#[cfg(feature = "f16")]
pub(crate) use half::set_gradient;

use dfdx::{
    shapes::{Dim, Dtype, Shape},
    tensor::{Cpu, CpuError, Tape, Tensor},
};

use crate::dims::{GatedWidth, Inner};

/// A device that can run a Perceiver: any device of dfdx. What it has no kernel for it does with dfdx's
/// operations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has to be a `perceiver::Device<{E}>` to run a Perceiver",
    label = "`{Self}: perceiver::Device<{E}>` is missing, which dfdx's `Device` is not enough for"
)]
pub trait Device<E: Dtype>: dfdx::tensor_ops::Device<E> {
    /// What the device keeps of tokens, made once for all layers that attend to them.
    type Context: Clone + Debug;

    /// `x · weightᵀ + bias` over the last axis: `(batch, tokens, I)` to `(batch, tokens, O)`, with a weight
    /// `(O, I)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_linear<B: Dim, L: Dim, I: Dim, O: Dim, T: Tape<E, Self>>(
        x: Tensor<(B, L, I), E, Self, T>,
        weight: &Tensor<(O, I), E, Self>,
        bias: Option<&Tensor<(O,), E, Self>>,
    ) -> Result<Tensor<(B, L, O), E, Self, T>, Self::Err> {
        linear::plain(x, weight, bias)
    }

    /// `(x - mean) / √(variance + 1e-5) · weight + bias` over the last axis of `(batch, tokens, C)`, with
    /// the biased variance.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_layer_norm<B: Dim, L: Dim, C: Dim, T: Tape<E, Self>>(
        x: Tensor<(B, L, C), E, Self, T>,
        weight: &Tensor<(C,), E, Self>,
        bias: &Tensor<(C,), E, Self>,
    ) -> Result<Tensor<(B, L, C), E, Self, T>, Self::Err> {
        layer_norm::plain(x, weight, bias)
    }

    /// `contract(value · gelu(gate))`, where `(value, gate)` are the halves of `expand(x)`: GEGLU, with
    /// the exact gelu. Takes and gives `(batch, tokens, I)`.
    ///
    /// # Errors
    /// If the parameters are not of one hidden width, known only when the program runs, or the device runs out of memory.
    fn try_feed_forward<B: Dim, L: Dim, I: Dim, G: GatedWidth<H>, H: Dim, T: Tape<E, Self>>(
        x: Tensor<(B, L, I), E, Self, T>,
        parameters: &FeedForwardParameters<'_, I, G, H, E, Self>,
    ) -> Result<Tensor<(B, L, I), E, Self, T>, Self::Err> {
        feed_forward::plain(x, parameters)
    }

    /// `softmax(query · keyᵀ / √dim_head) · value` for each head; section 3.1 and appendix C of the
    /// paper.
    ///
    /// `query` is `(batch, queries, heads · dim_head)`, and what is returned has its shape. `key_value` is
    /// `(batch, tokens, 2 · heads · dim_head)`: keys, then values. Heads lie side by side in both. The gradient
    /// of `key_value` goes to the tape of `query`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_attention<B, L, M, const HEADS: usize, const DIM_HEAD: usize, T>(
        query: Tensor<(B, L, Inner<HEADS, DIM_HEAD>), E, Self, T>,
        key_value: Tensor<(B, M, KeyValue<HEADS, DIM_HEAD>), E, Self>,
        options: &AttentionOptions<B, M, E, Self>,
    ) -> Result<Tensor<(B, L, Inner<HEADS, DIM_HEAD>), E, Self, T>, Self::Err>
    where
        B: Dim,
        L: Dim,
        M: Dim,
        T: Tape<E, Self>,
    {
        attention::plain(query, key_value, options)
    }

    /// Makes tokens ready to be attended to: encoded and normalised. With `whole`,
    /// [`dense`](Self::dense) will give all of them.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_context<T: Tape<E, Self>>(
        tokens: Positioned<E, Self, T>,
        whole: bool,
    ) -> Result<(Self::Context, T), Self::Err>;

    /// The normalised tokens of a context, if it has them as such. If not, then only
    /// [`try_attend`](Self::try_attend) can do something with it.
    fn dense(context: &Self::Context) -> Option<&Dense<E, Self>>;

    /// `softmax(query · x̂ᵀ) · x̂` with x̂ the normalised tokens of a context. Takes and gives
    /// `(batch, queries, width of a token)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_attend<T: Tape<E, Self>>(
        query: Tensor<(usize, usize, usize), E, Self, T>,
        context: &Self::Context,
    ) -> Result<Tensor<(usize, usize, usize), E, Self, T>, Self::Err>;

    /// Runs an operation that sums up many numbers, so that neither the sums nor what they are of leaves the range of the
    /// numbers: those of half precision become `f32` for it, and gradients go through.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_accumulate<S: Shape, Op: Accumulation<S, Self>, T: Tape<E, Self>>(
        x: Tensor<S, E, Self, T>,
        op: Op,
    ) -> Result<Tensor<Op::Output, E, Self, T>, Self::Err> {
        accumulation::plain(x, op)
    }

    /// The device's error for data that does not fill its shape.
    fn wrong_number_of_elements() -> Self::Err;
}

/// A device that does all with dfdx's operations, and sums up with `$accumulate`.
macro_rules! plain_device {
    ($Device:ty, [$($E:ty),+], $error:expr, $accumulate:path) => {
        $(
            impl Device<$E> for $Device {
                type Context = Dense<$E, Self>;

                fn try_context<T: Tape<$E, Self>>(
                    tokens: Positioned<$E, Self, T>,
                    _whole: bool,
                ) -> Result<(Self::Context, T), Self::Err> {
                    context::plain_prepare(tokens)
                }

                fn dense(context: &Self::Context) -> Option<&Dense<$E, Self>> {
                    Some(context)
                }

                fn try_attend<T: Tape<$E, Self>>(
                    query: Tensor<(usize, usize, usize), $E, Self, T>,
                    context: &Self::Context,
                ) -> Result<Tensor<(usize, usize, usize), $E, Self, T>, Self::Err> {
                    context::plain(query, context)
                }

                fn try_accumulate<S: Shape, Op: Accumulation<S, Self>, T: Tape<$E, Self>>(
                    x: Tensor<S, $E, Self, T>,
                    op: Op,
                ) -> Result<Tensor<Op::Output, $E, Self, T>, Self::Err> {
                    $accumulate(x, op)
                }

                fn wrong_number_of_elements() -> Self::Err {
                    $error
                }
            }
        )+
    };
}

plain_device!(Cpu, [f64], CpuError::WrongNumElements, accumulation::plain);
#[cfg(feature = "cuda")]
plain_device!(
    dfdx::tensor::Cuda,
    [f32, f64],
    dfdx::tensor::CudaError::Cpu(CpuError::WrongNumElements),
    accumulation::plain
);
#[cfg(all(feature = "cuda", feature = "f16"))]
plain_device!(
    dfdx::tensor::Cuda,
    [dfdx::dtypes::f16, dfdx::dtypes::AMP<dfdx::dtypes::f16>],
    dfdx::tensor::CudaError::Cpu(CpuError::WrongNumElements),
    half::try_accumulate
);

impl Device<f32> for Cpu {
    type Context = CpuContext;

    fn try_linear<B: Dim, L: Dim, I: Dim, O: Dim, T: Tape<f32, Self>>(
        x: Tensor<(B, L, I), f32, Self, T>,
        weight: &Tensor<(O, I), f32, Self>,
        bias: Option<&Tensor<(O,), f32, Self>>,
    ) -> Result<Tensor<(B, L, O), f32, Self, T>, CpuError> {
        linear::cpu(x, weight, bias)
    }

    fn try_layer_norm<B: Dim, L: Dim, C: Dim, T: Tape<f32, Self>>(
        x: Tensor<(B, L, C), f32, Self, T>,
        weight: &Tensor<(C,), f32, Self>,
        bias: &Tensor<(C,), f32, Self>,
    ) -> Result<Tensor<(B, L, C), f32, Self, T>, CpuError> {
        layer_norm::cpu(x, weight, bias)
    }

    fn try_feed_forward<B: Dim, L: Dim, I: Dim, G: GatedWidth<H>, H: Dim, T: Tape<f32, Self>>(
        x: Tensor<(B, L, I), f32, Self, T>,
        parameters: &FeedForwardParameters<'_, I, G, H, f32, Self>,
    ) -> Result<Tensor<(B, L, I), f32, Self, T>, CpuError> {
        feed_forward::cpu(x, parameters)
    }

    fn try_attention<B, L, M, const HEADS: usize, const DIM_HEAD: usize, T>(
        query: Tensor<(B, L, Inner<HEADS, DIM_HEAD>), f32, Self, T>,
        key_value: Tensor<(B, M, KeyValue<HEADS, DIM_HEAD>), f32, Self>,
        options: &AttentionOptions<B, M, f32, Self>,
    ) -> Result<Tensor<(B, L, Inner<HEADS, DIM_HEAD>), f32, Self, T>, CpuError>
    where
        B: Dim,
        L: Dim,
        M: Dim,
        T: Tape<f32, Self>,
    {
        attention::cpu(query, key_value, options)
    }

    fn try_context<T: Tape<f32, Self>>(
        tokens: Positioned<f32, Self, T>,
        whole: bool,
    ) -> Result<(CpuContext, T), CpuError> {
        context::cpu_prepare(tokens, whole)
    }

    fn dense(context: &CpuContext) -> Option<&Dense<f32, Self>> {
        match context {
            CpuContext::Dense(dense) => Some(dense),
            CpuContext::Separable(_) => None,
        }
    }

    fn try_attend<T: Tape<f32, Self>>(
        query: Tensor<(usize, usize, usize), f32, Self, T>,
        context: &CpuContext,
    ) -> Result<Tensor<(usize, usize, usize), f32, Self, T>, CpuError> {
        context::cpu(query, context)
    }

    fn wrong_number_of_elements() -> CpuError {
        CpuError::WrongNumElements
    }
}
