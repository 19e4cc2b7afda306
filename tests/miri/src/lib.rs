//! Files of the library that have unsafe code and need nothing else.

#![allow(dead_code)]

#[path = "../../../perceiver/src/ops/cpu/threads/pool.rs"]
mod pool;
