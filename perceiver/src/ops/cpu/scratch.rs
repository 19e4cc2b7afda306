//! Reusable scratch memory.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// The total capacity, in elements, of the buffers that a thread keeps, 128 MiB: more than the weights that the kernels
/// of typical models use at once, less than a large input.
pub(crate) const KEPT: usize = 1 << 25;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer whose memory is reused by the next one on the same thread. Fresh memory would cost a page fault for every 4
/// KiB.
#[derive(Debug)]
pub(in crate::ops) struct Scratch(Vec<f32>);

impl Scratch {
    /// A buffer of `len` elements with unspecified values.
    pub(in crate::ops) fn new(len: usize) -> Self {
        let mut buffer = FREE.with_borrow_mut(|free| {
            let fits = |buffer: &&Vec<f32>| buffer.capacity() >= len;
            let tightest = free.iter().filter(fits).map(Vec::capacity).min();
            let index = free.iter().position(|buffer| Some(buffer.capacity()) == tightest);
            index.map_or_else(Vec::new, |index| free.swap_remove(index))
        });
        buffer.resize(len, 0.0);
        Self(buffer)
    }

    /// A buffer of `len` zeros.
    pub(in crate::ops) fn zeros(len: usize) -> Self {
        let mut buffer = Self::new(len);
        buffer.fill(0.0);
        buffer
    }
}

/// Frees the buffers that this thread keeps.
pub(super) fn free() {
    FREE.take();
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        if buffer.capacity() == 0 {
            return;
        }
        // A thread that is exiting keeps nothing.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            let kept: usize = free.iter().map(Vec::capacity).sum();
            if kept + buffer.capacity() <= KEPT {
                free.push(buffer);
            }
        });
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl AsRef<[f32]> for Scratch {
    fn as_ref(&self) -> &[f32] {
        &self.0
    }
}

impl AsMut<[f32]> for Scratch {
    fn as_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_and_zeros_are_zeros() {
        let mut first = Scratch::new(1000);
        first.fill(7.0);
        let address = first.as_ptr();
        drop(first);
        let second = Scratch::zeros(900);
        assert_eq!(second.as_ptr(), address);
        assert!(second.iter().all(|&x| x == 0.0));
        assert_eq!(second.len(), 900);
    }

    #[test]
    fn memory_can_be_freed() {
        drop(Scratch::new(1000));
        free();
        assert!(FREE.with_borrow(Vec::is_empty));
    }
}
