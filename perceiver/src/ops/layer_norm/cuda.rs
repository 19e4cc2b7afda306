//! The kernel for `Cuda`.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use super::EPSILON;
use crate::ops::cuda::{Array, Grid, Memory, Number, Source};
use crate::ops::{KernelDevice, Record, Rows, Vector};

const SOURCE: Source = Source { name: "layer_norm", text: include_str!("layer_norm.cu") };

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Rows<E, Cuda>,
    weight: &Vector<E, Cuda>,
    bias: &Vector<E, Cuda>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let x = Array::new(record, x)?;
    let (weight, bias) = (Array::new(record, weight)?, Array::new(record, bias)?);
    let shape @ (batch, count, width) = *x.tensor.shape();
    let rows = batch * count;
    let device = x.tensor.device();
    let y = Array::zeros(device, shape)?;
    let statistics = Memory::<E>::new_if(record.is_on(), device, 2 * rows)?;
    let grid = Grid::warps(rows);
    let sizes = [rows as u64, width as u64];
    let arguments = [x.address, weight.address, bias.address, y.address, statistics.address()];
    // SAFETY: all are rows of `width` numbers, and two statistics for each row.
    unsafe {
        let arguments = [&arguments[..], &sizes, &[EPSILON.to_bits()]].concat();
        x.gpu.launch::<E>(&SOURCE, &[], "normalize", grid, &arguments)?;
    }
    let result = y.tensor.clone();
    record.add(move |gradients| {
        let d_y = y.gradient(gradients)?;
        let d_x = x.gradient(gradients)?;
        let (d_weight, d_bias) = (weight.gradient(gradients)?, bias.gradient(gradients)?);
        let arguments = [x.address, weight.address, statistics.address(), d_y, d_x];
        let of_parameters = [x.address, statistics.address(), d_y, d_weight, d_bias];
        let columns = Grid::columns(width);
        // SAFETY: gradients are as large as what they belong to.
        unsafe {
            let arguments = [&arguments[..], &sizes].concat();
            x.gpu.launch::<E>(&SOURCE, &[], "add_gradient", grid, &arguments)?;
            let arguments = [&of_parameters[..], &sizes].concat();
            x.gpu.launch::<E>(&SOURCE, &[], "add_gradient_of_parameters", columns, &arguments)
        }
    });
    Ok(result)
}
