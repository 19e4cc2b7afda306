//! Half precision on dfdx's `Cuda`.

use dfdx::prelude::{CpuError, Cuda, CudaError, Shape, Tape, Tensor};
use dfdx::tensor_ops::Device as TensorDevice;

use super::{Half, wide};
use crate::ops::{Accumulation, Dense, Device, Positioned, context};

impl<E: Half> Device<E> for Cuda
where
    Self: TensorDevice<E>,
{
    type Context = Dense<E, Self>;

    fn try_context<T: Tape<E, Self>>(
        tokens: Positioned<E, Self, T>,
        _whole: bool,
    ) -> Result<(Self::Context, T), CudaError> {
        context::plain_prepare(tokens)
    }

    fn dense(context: &Self::Context) -> Option<&Dense<E, Self>> {
        Some(context)
    }

    fn try_attend<T: Tape<E, Self>>(
        query: Tensor<(usize, usize, usize), E, Self, T>,
        context: &Self::Context,
    ) -> Result<Tensor<(usize, usize, usize), E, Self, T>, CudaError> {
        context::plain(query, context)
    }

    fn try_accumulate<S: Shape, Op: Accumulation<S, Self>, T: Tape<E, Self>>(
        x: Tensor<S, E, Self, T>,
        op: Op,
    ) -> Result<Tensor<Op::Output, E, Self, T>, CudaError> {
        wide::try_accumulate(x, op)
    }

    fn wrong_number_of_elements() -> CudaError {
        CudaError::Cpu(CpuError::WrongNumElements)
    }
}
