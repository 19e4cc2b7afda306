//! Half precision on the CPU: the numbers of `f32` to three digits, and none that is not a number.

mod mixed;
mod plain;
