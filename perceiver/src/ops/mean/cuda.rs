//! The kernel for `Cuda`.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Grid, Number, Source};
use crate::ops::{KernelDevice, Record, Rows};

const SOURCE: Source = Source { name: "mean", text: include_str!("mean.cu") };

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Rows<E, Cuda>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let x = Array::new(record, x)?;
    let (batch, rows, width) = *x.tensor.shape();
    let y = Array::zeros(x.tensor.device(), (batch, 1, width))?;
    let grid = Grid::blocks(batch * width.div_ceil(32));
    let arguments = [x.address, y.address, rows as u64, width as u64];
    // SAFETY: these are the sizes of the tensors.
    unsafe { x.gpu.launch::<E>(&SOURCE, &[], "average", grid, &arguments)? };

    let result = y.tensor.clone();
    record.add(move |gradients| {
        let (d_y, d_x) = (y.gradient(gradients)?, x.gradient(gradients)?);
        let count = batch * rows * width;
        let arguments = [d_y, d_x, count as u64, rows as u64, width as u64];
        // SAFETY: gradients are as large as what they belong to.
        unsafe { x.gpu.launch::<E>(&SOURCE, &[], "add_gradient", Grid::over(count), &arguments) }
    });
    Ok(result)
}
