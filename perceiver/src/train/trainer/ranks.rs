//! The processes that train together: one, unless there is MPI.

use dfdx::nn::tensor_collection::TensorCollection;
use dfdx::prelude::*;

use super::{Progress, TrainError};
use crate::checkpoint::CheckpointDtype;
use crate::ops::AdamKernel;
use crate::train::AdamW;
#[cfg(feature = "mpi")]
use crate::train::distributed::World;

/// This process and those that it trains with.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranks {
    #[cfg(feature = "mpi")]
    pub(super) world: Option<World>,
}

#[cfg_attr(
    not(feature = "mpi"),
    expect(unused_variables, clippy::unused_self, clippy::unnecessary_wraps)
)]
impl Ranks {
    /// The number of this process. The first, 0, saves and logs.
    pub(super) fn rank(&self) -> usize {
        #[cfg(feature = "mpi")]
        if let Some(world) = &self.world {
            return world.rank();
        }
        0
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
        #[cfg(feature = "mpi")]
        if let Some(world) = &self.world {
            world.synchronize(model)?;
            world.synchronize_optimizer(optimizer).map_err(TrainError::Device)?;
            let Progress { epoch, batches, loss } = progress;
            let mut count = *batches as u64;
            world.broadcast_one(epoch);
            world.broadcast_one(&mut count);
            world.broadcast_one(loss);
            *batches = count as usize;
        }
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
        #[cfg(feature = "mpi")]
        if let Some(world) = &self.world {
            world.average(model, gradients).map_err(TrainError::Device)?;
        }
        Ok(())
    }

    /// Replaces numbers by their means over all processes.
    pub(super) fn mean(&self, numbers: &mut [f64]) {
        #[cfg(feature = "mpi")]
        if let Some(world) = &self.world {
            world.mean(numbers);
        }
    }
}
