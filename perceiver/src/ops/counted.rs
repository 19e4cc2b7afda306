//! The floating-point operations of products and attention, as tests count them where the `Cpu` computes them.

use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// The operations that the calling thread has begun so far.
pub(crate) fn count() -> u64 {
    COUNT.get()
}

/// Counts an operation: those that it consists of, until it ends, are not counted again.
pub(super) struct Counted;

impl Counted {
    pub fn new(flops: usize) -> Self {
        if DEPTH.get() == 0 {
            COUNT.set(COUNT.get() + flops as u64);
        }
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}
