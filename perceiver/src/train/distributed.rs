//! Training in several processes, on one machine or many, over MPI (feature `mpi`).
//!
//! Each process, called a rank, has a copy of the whole model and computes on a part of each batch. Before each step, the
//! gradients are averaged over all ranks, so results are those of one process with the whole batch, up to rounding.
//!
//! [`run`] starts MPI, [`World::batches`] splits the batches, and [`Trainer::with_world`](super::Trainer::with_world) does
//! the rest:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use perceiver::prelude::*;
//! use perceiver::train::{AdamW, Trainer, cross_entropy, distributed};
//!
//! perceiver! {
//!     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8,
//!         latent_dim: 32, latent_heads: 2, num_classes: 10 }
//! }
//!
//! fn main() -> ExitCode {
//!     distributed::run(|world| {
//!         let dev = Cpu::default();
//!         let mut model = dev.build_module::<Digits, f32>();
//!         // 64 of 60,000 examples in each step; each rank has its part.
//!         let batches = world.batches(60_000, 64, 1)?;
//!         let mut trainer = Trainer::new(AdamW::new(&model, Default::default())?, 1e-3)
//!             .with_checkpoint("digits.training", 100)
//!             .with_world(world);
//!         trainer.resume(&mut model)?;
//!         while trainer.epoch() < 10 {
//!             let batches = batches.epoch(trainer.epoch());
//!             trainer.train_epoch(&mut model, batches, |model, batch, gradients| {
//!                 # let (images, targets): (Tensor<(usize, Const<8>, Const<8>, Const<1>), f32, Cpu>, _) =
//!                 #     (dev.zeros_like(&(batch.len(), Const, Const, Const)), dev.zeros_like(&(batch.len(),)));
//!                 // let (images, targets) = ..;
//!                 Ok(cross_entropy(model.try_forward_mut(images.traced(gradients))?, &targets)?)
//!             })?;
//!         }
//!         Ok(())
//!     })
//! }
//! ```
//!
//! ```console
//! $ mpirun -np 4 target/release/digits
//! ```
//!
//! Set `RAYON_NUM_THREADS` to the number of cores of each process; Open MPI does not. To build with the feature, an MPI
//! library and libclang are needed: on Debian and Ubuntu, `apt install libopenmpi-dev openmpi-bin libclang-dev`.
//!
//! Gradients are averaged after the backward pass and not during it: dfdx 0.13 runs a backward pass in one call, and does
//! not tell when the gradient of a parameter is complete.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;

use dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorRef,
};
use dfdx::prelude::*;
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Equivalence, Root};

use super::optimizer::State;
use super::{AdamW, Batches};
use crate::checkpoint::{CheckpointDtype, each_tensor, fill};
use crate::ops::AdamKernel;

/// An error from processes that are to train together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DistributedError {
    /// MPI was started before in this process.
    #[error(
        "MPI cannot be started twice: call `distributed::run` once, and nothing else that starts MPI"
    )]
    Started,
    /// A rank does not have the same value, or the same model, as rank 0.
    #[error(
        "rank {rank} has {what} other than rank 0: all ranks must run the same program with the same arguments"
    )]
    Differs {
        /// What differs.
        what: &'static str,
        /// The first rank that differs.
        rank: usize,
    },
    /// The size of a batch is not a multiple of the number of ranks.
    #[error(
        "a batch of {batch} cannot be split into equal parts for {ranks} ranks: its size must be a multiple of their number"
    )]
    Batch {
        /// The size of a batch.
        batch: usize,
        /// The number of ranks.
        ranks: usize,
    },
}

/// Starts MPI, runs `program` on this rank, ends MPI, and returns the exit code for `main`.
///
/// If `program` returns an error on any rank, the error is printed to the standard error stream, and the processes of all
/// ranks are ended; likewise if it panics. Call it once, from the main thread: if MPI was started before, an error is
/// printed and `program` does not run.
pub fn run(program: impl FnOnce(&World) -> Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    // Other threads compute, but do not call MPI.
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
        eprintln!("error: {}", DistributedError::Started);
        return ExitCode::FAILURE;
    };
    let world = World(Rc::new(Inner { world: universe.world(), _universe: universe }));
    match catch_unwind(AssertUnwindSafe(|| program(&world))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprintln!("error on rank {} of {}: {error}", world.rank(), world.size());
            world.0.world.abort(1)
        }
        // The message has been printed.
        Err(_) => world.0.world.abort(101),
    }
}

/// All processes of an MPI program, as [`run`] passes it to the program of each rank. Clones refer to the same processes.
///
/// All ranks must call methods that exchange data, which are all but [`rank`](Self::rank) and [`size`](Self::size), in the
/// same order: each waits for the others.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    world: SimpleCommunicator,
    /// MPI ends with it.
    _universe: Universe,
}

