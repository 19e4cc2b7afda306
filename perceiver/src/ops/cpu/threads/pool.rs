//! Threads that help the one that calls them.
//!
//! rayon has no such pool: a thread outside it either sleeps while others do all of the work, or becomes a part of it for good,
//! with the jobs of others. A scope in which the caller takes part has to wait until each of the others has woken up, if only to
//! find that nothing is left to do, which is a tenth of the time of a small training step. Here, what a helper has not begun is
//! taken back, and a helper that is busy for another caller is not waited for, so that threads that compute at once do
//! not get into each other's way.
//!
//! `tests/miri` runs the tests of this file under Miri.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a thread looks for what it waits for before it sleeps: as long as it takes to wake it.
const LOOK: Duration = Duration::from_micros(50);

/// The states of a helper.
mod state {
    /// It has nothing to do.
    pub(super) const IDLE: u8 = 0;
    /// A caller is about to give it a job.
    pub(super) const RESERVED: u8 = 1;
    /// It has a job, which the caller may take back.
    pub(super) const GIVEN: u8 = 2;
    /// It is at work. It is not free until the caller has seen that it is done.
    pub(super) const BUSY: u8 = 3;
    pub(super) const DONE: u8 = 4;
}

#[derive(Debug)]
pub(super) struct Pool(Vec<Helper>);

#[derive(Debug)]
struct Helper {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    state: AtomicU8,
    job: Mutex<Option<Job>>,
    /// What a job panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shared").field(&self.state).finish()
    }
}

struct Job {
    work: &'static (dyn Fn() + Sync),
    caller: Thread,
}

impl Pool {
    /// Starts `count` threads, or as many as the system allows.
    pub(super) fn new(count: usize) -> Self {
        let start = |i| {
            let shared = Arc::new(Shared::default());
            let of_thread = Arc::clone(&shared);
            let builder = thread::Builder::new().name(format!("perceiver-{i}"));
            let handle = builder.spawn(move || of_thread.help()).ok()?;
            Some(Helper { shared, thread: handle.thread().clone() })
        };
        Self((0..count).map_while(start).collect())
    }

    /// Calls a function on this thread, and at the same time on up to `count` others, if they are free.
    pub(super) fn with_help(&self, count: usize, work: &(dyn Fn() + Sync)) {
        let free = self.0.iter().filter(|helper| helper.try_reserve()).take(count);
        let mut helping = Helping(Vec::new());
        free.for_each(|helper| helping.give(helper, work));
        work();
        helping.finish();
    }

    /// Calls a function on each of the other threads, after what they are doing.
    pub(super) fn on_each(&self, work: &(dyn Fn() + Sync)) {
        let mut helping = Helping(Vec::new());
        for helper in &self.0 {
            look(|| helper.try_reserve(), thread::yield_now);
            helping.give(helper, work);
        }
        for helper in &helping.0 {
            helper.wait();
        }
        helping.finish();
    }
}

/// The helpers of a call, which ends when they have.
struct Helping<'a>(Vec<&'a Helper>);

impl<'a> Helping<'a> {
    #[allow(unsafe_code)]
    fn give(&mut self, helper: &'a Helper, work: &(dyn Fn() + Sync)) {
        // SAFETY: only the lifetime changes. `finish` and `drop` do not return before the helper has either ended the job
        // or lost it, and one of them runs before the borrow ends, since `self` is a local of the callers above.
        let work: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(work) };
        *lock(&helper.shared.job) = Some(Job { work, caller: thread::current() });
        helper.shared.state.store(state::GIVEN, Ordering::Release);
        helper.thread.unpark();
        self.0.push(helper);
    }

    /// Waits for all helpers, and goes on with the panic of one, if there was one.
    fn finish(mut self) {
        if let Some(panic) = self.end() {
            resume_unwind(panic);
        }
    }

    fn end(&mut self) -> Option<Box<dyn Any + Send>> {
        let panics = self.0.drain(..).map(Helper::end);
        // All of them, also after the first panic.
        panics.fold(None, Option::or)
    }
}

impl Drop for Helping<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

