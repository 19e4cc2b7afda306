//! What can go wrong in a forward pass.

use std::fmt::{Debug, Display};

use dfdx::shapes::Dtype;
#[cfg(feature = "cuda")]
use dfdx::tensor::CudaError;
use dfdx::tensor::{Cpu, CpuError, HasErr};

use crate::Device;

/// Why a forward pass stopped. `Err` is the device's own error, dfdx's `CpuError` or `CudaError`.
///
/// What the compiler can check never gets here; this is for sizes known only when the program runs.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError<Err: Debug + Display> {
    /// The mask does not lie over the input: an axis with a size known only at run time differs.
    #[error(
        "the mask has the shape {mask:?}, but the input has {input:?} before its channels: give the \
         mask one `bool` for each position of the input"
    )]
    MaskShape {
        /// The mask's sizes.
        mask: Vec<usize>,
        /// The sizes of the input's batch and axes.
        input: Vec<usize>,
    },
    /// There is nothing to do: the batch or an axis is empty.
    #[error(
        "the input has the shape {shape:?} before its channels: batch and axes have to be at least 1 long"
    )]
    Empty {
        /// The sizes of the input's batch and axes.
        shape: Vec<usize>,
    },
    /// The device could not do it; out of memory, most likely.
    #[error("the device failed: {0}")]
    Device(Err),
}

impl<Err: Debug + Display> From<Err> for ForwardError<Err> {
    fn from(error: Err) -> Self {
        Self::Device(error)
    }
}

impl<Err: Debug + Display> ForwardError<Err> {
    /// The same as the device's own error, which is what dfdx's `Module` has to give so that modules
    /// can be composed. A shape error becomes the device's "wrong number of elements".
    pub fn into_device_error<E: Dtype, D: Device<E> + HasErr<Err = Err>>(self) -> Err {
        match self {
            Self::Device(error) => error,
            Self::MaskShape { .. } | Self::Empty { .. } => D::wrong_number_of_elements(),
        }
    }
}

/// So that `?` works in a dfdx module of one's own that a declared model is part of. As
/// [`into_device_error`](ForwardError::into_device_error).
impl From<ForwardError<CpuError>> for CpuError {
    fn from(error: ForwardError<CpuError>) -> Self {
        error.into_device_error::<f32, Cpu>()
    }
}

/// As for [`CpuError`].
#[cfg(feature = "cuda")]
impl From<ForwardError<CudaError>> for CudaError {
    fn from(error: ForwardError<CudaError>) -> Self {
        error.into_device_error::<f32, dfdx::tensor::Cuda>()
    }
}

#[cfg(feature = "cuda")]
pub(crate) use crate::cuda::memory_is_an_error;

/// On a GPU, gives an error where dfdx panics for want of memory.
#[cfg(not(feature = "cuda"))]
pub(crate) fn memory_is_an_error<T, Err>(f: impl FnOnce() -> Result<T, Err>) -> Result<T, Err> {
    f()
}
