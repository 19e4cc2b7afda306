//! The operations that decide how fast a Perceiver is, behind one device trait.
//!
//! An operation is a folder: what it computes, and its plain form in dfdx's own operations, which every device
//! can run. A device that has something faster overrides the method of [`Device`].

mod attention;
mod gelu;

pub use attention::AttentionOptions;
pub(crate) use gelu::try_gelu;

use dfdx::{
    shapes::{Dim, Dtype},
    tensor::{Cpu, CpuError, Tape, Tensor},
};

use crate::dims::Inner;

/// A device that can run a Perceiver: any device of dfdx. What it has no kernel for it does with dfdx's
/// operations.
pub trait Device<E: Dtype>: dfdx::tensor_ops::Device<E> {
    /// `softmax(query · keyᵀ / √dim_head) · value` for each head; section 3.1 and appendix C of the
    /// paper.
    ///
    /// `query` is `(batch, queries, heads · dim_head)`, `key` and `value` are
    /// `(batch, tokens, heads · dim_head)`, and what is returned has the shape of `query`. Heads lie
    /// side by side in the last axis.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_attention<B, L, M, const HEADS: usize, const DIM_HEAD: usize, T>(
        query: Tensor<(B, L, Inner<HEADS, DIM_HEAD>), E, Self, T>,
        key: Tensor<(B, M, Inner<HEADS, DIM_HEAD>), E, Self, T>,
        value: Tensor<(B, M, Inner<HEADS, DIM_HEAD>), E, Self, T>,
        options: &AttentionOptions<B, M, E, Self>,
    ) -> Result<Tensor<(B, L, Inner<HEADS, DIM_HEAD>), E, Self, T>, Self::Err>
    where
        B: Dim,
        L: Dim,
        M: Dim,
        T: Tape<E, Self>,
    {
        attention::plain(query, key, value, options)
    }

    /// The device's error for data that does not fill its shape.
    fn wrong_number_of_elements() -> Self::Err;
}

impl<E: Dtype> Device<E> for Cpu
where
    Cpu: dfdx::tensor_ops::Device<E>,
{
    fn wrong_number_of_elements() -> CpuError {
        CpuError::WrongNumElements
    }
}

#[cfg(feature = "cuda")]
impl<E: Dtype> Device<E> for dfdx::tensor::Cuda
where
    dfdx::tensor::Cuda: dfdx::tensor_ops::Device<E>,
{
    fn wrong_number_of_elements() -> dfdx::tensor::CudaError {
        dfdx::tensor::CudaError::Cpu(CpuError::WrongNumElements)
    }
}