impl Helper {
    fn try_reserve(&self) -> bool {
        self.becomes(state::IDLE, state::RESERVED)
    }

    fn becomes(&self, from: u8, to: u8) -> bool {
        let state = &self.shared.state;
        state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Waits until the job is done.
    fn wait(&self) {
        let is_done = || self.shared.state.load(Ordering::Acquire) == state::DONE;
        look(is_done, thread::park);
    }

    /// Takes the job back, or waits until it is done; the helper is free then. Returns what the job panicked with.
    fn end(&self) -> Option<Box<dyn Any + Send>> {
        if self.becomes(state::GIVEN, state::RESERVED) {
            lock(&self.shared.job).take();
        } else {
            self.wait();
        }
        let panic = lock(&self.shared.panic).take();
        self.shared.state.store(state::IDLE, Ordering::Release);
        panic
    }
}

impl Shared {
    /// The work of a helper's thread.
    fn help(&self) {
        loop {
            let given = || {
                let state = &self.state;
                let (from, to) = (state::GIVEN, state::BUSY);
                state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            };
            look(given, thread::park);
            let job = lock(&self.job).take();
            if let Some(Job { work, caller }) = job {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                    *lock(&self.panic) = Some(panic);
                }
                self.state.store(state::DONE, Ordering::Release);
                caller.unpark();
            }
        }
    }
}

/// Waits for something: looks for some time, then sleeps until it is woken.
fn look(mut is_there: impl FnMut() -> bool, sleep: impl Fn()) {
    let mut start = None;
    while !is_there() {
        match start.get_or_insert_with(Instant::now).elapsed() < LOOK {
            true => thread::yield_now(),
            false => sleep(),
        }
    }
}

/// Nothing panics while these locks are held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Each thread waits for the others, so all of them take part.
    #[test]
    fn the_caller_and_the_helpers_work_at_once() {
        let pool = Pool::new(3);
        for _ in 0..20 {
            let (barrier, threads) = (Barrier::new(4), Mutex::new(HashSet::new()));
            pool.with_help(9, &|| {
                barrier.wait();
                lock(&threads).insert(thread::current().id());
            });
            assert_eq!(lock(&threads).len(), 4);
            assert!(lock(&threads).contains(&thread::current().id()));
        }
    }

    #[test]
    fn a_busy_helper_is_not_waited_for() {
        let pool = Pool::new(1);
        let (begins, ends) = (Barrier::new(3), Barrier::new(3));
        thread::scope(|scope| {
            scope.spawn(|| {
                pool.with_help(1, &|| {
                    begins.wait();
                    ends.wait();
                });
            });
            begins.wait();
            let calls = AtomicUsize::new(0);
            pool.with_help(1, &|| _ = calls.fetch_add(1, Ordering::Relaxed));
            assert_eq!(calls.into_inner(), 1);
            ends.wait();
        });
    }

    /// Under Miri, this shows that nothing borrowed is used after its time.
    #[test]
    fn many_short_calls_from_many_threads() {
        let pool = Pool::new(2);
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 0..rounds {
                        let left = AtomicUsize::new(round % 5);
                        let done = AtomicUsize::new(0);
                        pool.with_help(2, &|| {
                            let take = |left: usize| left.checked_sub(1);
                            let order = Ordering::Relaxed;
                            while left.fetch_update(order, order, take).is_ok() {
                                done.fetch_add(1, order);
                            }
                        });
                        assert_eq!(done.into_inner(), round % 5);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_of_a_helper_or_the_caller_comes_back_after_all_ended() {
        let pool = Pool::new(1);
        let caller = thread::current().id();
        for panics_in_caller in [true, false] {
            let barrier = Barrier::new(2);
            let result = catch_unwind(AssertUnwindSafe(|| {
                pool.with_help(1, &|| {
                    barrier.wait();
                    assert!((thread::current().id() == caller) != panics_in_caller, "as it should");
                });
            }));
            assert!(result.is_err());
        }
        let calls = AtomicUsize::new(0);
        pool.on_each(&|| _ = calls.fetch_add(1, Ordering::Relaxed));
        assert_eq!(calls.into_inner(), 1);
    }
}
