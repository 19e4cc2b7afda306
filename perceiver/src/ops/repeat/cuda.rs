//! The kernel for `Cuda`.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Grid, Number, Source};
use crate::ops::{KernelDevice, Record, Rows};

const SOURCE: Source = Source { name: "repeat", text: include_str!("repeat.cu") };

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Tensor<(usize, usize), E, Cuda>,
    batch: usize,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let x = Array::new(record, x)?;
    let (rows, width) = *x.tensor.shape();
    let y = Array::zeros(x.tensor.device(), (batch, rows, width))?;
    let of_item = rows * width;
    let arguments = [x.address, y.address, (batch * of_item) as u64, of_item as u64];
    let grid = Grid::over(batch * of_item);
    // SAFETY: `x` has `of_item` numbers, and `y` as many for each item.
    unsafe { x.gpu.launch::<E>(&SOURCE, &[], "repeat", grid, &arguments)? };

    let result = y.tensor.clone();
    record.add(move |gradients| {
        let (d_y, d_x) = (y.gradient(gradients)?, x.gradient(gradients)?);
        let arguments = [d_y, d_x, batch as u64, of_item as u64];
        // SAFETY: gradients are as large as what they belong to.
        unsafe { x.gpu.launch::<E>(&SOURCE, &[], "add_gradient", Grid::over(of_item), &arguments) }
    });
    Ok(result)
}
