//! The threads that kernels run on.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Below this many elementary operations a second thread costs more than it gives.
const PARALLEL: usize = 1 << 17;

/// Into how many parts work of `operations` should be cut, of which each part has its own thread.
pub(in crate::ops) fn parts(operations: usize) -> usize {
    if operations < PARALLEL {
        return 1;
    }
    take_part();
    rayon::current_num_threads()
}

/// Makes the thread that calls one of those that work.
///
/// A thread that is not one of rayon's hands its work over and sleeps. That wakes two threads where one would do, for
/// each of some hundred operations, and leaves the system one thread more than there are cores. So the first
/// thread that computes something gets a pool that it is part of itself. Others, and threads of a pool that somebody
/// else made, go on as they are.
pub(super) fn take_part() {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    if rayon::current_thread_index().is_some() {
        return;
    }
    POOL.get_or_init(|| {
        let threads = rayon::current_num_threads();
        if threads == 1 {
            return None;
        }
        let builder = ThreadPoolBuilder::new().num_threads(threads);
        builder.use_current_thread().build().ok()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_work_is_not_cut_and_a_pool_is_not_left() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            assert_eq!(parts(PARALLEL - 1), 1);
            assert_eq!(parts(PARALLEL), 3);
            assert!(rayon::current_thread_index().is_some());
        });
    }

    #[test]
    fn work_is_cut_for_as_many_threads_as_rayon_has() {
        let expected = rayon::current_num_threads();
        for _ in 0..3 {
            let found = std::thread::spawn(|| parts(PARALLEL)).join().unwrap();
            assert_eq!(found, expected);
        }
    }
}
