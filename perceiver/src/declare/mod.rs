//! What the expansion of `perceiver!` and its errors need. Not public API.

pub mod accepts;
#[macro_use]
pub mod ranges;
pub mod keys;

use core::fmt::{Debug, Display};

use crate::ForwardError;

/// A size of `input_shape`.
#[must_use]
pub const fn size_at<const N: usize>(shape: Option<[usize; N]>, index: usize) -> usize {
    match shape {
        Some(shape) => shape[index],
        None => 0,
    }
}

/// `forward` is `try_forward` that panics with the error's own words.
#[track_caller]
pub fn expect_forward<T, Err: Debug + Display>(result: Result<T, ForwardError<Err>>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
