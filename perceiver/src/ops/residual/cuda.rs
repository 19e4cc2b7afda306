//! The kernel for `Cuda`.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Grid, Number, Source};
use crate::ops::random::seed;
use crate::ops::{KernelDevice, Record, Rows};

const SOURCE: Source = Source { name: "residual", text: include_str!("residual.cu") };

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Rows<E, Cuda>,
    branch: &Rows<E, Cuda>,
    dropout: f64,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let (x, branch) = (Array::new(record, x)?, Array::new(record, branch)?);
    let shape = *x.tensor.shape();
    let y = Array::zeros(x.tensor.device(), shape)?;
    let count = shape.num_elements();
    let rate = if record.is_on() { dropout } else { 0.0 };
    let constants = [("DROPOUT", usize::from(rate > 0.0))];
    let seed = if rate > 0.0 { seed(x.tensor.device()) } else { 0 };
    let settings = [count as u64, rate.to_bits(), seed];
    let arguments = [&[x.address, branch.address, y.address][..], &settings].concat();
    // SAFETY: all have `count` numbers.
    unsafe { x.gpu.launch::<E>(&SOURCE, &constants, "add", Grid::over(count), &arguments)? };

    let result = y.tensor.clone();
    record.add(move |gradients| {
        let d_y = y.gradient(gradients)?;
        let (d_x, d_branch) = (x.gradient(gradients)?, branch.gradient(gradients)?);
        let arguments = [&[d_y, d_x, d_branch][..], &settings].concat();
        // SAFETY: gradients are as large as what they belong to.
        unsafe {
            x.gpu.launch::<E>(&SOURCE, &constants, "add_to_both", Grid::over(count), &arguments)
        }
    });
    Ok(result)
}
