//! `perceiver/src/ops/cpu/matrix.rs` and what it needs, in the modules where it expects to be.
#![allow(dead_code)]

#[path = "../../perceiver/src/ops"]
mod ops {
    mod cpu {
        mod matrix;
        mod threads;
    }
}
