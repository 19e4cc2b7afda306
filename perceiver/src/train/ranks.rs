//! The processes that train together: one, unless there is MPI.

use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::prelude::*;

use super::AdamW;
#[cfg(feature = "mpi")]
use super::distributed::World;
use super::trainer::{Progress, TrainError};
use crate::checkpoint::CheckpointDtype;
use crate::ops::AdamKernel;

/// This process and those that it trains with.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranks {
    #[cfg(feature = "mpi")]
    pub(super) world: Option<World>,
}

#[cfg(not(feature = "mpi"))]
#[allow(clippy::unused_self, clippy::unnecessary_wraps)]
impl Ranks {
    pub(super) fn rank(&self) -> usize {
        0
    }

    pub(super) fn start<M, E, D>(
        &self,
        _: &mut M,
        _: &mut AdamW<E, D>,
        _: &mut Progress,
    ) -> Result<(), TrainError<D::Err>>
    where
        M: TensorCollection<E, D>,
        E: CheckpointDtype,
        D: AdamKernel<E>,
    {
        Ok(())
    }

    pub(super) fn average<M, E, D>(
        &self,
        _: &M,
        _: &mut Gradients<E, D>,
    ) -> Result<(), TrainError<D::Err>>
    where
        M: TensorCollection<E, D>,
        E: CheckpointDtype,
        D: AdamKernel<E>,
    {
        Ok(())
    }

    pub(super) fn mean(&self, _: &mut [f64]) {}
}

#[cfg(feature = "mpi")]
impl Ranks {
    /// The number of this process. The first, 0, saves and logs.
    pub(super) fn rank(&self) -> usize {
        self.world.as_ref().map_or(0, World::rank)
    }

    /// Gives all processes the state of the first.
    pub(super) fn start<M, E, D>(
        &self,
        model: &mut M,
        optimizer: &mut AdamW<E, D>,
        progress: &mut Progress,
    ) -> Result<(), TrainError<D::Err>>
    where
        M: TensorCollection<E, D>,
        E: CheckpointDtype,
        D: AdamKernel<E>,
    {
        let Some(world) = &self.world else { return Ok(()) };
        world.synchronize(model)?;
        let (mut steps, mut moments) = (optimizer.steps(), Vec::new());
        for (_, mut numbers) in optimizer.moments() {
            numbers.iter_mut().for_each(|numbers| world.broadcast(numbers));
            moments.push(numbers);
        }
        world.broadcast_one(&mut steps);
        optimizer.restore(steps, moments).map_err(TrainError::Device)?;
        let Progress { epoch, batches, loss } = progress;
        let mut count = *batches as u64;
        world.broadcast_one(epoch);
        world.broadcast_one(&mut count);
        world.broadcast_one(loss);
        *batches = count as usize;
        Ok(())
    }

    /// Replaces gradients by their mean over all processes.
    pub(super) fn average<M, E, D>(
        &self,
        model: &M,
        gradients: &mut Gradients<E, D>,
    ) -> Result<(), TrainError<D::Err>>
    where
        M: TensorCollection<E, D>,
        E: CheckpointDtype,
        D: AdamKernel<E>,
    {
        match &self.world {
            None => Ok(()),
            Some(world) => world.average(model, gradients).map_err(TrainError::Device),
        }
    }

    /// Replaces numbers by their means over all processes.
    pub(super) fn mean(&self, numbers: &mut [f64]) {
        if let Some(world) = &self.world {
            world.mean(numbers);
        }
    }
}
