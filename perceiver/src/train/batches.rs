//! Shuffled batches of examples, and batches prepared on other threads.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Splits examples into shuffled batches of their indices.
///
/// The order differs from epoch to epoch. It depends only on the seed and the number of the epoch, so that it is the same in
/// every run, and a training that is [resumed](super::Trainer::resume) sees the same batches.
///
/// Load the examples of a batch in the loop, or on other threads with [`made_ahead`]. With several processes, use
/// `distributed::World::batches`.
///
/// ```
/// use perceiver::train::Batches;
///
/// let batches = Batches::new(10, 4, 1);
/// let first: Vec<Vec<usize>> = batches.epoch(0).collect();
/// assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
/// assert!(batches.epoch(0).eq(first.clone()));
/// assert!(!batches.epoch(1).eq(first));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches {
    examples: usize,
    size: usize,
    seed: u64,
    /// Which part of each batch, of how many.
    part: (usize, usize),
    /// The lengths of the examples, if those of a batch should be alike.
    lengths: Option<Arc<[usize]>>,
    /// The batches whose examples are sorted together.
    sorted: usize,
}

impl Batches {
    /// Creates batches of `size` indices from `0..examples`, shuffled with `seed`.
    ///
    /// If `size` does not divide `examples`, the last batch of an epoch is smaller. A `size` of 0 is taken as 1.
    #[must_use]
    pub fn new(examples: usize, size: usize, seed: u64) -> Self {
        Self { examples, size: size.max(1), seed, part: (0, 1), lengths: None, sorted: 1 }
    }

    /// Groups examples of similar length into the same batch, so that less padding is needed.
    ///
    /// `lengths[i]` is the length of example `i`; one that is missing counts as 0. After the shuffle, the examples of every
    /// `batches` consecutive batches are sorted by length and split into batches again; the batches are then shuffled. The
    /// larger `batches` is, the less padding is needed and the less random the batches are.
    ///
    /// # Padding and positions
    /// The length to which a batch is padded then varies. With `Tokens` and `Text`, this does not change the outputs, as
    /// long as the padding is masked. It does with `Fourier` positions of a `Grid` with `axes`, which accepts any size:
    /// positions span each axis from its first element to its last, padding included, so they depend on how much padding
    /// there is. For such a model, pad all examples to one length, or declare a fixed `shape`.
    ///
    /// ```
    /// use perceiver::train::Batches;
    ///
    /// let lengths: Vec<usize> = (0..1000).map(|i| i * 7919 % 100).collect();
    /// let batches = Batches::new(lengths.len(), 10, 1).by_length(&lengths, 20);
    /// let padding = |batch: Vec<usize>| {
    ///     let longest = batch.iter().map(|i| lengths[*i]).max().unwrap_or(0);
    ///     batch.iter().map(|i| longest - lengths[*i]).sum::<usize>()
    /// };
    /// let sum: usize = batches.epoch(0).map(padding).sum();
    /// assert!(sum < 5_000, "of 50,000 tokens");
    /// ```
    #[must_use]
    pub fn by_length(self, lengths: &[usize], batches: usize) -> Self {
        let length = |i| lengths.get(i).copied().unwrap_or(0);
        let lengths = (0..self.examples).map(length).collect();
        Self { lengths: Some(lengths), sorted: batches.max(1), ..self }
    }

    /// The same batches, but only part number `part` of `parts` equal parts of each.
    #[cfg(any(test, feature = "mpi"))]
    pub(super) fn part(self, part: usize, parts: usize) -> Self {
        Self { part: (part, parts), ..self }
    }

    /// Returns the number of batches in an epoch, as needed for the number of all steps in a [`Schedule`](super::Schedule).
    #[must_use]
    pub fn per_epoch(&self) -> usize {
        let rest = self.examples % self.size;
        self.examples / self.size + usize::from(rest >= self.part.1)
    }

    /// Returns an iterator over the batches of an epoch, each a list of example indices. The same `epoch` always has the
    /// same batches.
    pub fn epoch(&self, epoch: u64) -> impl ExactSizeIterator<Item = Vec<usize>> + Send + use<> {
        let mut order: Vec<usize> = (0..self.examples).collect();
        // Far apart from those of the next seeds.
        let seed = self.seed ^ epoch.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let rng = &mut StdRng::seed_from_u64(seed);
        order.shuffle(rng);
        let mut batches: Vec<usize> = (0..self.per_epoch()).collect();
        if let Some(lengths) = &self.lengths {
            for sorted in order.chunks_mut(self.sorted.saturating_mul(self.size)) {
                sorted.sort_by_key(|i| lengths[*i]);
            }
            // A last batch that is smaller stays the last.
            let whole = batches.len().min(self.examples / self.size);
            batches[..whole].shuffle(rng);
        }
        let (size, (part, parts)) = (self.size, self.part);
        batches.into_iter().map(move |i| {
            let batch = &order[i * size..order.len().min((i + 1) * size)];
            let len = batch.len() / parts;
            batch[part * len..(part + 1) * len].to_vec()
        })
    }
}

