//! The threads that kernels run on.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Below this many elementary operations, a second thread costs more than it saves.
const PARALLEL: usize = 1 << 17;

/// The number of parts, each for one thread, that work of `operations` should be split into.
pub(in crate::ops) fn parts(operations: usize) -> usize {
    if operations < PARALLEL { 1 } else { all() }
}

/// The number of threads that work can be split among.
pub(super) fn all() -> usize {
    take_part();
    rayon::current_num_threads()
}

/// Makes the calling thread a worker of a rayon pool.
///
/// A thread outside rayon hands its work over and sleeps. That wakes two threads where one would do, for each of
/// several hundred operations, and leaves the system with one thread more than there are cores. So the first thread
/// that computes something joins a pool of its own. Other threads, and threads that are already in a pool, are left
/// alone.
fn take_part() {
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
