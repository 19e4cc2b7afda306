//! What can go wrong in a forward pass.

use std::fmt::{Debug, Display};

use dfdx::tensor::CpuError;
#[cfg(feature = "cuda")]
use dfdx::tensor::CudaError;

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
        "the input has the shape {shape:?} before its channels: batch and axes must not be empty"
    )]
    Empty {
        /// The sizes of the input's batch and axes.
        shape: Vec<usize>,
    },
    /// The device could not do it: out of memory, or a parameter was replaced by one of another size.
    #[error("the device failed: {0}")]
    Device(Err),
}

impl<Err: Debug + Display> From<Err> for ForwardError<Err> {
    fn from(error: Err) -> Self {
        Self::Device(error)
    }
}

impl<Err: WrongSize> ForwardError<Err> {
    /// The same as the device's own error, which a dfdx `Module` must return so that modules can be composed. A shape
    /// error becomes the device's "wrong number of elements".
    pub fn into_device_error(self) -> Err {
        match self {
            Self::Device(error) => error,
            Self::MaskShape { .. } | Self::Empty { .. } => Err::wrong_size(),
        }
    }
}

/// So that `?` works in a dfdx module of one's own that a declared model is part of. As
/// [`into_device_error`](ForwardError::into_device_error).
impl From<ForwardError<Self>> for CpuError {
    fn from(error: ForwardError<Self>) -> Self {
        error.into_device_error()
    }
}

/// As for [`CpuError`].
#[cfg(feature = "cuda")]
impl From<ForwardError<Self>> for CudaError {
    fn from(error: ForwardError<Self>) -> Self {
        error.into_device_error()
    }
}

/// A device's error that can say that sizes do not fit together.
pub trait WrongSize: Debug + Display + From<ForwardError<Self>> + 'static {
    /// The device's "wrong number of elements".
    fn wrong_size() -> Self;
}

impl WrongSize for CpuError {
    fn wrong_size() -> Self {
        Self::WrongNumElements
    }
}

#[cfg(feature = "cuda")]
impl WrongSize for CudaError {
    fn wrong_size() -> Self {
        Self::Cpu(CpuError::WrongNumElements)
    }
}