impl World {
    /// Returns the number of this process, from 0.
    #[must_use]
    pub fn rank(&self) -> usize {
        usize::try_from(self.0.world.rank()).unwrap_or_default()
    }

    /// Returns the number of processes.
    #[must_use]
    pub fn size(&self) -> usize {
        usize::try_from(self.0.world.size()).unwrap_or(1)
    }

    /// Returns this rank's part of the batches that [`Batches::new`] creates with the same arguments.
    ///
    /// `size` is that of a whole batch, of which each rank gets an equal part. A last batch that is smaller is split, too;
    /// the remainder, fewer examples than there are ranks, is left out of the epoch.
    ///
    /// # Errors
    /// [`DistributedError::Differs`] if the ranks pass different arguments, or [`DistributedError::Batch`] if `size` is not
    /// a multiple of the number of ranks.
    pub fn batches(
        &self,
        examples: usize,
        size: usize,
        seed: u64,
    ) -> Result<Batches, DistributedError> {
        self.agree("a number of examples, batch size or seed", &(examples, size, seed))?;
        let ranks = self.size();
        if !size.is_multiple_of(ranks) {
            return Err(DistributedError::Batch { batch: size, ranks });
        }
        Ok(Batches::new(examples, size, seed).part(self.rank(), ranks))
    }

    /// Replaces each number by its mean over all ranks, such as the loss of an evaluation of which each rank did a part. All
    /// ranks must pass equally many.
    pub fn mean(&self, numbers: &mut [f64]) {
        self.sum(numbers);
        let ranks = self.size() as f64;
        numbers.iter_mut().for_each(|x| *x /= ranks);
    }

    /// Checks that all ranks pass the same `value`, compared by its hash. `what` names it in the error.
    ///
    /// # Errors
    /// [`DistributedError::Differs`], on all ranks, if a rank passes another value than rank 0.
    pub fn agree(&self, what: &'static str, value: &impl Hash) -> Result<(), DistributedError> {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let mut all = vec![0_u64; self.size()];
        self.0.world.all_gather_into(&hasher.finish(), &mut all[..]);
        match all.iter().position(|hash| *hash != all[0]) {
            None => Ok(()),
            Some(rank) => Err(DistributedError::Differs { what, rank }),
        }
    }

    /// Copies the parameters of the model of rank 0 to all other ranks. A [`Trainer`](super::Trainer) does so before its
    /// first step.
    ///
    /// # Errors
    /// [`DistributedError::Differs`] if the names or shapes of the tensors differ between ranks.
    pub fn synchronize<M, E, D>(&self, model: &mut M) -> Result<(), DistributedError>
    where
        M: TensorCollection<E, D>,
        E: CheckpointDtype,
        D: AdamKernel<E>,
    {
        let mut declaration = Vec::new();
        each_tensor(model, |tensor| {
            declaration.push((tensor.name, tensor.shape, tensor.is_trained));
        });
        self.agree("a model", &declaration)?;
        match self.rank() {
            0 => each_tensor(model, |tensor| self.broadcast(&mut tensor.numbers())),
            _ => fill(model, |_, shape, _| {
                let mut numbers = vec![E::default(); shape.iter().product()];
                self.broadcast(&mut numbers);
                Some(numbers)
            }),
        }
        Ok(())
    }

    /// Gives the optimizer of each rank the state of the first.
    pub(super) fn synchronize_optimizer<E, D>(
        &self,
        optimizer: &mut AdamW<E, D>,
    ) -> Result<(), D::Err>
    where
        E: CheckpointDtype,
        D: AdamKernel<E>,
    {
        let mut steps = optimizer.steps();
        self.broadcast_one(&mut steps);
        let mut moments: Vec<_> = optimizer.moments().map(|(_, moments)| moments).collect();
        moments.as_flattened_mut().iter_mut().for_each(|numbers| self.broadcast(numbers));
        let mut average: Vec<_> = optimizer.averages().map(|(_, average)| average).collect();
        // The first may have loaded one, which the others do not have yet.
        let mut count = average.len() as u64;
        self.broadcast_one(&mut count);
        let missing = optimizer.lens().take(count as usize).skip(average.len());
        average.extend(missing.map(|(_, len)| vec![E::default(); len]));
        average.iter_mut().for_each(|numbers| self.broadcast(numbers));
        optimizer.restore(State { steps, moments, average })
    }

    fn broadcast<E: CheckpointDtype>(&self, numbers: &mut [E]) {
        let mut bytes = Vec::new();
        E::write(numbers, &mut bytes);
        // MPI counts with 32 bits.
        for part in bytes.chunks_mut(1 << 30) {
            self.0.world.process_at_rank(0).broadcast_into(part);
        }
        numbers.copy_from_slice(&E::read(&bytes));
    }

