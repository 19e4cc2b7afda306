//! Half precision on the CPU: the numbers of `f32` to three digits, and none that is not a number.

// The same tests for each data type.
#![allow(clippy::duplicate_mod)]

mod mixed;
mod plain;
