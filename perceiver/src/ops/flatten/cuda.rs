//! The kernel for `Cuda`, which copies nothing but views.

use dfdx::prelude::*;

use super::rows;
use crate::ops::cuda::{Array, Number};
use crate::ops::record::with_tape;
use crate::ops::{KernelDevice, Record, Rows};

pub(super) fn flatten<S: Shape, E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Tensor<S, E, Cuda>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let x = Array::new(record, x)?.tensor;
    with_tape!(record, rows(x))
}
