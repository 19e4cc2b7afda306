//! The kernel for `Cuda`: rows are read where they are, and their gradients are summed in the order of the places, in what is
//! computed in. dfdx's own operation adds them one by one in the data type, in any order.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use super::Places;
use crate::WrongSize;
use crate::ops::cuda::{Array, Grid, Memory, Number, Source, contiguous_places};
use crate::ops::{KernelDevice, Matrix, Record, Rows};

const SOURCE: Source = Source { name: "embed", text: include_str!("embed.cu") };

/// The columns of a row that a block sums.
const COLUMNS: usize = 32 * 4;

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    tables: &[(&Matrix<E, Cuda>, &Places<Cuda>)],
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let Some((first, places)) = tables.first() else { return Err(CudaError::wrong_size()) };
    let (width, (batch, tokens)) = (first.shape().1.size(), *places.shape());
    let positions = batch * tokens;
    let y = Array::zeros(first.device(), (batch, tokens, width))?;
    let mut all = Vec::new();
    for (table, places) in tables {
        let (table, places) = (Array::new(record, *table)?, contiguous_places(places)?);
        let sizes = [positions * width, width, table.tensor.shape().0.size()];
        let addresses = [table.address, places.address, y.address];
        let arguments = [&addresses[..], &sizes.map(|size| size as u64)].concat();
        let grid = Grid::over(positions * width);
        // SAFETY: there are so many places and rows of the table, and `y` has a row for each place.
        unsafe { y.gpu.launch::<E>(&SOURCE, &[], "add_rows", grid, &arguments)? };
        all.push((table, places));
    }

    let result = y.tensor.clone();
    record.add(move |gradients| {
        let d_y = y.gradient(gradients)?;
        for (table, places) in &all {
            let rows = table.tensor.shape().0.size();
            // Of 64 bits each, as places are.
            let rests = Memory::<f64>::new(table.tensor.device(), rows)?;
            let of_places = [places.address, rests.address(), positions as u64, rows as u64];
            let d_table = table.gradient(gradients)?;
            let sizes = [positions, width, rows].map(|size| size as u64);
            let addresses = [d_y, places.address, rests.address(), d_table];
            let arguments = [&addresses[..], &sizes].concat();
            let blocks = Grid::blocks(positions * width.div_ceil(COLUMNS));
            // SAFETY: gradients are as large as what they belong to, and `rests` has a number for each row of the table.
            unsafe {
                let grid = Grid::over(positions);
                y.gpu.launch::<E>(&SOURCE, &[], "find_first", grid, &of_places)?;
                y.gpu.launch::<E>(&SOURCE, &[], "add_gradient", blocks, &arguments)?;
            }
        }
        Ok(())
    });
    Ok(result)
}
