//! The kernel for `Cuda`.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use super::{Angles, Heads};
use crate::ops::cuda::{Array, Grid, Number, Source};
use crate::ops::{KernelDevice, Record, Rows};

const SOURCE: Source = Source { name: "rotary", text: include_str!("rotary.cu") };

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Rows<E, Cuda>,
    heads: Heads,
    angles: &Angles,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let x = Array::new(record, x)?;
    let shape = *x.tensor.shape();
    let turns = angles.table.as_flattened().to_vec();
    let turn_rows = angles.table.len() / angles.pairs;
    let turns = x.gpu.table::<E>(&[turns])?;
    let y = Array::zeros(x.tensor.device(), shape)?;
    let count = shape.num_elements() / 2;
    let sizes = [count, turn_rows, shape.2, heads.count, heads.dim, angles.pairs];
    let sizes = sizes.map(|size| size as u64);
    let grid = Grid::over(count);
    let arguments = [&[x.address, turns.address(), y.address][..], &sizes].concat();
    // SAFETY: these are the sizes of the tensors, and there is a turn for each pair of so many rows.
    unsafe { x.gpu.launch::<E>(&SOURCE, &[], "rotate", grid, &arguments)? };

    let result = y.tensor.clone();
    record.add(move |gradients| {
        let (d_y, d_x) = (y.gradient(gradients)?, x.gradient(gradients)?);
        let arguments = [&[d_y, turns.address(), d_x][..], &sizes].concat();
        // SAFETY: gradients are as large as what they belong to.
        unsafe { x.gpu.launch::<E>(&SOURCE, &[], "add_gradient", grid, &arguments) }
    });
    Ok(result)
}