    pub(super) fn broadcast_one<N: Equivalence>(&self, number: &mut N) {
        self.0.world.process_at_rank(0).broadcast_into(number);
    }

    /// Replaces numbers by their means: those of `f64` in `f64`, others in `f32`.
    // Only what has a size can be asked for its type.
    #[allow(clippy::ptr_arg)]
    fn average_numbers<E: Dtype>(&self, numbers: &mut Vec<E>) {
        let ranks = self.size();
        let any: &mut dyn Any = numbers;
        if let Some(numbers) = any.downcast_mut::<Vec<f32>>() {
            self.sum(numbers);
            numbers.iter_mut().for_each(|x| *x /= ranks as f32);
        } else if let Some(numbers) = any.downcast_mut::<Vec<f64>>() {
            self.mean(numbers);
        } else {
            let as_f32 = |x: &E| x.to_f32().unwrap_or(f32::NAN);
            let mut sums: Vec<f32> = numbers.iter().map(as_f32).collect();
            self.sum(&mut sums);
            for (number, sum) in numbers.iter_mut().zip(sums) {
                *number = E::from_f32(sum / ranks as f32).unwrap_or_default();
            }
        }
    }

    fn sum<N: Equivalence + Copy + Default>(&self, numbers: &mut [N]) {
        let mut sums = vec![N::default(); numbers.len().min(BUCKET)];
        for part in numbers.chunks_mut(BUCKET) {
            let sums = &mut sums[..part.len()];
            self.0.world.all_reduce_into(&*part, sums, SystemOperation::sum());
            part.copy_from_slice(sums);
        }
    }

    /// Replaces the gradients of a model by their means over all ranks. A [`Trainer`](super::Trainer) does so before each
    /// step.
    ///
    /// Gradients are sent in buckets of about 4 MiB (in `f32`), those in half precision as `f32`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn average<M, E, D>(&self, model: &M, gradients: &mut Gradients<E, D>) -> Result<(), D::Err>
    where
        M: TensorCollection<E, D>,
        E: CheckpointDtype,
        D: AdamKernel<E>,
    {
        if self.size() == 1 {
            return Ok(());
        }
        let mut buckets =
            Buckets { world: self, gradients, numbers: Vec::new(), setters: Vec::new() };
        M::iter_tensors(&mut RecursiveWalker { m: model, f: &mut buckets })?;
        buckets.reduce()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("rank", &self.rank()).field("size", &self.size()).finish()
    }
}

/// The numbers of a bucket: 4 MiB in `f32`, enough for the latency of a network not to matter.
const BUCKET: usize = 1 << 20;

/// Puts a gradient back.
type Setter<E, D> =
    Box<dyn FnOnce(&mut Gradients<E, D>, &[E]) -> Result<(), <D as dfdx::tensor::HasErr>::Err>>;

struct Buckets<'a, E: Dtype, D: AdamKernel<E>> {
    world: &'a World,
    gradients: &'a mut Gradients<E, D>,
    numbers: Vec<E>,
    /// For each gradient in the bucket, its length and what puts it back.
    setters: Vec<(usize, Setter<E, D>)>,
}

impl<E: Dtype, D: AdamKernel<E>> Buckets<'_, E, D> {
    /// Averages the gradients in the bucket, and empties it.
    fn reduce(&mut self) -> Result<(), D::Err> {
        self.world.average_numbers(&mut self.numbers);
        let mut rest = &*self.numbers;
        for (len, set) in self.setters.drain(..) {
            let (gradient, after) = rest.split_at(len);
            set(self.gradients, gradient)?;
            rest = after;
        }
        self.numbers.clear();
        Ok(())
    }
}

impl<E: Dtype, D: AdamKernel<E>> TensorVisitor<E, D> for Buckets<'_, E, D> {
    type Viewer = ViewTensorRef;
    type Err = D::Err;
    type E2 = E;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, E, D>,
        tensor: &Tensor<S, E, D>,
    ) -> Result<Option<Tensor<S, E, D>>, D::Err> {
        if options.do_gradient_update {
            D::try_append_gradient(tensor, self.gradients, &mut self.numbers)?;
            let len = tensor.shape().num_elements();
            let tensor = tensor.clone();
            let set = move |gradients: &mut Gradients<E, D>, numbers: &[E]| {
                D::try_set_gradient(&tensor, gradients, numbers)
            };
            self.setters.push((len, Box::new(set)));
            if self.numbers.len() >= BUCKET {
                self.reduce()?;
            }
        }
        Ok(None)
    }
}
