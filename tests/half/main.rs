//! Half precision on the CPU: the numbers of `f32` to three digits, and none that is not a number.

// The same tests for each data type.
#![allow(clippy::duplicate_mod)]

#[path = "../compare/mod.rs"]
mod compare;
mod mixed;
mod plain;
