//! The errors of a forward pass.

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

/// An error in a forward pass, as a declared model's `try_forward` and `generate` return it. `Err` is the device's own
/// error, dfdx's `CpuError` or `CudaError`.
///
/// Shapes that the compiler can check never cause these errors; they are about sizes, ids and settings that are known only
/// at run time.
///
/// ```
/// use perceiver::ForwardError;
/// use perceiver::prelude::*;
///
/// perceiver! {
///     struct Topics { input: Text { vocab: 256, max_len: 8, dim: 16 }, depth: 1, num_latents: 4, latent_dim: 16, num_classes: 3 }
/// }
///
/// let dev = Cpu::default();
/// let model = dev.build_module::<Topics, f32>();
/// let ids = dev.tensor_from_vec(vec![7; 9], (1, 9));
/// let error = model.try_forward(ids).unwrap_err();
/// assert!(matches!(error, ForwardError::TooLong { len: 9, max_len: 8 }));
/// ```
///
/// In a dfdx module that contains a declared model, `?` converts it to the device's error, as
/// [`into_device_error`](Self::into_device_error) does.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError<Err: Debug + Display> {
    /// The shape of the mask is not that of the input without its channels.
    #[error(
        "the mask has shape {mask:?}, but the input has shape {input:?} without its channels: the mask \
         must have one `bool` for each position of the input"
    )]
    MaskShape {
        /// The shape of the mask.
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
    /// An id of the input, or of [`Options::stop`](crate::generate::Options::stop), is not in the vocabulary.
    #[error("the id {id} is not in the vocabulary: ids must be below {vocab}")]
    Id {
        /// The id.
        id: usize,
        /// The size of the vocabulary.
        vocab: usize,
    },
    /// The input has more tokens than the declared `max_len`.
    #[error("the input has {len} tokens, but the model was declared with `max_len: {max_len}`")]
    TooLong {
        /// The number of tokens.
        len: usize,
        /// The declared `max_len`.
        max_len: usize,
    },
    /// The shape of the positions that are passed with an input does not match the input.
    #[error(
        "the positions have shape {positions:?} without their width, but the input has {input:?} without its channels: there \
         must be one for each position of the input"
    )]
    PositionShape {
        /// The sizes of the batch and axes of the positions.
        positions: Vec<usize>,
        /// The sizes of the batch and axes of the input.
        input: Vec<usize>,
    },
    /// The batch size of the queries differs from that of the input.
    #[error("the queries have batch size {queries}, but the input has {input}")]
    QueryBatch {
        /// The batch size of the queries.
        queries: usize,
        /// The batch size of the input.
        input: usize,
    },
    /// No queries were passed: their second dimension is 0.
    #[error("there are no queries: their second dimension must not be 0")]
    NoQueries,
    /// A point at which the output was asked for is not on the output's grid.
    #[error("the point {point:?} is not on the output's grid, whose sizes are {shape:?}")]
    Point {
        /// The index of the point along each axis.
        point: Vec<usize>,
        /// The sizes of the grid's axes.
        shape: Vec<usize>,
    },
    /// The list of points at which the output was asked for is empty.
    #[error("there are no points: at least one must be given")]
    NoPoints,
    /// Attention maps were asked for of a layer that has no cross attention.
    #[error("layer {layer} has no cross attention: only the first {attends} layers begin with one")]
    Layer {
        /// The number of the layer, from 0.
        layer: usize,
        /// The number of layers that begin with a cross attention.
        attends: usize,
    },
    /// The prefix of a Perceiver AR, the tokens before its latents, is too long or too short.
    #[error(
        "the prefix has {prefix} of {len} tokens: it must leave 1 to {max_latents} of them as latents, and have at most \
         {max_prefix} itself"
    )]
    Prefix {
        /// The number of tokens in the prefix.
        prefix: usize,
        /// The number of all tokens.
        len: usize,
        /// The largest number of latents.
        max_latents: usize,
        /// The largest number of tokens in the prefix.
        max_prefix: usize,
    },
    /// The mask of a Perceiver AR hides something else than padding at the start, or all tokens.
    #[error(
        "the mask of item {item} must be false for padding, which comes first, and true for at least one token after it"
    )]
    Padding {
        /// The number of the item in the batch, from 0.
        item: usize,
    },
    /// [`Options::num_latents`](crate::generate::Options::num_latents) is out of range.
    #[error(
        "`num_latents` is {num_latents}: it must be from 1 to {max}, as the model was declared with `Last({max})`"
    )]
    NumLatents {
        /// The number of latents that was asked for.
        num_latents: usize,
        /// The largest number of latents.
        max: usize,
    },
    /// A setting of [`Options::sampling`](crate::generate::Options::sampling), or the `repetition_penalty`, is out of range.
    #[error("`{name}` is {value}: it must be {expected}")]
    Sampling {
        /// The name of the setting.
        name: &'static str,
        /// The value of the setting.
        value: f64,
        /// The range that the setting must be in.
        expected: &'static str,
    },
    /// The batch size of one of several inputs differs from that of the first.
    #[error("the batch size is {batch}, but that of the first input is {expected}")]
    Batch {
        /// The batch size of the input.
        batch: usize,
        /// The batch size of the first input.
        expected: usize,
    },
    /// The error is in one of several inputs.
    #[error("`{name}`: {error}")]
    Modality {
        /// The name of the input.
        name: &'static str,
        /// The error in this input.
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
    /// Converts to the device's own error, which dfdx's `Module::try_forward` returns. [`Device`](Self::Device) becomes the
    /// error in it, and all others become the device's "wrong number of elements" error.
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

/// Makes `?` work in a dfdx module of your own that contains a declared model. Same as
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

/// A device error that can say that sizes do not match: dfdx's `CpuError` and `CudaError`.
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
