//! The threads that kernels run on.
//!
//! The calling thread computes a part of the work itself, and others help it: those of the rayon pool that it is in, or, if it
//! is in none, one thread less than rayon is set to, of our own.

mod pool;

use std::sync::{Mutex, OnceLock, PoisonError};

use pool::Pool;

/// Below this many elementary operations, a second thread costs more than it saves.
const PARALLEL: usize = 1 << 17;

/// The number of parts, each for one thread, that work of `operations` should be split into.
pub(in crate::ops) fn parts(operations: usize) -> usize {
    if operations < PARALLEL { 1 } else { all() }
}

/// The number of threads that work can be split among.
pub(super) fn all() -> usize {
    rayon::current_num_threads()
}

/// Calls a function with each item, on all threads.
pub(in crate::ops) fn for_each<T: Send>(
    items: impl ExactSizeIterator<Item = T> + Send,
    run: impl Fn(T) + Sync,
) {
    let threads = all().min(items.len());
    if threads <= 1 {
        return items.for_each(run);
    }
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(item) = next() {
            run(item);
        }
    };
    match helpers() {
        Some(pool) => pool.with_help(threads - 1, &work),
        None => rayon::in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| work());
            }
            work();
        }),
    }
}

/// Returns the results of a function for each item, in their order, computed on all threads.
pub(in crate::ops) fn map<T: Send, R: Send>(
    items: impl ExactSizeIterator<Item = T> + Send,
    run: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let mut results: Vec<Option<R>> = (0..items.len()).map(|_| None).collect();
    for_each(items.zip(&mut results), |(item, result)| *result = Some(run(item)));
    results.into_iter().flatten().collect()
}

/// Calls a function on the calling thread, and on those that help it.
pub(super) fn on_each(run: impl Fn() + Sync) {
    match helpers() {
        Some(pool) => pool.on_each(&run),
        None => drop(rayon::broadcast(|_| run())),
    }
    run();
}

/// The threads that help one that is in no rayon pool.
fn helpers() -> Option<&'static Pool> {
    static HELPERS: OnceLock<Pool> = OnceLock::new();
    let is_in_pool = rayon::current_thread_index().is_some();
    (!is_in_pool).then(|| HELPERS.get_or_init(|| Pool::new(all() - 1)))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rayon::ThreadPoolBuilder;

    use super::*;

    #[test]
    fn small_work_is_not_split_and_a_pool_is_not_left() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            assert_eq!(parts(PARALLEL - 1), 1);
            assert_eq!(parts(PARALLEL), 3);
            let threads = map(0..100, |_| {
                thread::yield_now();
                (rayon::current_thread_index().is_some(), rayon::current_num_threads())
            });
            assert_eq!(threads, [(true, 3); 100]);
        });
    }

    #[test]
    fn results_are_in_order_and_work_within_work_ends() {
        let squares = map(0..50_usize, |i| map(0..i, |j| j).len() * i);
        assert!(squares.into_iter().enumerate().all(|(i, square)| square == i * i));
        assert!(map(0..0, |i: usize| i).is_empty());
        assert!(rayon::current_thread_index().is_none(), "the caller joined a pool");
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let result = std::panic::catch_unwind(|| for_each(0..100, |i| assert_ne!(i, 77)));
        assert!(result.is_err());
        assert_eq!(map(0..3, |i| i), [0, 1, 2]);
    }
}