/// Maps `make` over `items` on background threads, and returns the results in the order of the items.
///
/// Use it to load and augment the next batches while the model trains on this one. It starts `threads` threads, or one if
/// that is 0. They run ahead by about two results each and then wait, and they end when the iterator is dropped.
///
/// If `make` uses random numbers, derive their seed from the item: the results then do not depend on how the threads are
/// scheduled.
///
/// ```
/// use perceiver::train::{Batches, made_ahead};
///
/// let batches = Batches::new(100, 8, 1).epoch(0);
/// let sums: Vec<usize> = made_ahead(batches, 2, |batch| batch.into_iter().sum()).collect();
/// assert_eq!(sums.iter().sum::<usize>(), 99 * 50);
/// ```
///
/// # Panics
/// If `make` panics for an item, `next` panics with the same payload in its place. It also does if `items` panics.
pub fn made_ahead<T, R>(
    items: impl Iterator<Item = T> + Send + 'static,
    threads: usize,
    make: impl Fn(T) -> R + Send + Sync + 'static,
) -> impl Iterator<Item = R>
where
    T: Send + 'static,
    R: Send + 'static,
{
    let threads = threads.max(1);
    let (sender, results) = sync_channel(threads);
    let (items, make) = (Arc::new(Mutex::new(items.enumerate())), Arc::new(make));
    for _ in 0..threads {
        let (items, make, sender) = (Arc::clone(&items), Arc::clone(&make), sender.clone());
        thread::spawn(move || work(&items, &*make, &sender));
    }
    Ahead { results, early: BTreeMap::new(), next: 0 }
}

/// The number of an item, and what was made of it, or what the function panicked with.
type Made<R> = (usize, Result<R, Box<dyn Any + Send>>);

/// Makes results until there are no more items, or nobody takes them.
fn work<T, R>(
    items: &Mutex<impl Iterator<Item = (usize, T)>>,
    make: &impl Fn(T) -> R,
    sender: &SyncSender<Made<R>>,
) {
    loop {
        let next = catch_unwind(AssertUnwindSafe(|| {
            items.lock().unwrap_or_else(PoisonError::into_inner).next()
        }));
        let made = match next {
            Ok(None) => return,
            Ok(Some((i, item))) => (i, catch_unwind(AssertUnwindSafe(|| make(item)))),
            // Later than all items.
            Err(panic) => (usize::MAX, Err(panic)),
        };
        let is_last = made.1.is_err();
        if sender.send(made).is_err() || is_last {
            return;
        }
    }
}

struct Ahead<R> {
    results: Receiver<Made<R>>,
    /// Results that came before their turn.
    early: BTreeMap<usize, Result<R, Box<dyn Any + Send>>>,
    next: usize,
}

impl<R> Iterator for Ahead<R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        while !self.early.contains_key(&self.next) {
            match self.results.recv() {
                Ok((i, result)) => drop(self.early.insert(i, result)),
                // All threads have ended; the rest is in order, or is a panic.
                Err(_) => break,
            }
        }
        let (_, result) = self.early.pop_first()?;
        self.next += 1;
        match result {
            Ok(result) => Some(result),
            Err(panic) => resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn batches_of_similar_lengths_have_all_examples() {
        let lengths: Vec<usize> = (0..103).map(|i| i * 37 % 50).collect();
        let batches = Batches::new(103, 10, 1).by_length(&lengths, 4);
        let epoch = |epoch| batches.epoch(epoch).collect::<Vec<_>>();
        let first = epoch(0);
        let mut all = first.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..103));
        assert_eq!(
            first.iter().map(Vec::len).collect::<Vec<_>>(),
            [[10; 10].as_slice(), &[3]].concat()
        );
        assert!(first == epoch(0) && first != epoch(1));
        // Of four batches at once, so a batch has about a quarter of the lengths.
        let range = |batch: &Vec<usize>| {
            let lengths = batch.iter().map(|i| lengths[*i]);
            lengths.clone().max().unwrap() - lengths.min().unwrap()
        };
        assert!(first[..8].iter().map(range).sum::<usize>() < 8 * 25);
        // Short batches do not come first.
        let shortest = |batch: &Vec<usize>| batch.iter().map(|i| lengths[*i]).min().unwrap();
        assert!(!first.is_sorted_by_key(shortest));
    }

    #[test]
    fn each_example_is_in_one_batch() {
        for (examples, size) in [(0, 3), (1, 3), (9, 3), (10, 3), (10, 0)] {
            let batches = Batches::new(examples, size, 7);
            let epoch: Vec<_> = batches.epoch(3).collect();
            assert_eq!(epoch.len(), batches.per_epoch());
            let mut all = epoch.concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..examples));
        }
    }

    #[test]
    fn parts_of_batches_are_equal_and_disjoint() {
        for examples in [11, 12, 13, 15, 16, 17] {
            let batches = Batches::new(examples, 4, 7);
            let parts = [0, 1].map(|part| batches.clone().part(part, 2));
            let [first, second] = parts.each_ref().map(|part| part.epoch(3).collect::<Vec<_>>());
            assert_eq!(first.len(), parts[0].per_epoch());
            for (whole, (first, second)) in batches.epoch(3).zip(first.iter().zip(&second)) {
                assert_eq!(first.len(), second.len());
                assert_eq!([&**first, &**second].concat(), whole[..whole.len() / 2 * 2]);
            }
        }
    }

    #[test]
    fn results_are_in_order_whatever_takes_long() {
        let slow = |i: u64| {
            thread::sleep(Duration::from_millis(i * 7 % 5));
            i
        };
        for threads in [0, 1, 3, 8] {
            assert!(made_ahead(0..40, threads, slow).eq(0..40));
        }
        assert!(made_ahead(0..0, 2, slow).next().is_none());
        // Threads end when nobody takes their results any more.
        assert_eq!(made_ahead(0.., 2, slow).take(5).last(), Some(4));
    }

    #[test]
    fn a_panic_comes_at_its_place() {
        let mut results = made_ahead(0..10, 3, |i| {
            assert_ne!(i, 4);
            i
        });
        assert!(results.by_ref().take(4).eq(0..4));
        assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
        let mut items = made_ahead((0..10).inspect(|i| assert_ne!(*i, 2)), 2, |i| i);
        let all = catch_unwind(AssertUnwindSafe(|| items.by_ref().count()));
        assert!(all.is_err());
    }
}
