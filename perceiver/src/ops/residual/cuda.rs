//! The kernel for `Cuda`.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Grid, Number, Source};
use crate::ops::{KernelDevice, Record, Rows};

const SOURCE: Source = Source { name: "residual", text: include_str!("residual.cu") };

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Rows<E, Cuda>,
    branch: &Rows<E, Cuda>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let (x, branch) = (Array::new(record, x)?, Array::new(record, branch)?);
    let shape = *x.tensor.shape();
    let y = Array::zeros(x.tensor.device(), shape)?;
    let count = shape.num_elements();
    let arguments = [x.address, branch.address, y.address, count as u64];
    // SAFETY: all have `count` numbers.
    unsafe { x.gpu.launch::<E>(&SOURCE, &[], "add", Grid::over(count), &arguments)? };

    let result = y.tensor.clone();
    record.add(move |gradients| {
        let d_y = y.gradient(gradients)?;
        let (d_x, d_branch) = (x.gradient(gradients)?, branch.gradient(gradients)?);
        let arguments = [d_y, d_x, d_branch, count as u64];
        // SAFETY: gradients are as large as what they belong to.
        unsafe { x.gpu.launch::<E>(&SOURCE, &[], "add_to_both", Grid::over(count), &arguments) }
    });
    Ok(result)
}
