//! Errors in a forward pass.

use std::fmt::{Debug, Display};

use dfdx::tensor::CpuError;
#[cfg(feature = "cuda")]
use dfdx::tensor::CudaError;

/// Implements `Debug` for an error by its message, which says what to do next: `unwrap` and a `main` that returns the error print
/// `Debug`.
macro_rules! debug_as_message {
    ($name:ident $(<$Err:ident>)?) => {
        impl$(<$Err: std::fmt::Debug + std::fmt::Display>)? std::fmt::Debug for $name$(<$Err>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}
pub(crate) use debug_as_message;

/// An error in a forward pass. `Err` is the device's own error, dfdx's `CpuError` or `CudaError`.
///
/// Shapes that the compiler can check never cause these errors; they are for sizes known only at run time.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError<Err: Debug + Display> {
    /// The mask does not match the input: an axis whose size is known only at run time differs.
    #[error(
        "the mask has shape {mask:?}, but the input has shape {input:?} without its channels: the mask \
         must have one `bool` for each position of the input"
    )]
    MaskShape {
        /// The mask's sizes.
        mask: Vec<usize>,
        /// The sizes of the input's batch and axes.
        input: Vec<usize>,
    },
    /// The batch or an axis of the input is empty.
    #[error("the input is empty: its batch and axes are {shape:?}, and each must be at least 1")]
    Empty {
        /// The sizes of the input's batch and axes.
        shape: Vec<usize>,
    },
    /// An id is not in the vocabulary.
    #[error("the id {id} is not in the vocabulary: ids must be below {vocab}")]
    Id {
        /// The id.
        id: usize,
        /// The size of the vocabulary.
        vocab: usize,
    },
    /// There are more tokens than learned positions.
    #[error("the input has {len} tokens, but the model was declared with `max_len: {max_len}`")]
    TooLong {
        /// The number of tokens.
        len: usize,
        /// The number of positions.
        max_len: usize,
    },
    /// The positions that are given with an input are not as many as its own.
    #[error(
        "the positions have shape {positions:?} without their width, but the input has {input:?} without its channels: there \
         must be one for each position of the input"
    )]
    PositionShape {
        /// The sizes of the batch and axes of the positions.
        positions: Vec<usize>,
        /// Those of the input.
        input: Vec<usize>,
    },
    /// The queries have another batch size than the input.
    #[error("the queries have batch size {queries}, but the input has {input}")]
    QueryBatch {
        /// The batch size of the queries.
        queries: usize,
        /// That of the input.
        input: usize,
    },
    /// There are no queries.
    #[error("there are no queries: their second dimension must not be 0")]
    NoQueries,
    /// A point is not on the grid of an output.
    #[error("the point {point:?} is not on the output's grid, whose sizes are {shape:?}")]
    Point {
        /// The point.
        point: Vec<usize>,
        /// The sizes of the grid.
        shape: Vec<usize>,
    },
    /// There are no points.
    #[error("there are no points: at least one must be given")]
    NoPoints,
    /// A layer does not begin with a cross attention.
    #[error("layer {layer} has no cross attention: only the first {attends} layers begin with one")]
    Layer {
        /// The layer, from 0.
        layer: usize,
        /// How many layers begin with a cross attention.
        attends: usize,
    },
    /// The tokens before the latents of a Perceiver AR are too many, or too few.
    #[error(
        "the prefix has {prefix} of {len} tokens: it must leave 1 to {max_latents} of them as latents, and have at most \
         {max_prefix} itself"
    )]
    Prefix {
        /// The number of tokens before the latents.
        prefix: usize,
        /// The number of all tokens.
        len: usize,
        /// The largest number of latents.
        max_latents: usize,
        /// The largest number of tokens before them, `max_len` without the latents.
        max_prefix: usize,
    },
    /// A mask of a Perceiver AR is not one of padding.
    #[error(
        "the mask of item {item} must be false for padding, which comes first, and true for at least one token after it"
    )]
    Padding {
        /// The number of the item in its batch.
        item: usize,
    },
    /// The number of latents to begin generating with is out of range.
    #[error(
        "`num_latents` is {num_latents}: it must be from 1 to {max}, as the model was declared with `Last({max})`"
    )]
    NumLatents {
        /// The number of latents.
        num_latents: usize,
        /// The largest number.
        max: usize,
    },
    /// A setting of the sampling is out of range.
    #[error("`{name}` is {value}: it must be {expected}")]
    Sampling {
        /// The name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// An input has another batch size than the first of several.
    #[error("the batch size is {batch}, but that of the first input is {expected}")]
    Batch {
        /// The batch size.
        batch: usize,
        /// That of the first input.
        expected: usize,
    },
    /// Something is wrong with one of several inputs.
    #[error("`{name}`: {error}")]
    Modality {
        /// The name of the input.
        name: &'static str,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// The device failed: it ran out of memory, or a parameter was replaced by one of a different size.
    #[error("the device failed: {0}")]
    Device(Err),
}

debug_as_message!(ForwardError<Err>);

impl<Err: Debug + Display> From<Err> for ForwardError<Err> {
    fn from(error: Err) -> Self {
        Self::Device(error)
    }
}

impl<Err: WrongSize> ForwardError<Err> {
    /// Converts to the device's own error, which a dfdx `Module` must return so that modules can be composed. A shape
    /// error becomes the device's "wrong number of elements" error.
    pub fn into_device_error(self) -> Err {
        match self {
            Self::Device(error) => error,
            Self::MaskShape { .. }
            | Self::Empty { .. }
            | Self::Id { .. }
            | Self::TooLong { .. }
            | Self::QueryBatch { .. }
            | Self::NoQueries
            | Self::PositionShape { .. }
            | Self::Point { .. }
            | Self::NoPoints
            | Self::Layer { .. }
            | Self::Prefix { .. }
            | Self::Padding { .. }
            | Self::NumLatents { .. }
            | Self::Sampling { .. }
            | Self::Batch { .. } => Err::wrong_size(),
            Self::Modality { error, .. } => error.into_device_error(),
        }
    }
}

impl<Err: Debug + Display> ForwardError<Err> {
    /// Says in which of several inputs the error is.
    pub(crate) fn of_modality(self, name: &'static str) -> Self {
        Self::Modality { name, error: Box::new(self) }
    }
}

/// Makes `?` work in a custom dfdx module that contains a declared model. Same as
/// [`into_device_error`](ForwardError::into_device_error).
impl From<ForwardError<Self>> for CpuError {
    fn from(error: ForwardError<Self>) -> Self {
        error.into_device_error()
    }
}

/// Same as for [`CpuError`].
#[cfg(feature = "cuda")]
impl From<ForwardError<Self>> for CudaError {
    fn from(error: ForwardError<Self>) -> Self {
        error.into_device_error()
    }
}

/// A device error that can report mismatched sizes.
pub trait WrongSize: Debug + Display + From<ForwardError<Self>> + Send + Sync + 'static {
    /// Returns the device's "wrong number of elements" error.
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
