//! The kernel: rows are copied, on all threads.

use dfdx::prelude::*;

use super::Places;
use crate::WrongSize;
use crate::ops::cpu::{add, contiguous, for_each, gradient, parts, read, with_gradient_of};
use crate::ops::{Matrix, Record, Rows, check};

/// Whether a table with so many rows is copied, in order to read some of them: dfdx copies a whole table, or gives numbers one by
/// one, which takes several times as long for each.
pub(crate) const fn is_copied(places: usize, rows: usize) -> bool {
    places > rows / 4
}

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    tables: &[(&Matrix<f32, Cpu>, &Places<Cpu>)],
) -> Result<Rows<f32, Cpu>, CpuError> {
    let Some((first, places)) = tables.first() else { return Err(CpuError::wrong_size()) };
    let (width, (batch, tokens)) = (first.shape().1.size(), *places.shape());
    let device = first.device().clone();
    let mut all = Vec::new();
    for (table, places) in tables {
        let (table, places) = (contiguous(record, table)?, places.as_vec());
        check::<CpuError>(places.iter().all(|&place| place < table.shape().0.size()))?;
        all.push((table, places));
    }

    let copies: Vec<_> = all
        .iter()
        .map(|(table, places)| is_copied(places.len(), table.shape().0.size()).then(|| read(table)))
        .collect();
    let mut y = vec![0.0; batch * tokens * width];
    let part = (batch * tokens).div_ceil(parts(4 * y.len())).max(1);
    for_each(y.chunks_mut((part * width).max(1)).enumerate(), |(i, rows)| {
        for (j, row) in rows.chunks_mut(width).enumerate() {
            for ((table, places), copy) in all.iter().zip(&copies) {
                let place = places[i * part + j];
                match copy {
                    Some(copy) => {
                        let terms = &copy[place * width..(place + 1) * width];
                        row.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
                    }
                    None => row
                        .iter_mut()
                        .enumerate()
                        .for_each(|(column, sum)| *sum += table[[place, column]]),
                }
            }
        }
    });
    let y = device.try_tensor_from_vec(y, (batch, tokens, width))?;

    let result = y.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &y, |dy, gradients| {
            for (table, places) in &all {
                let sums = gradient(gradients, table)?;
                for (place, terms) in places.iter().zip(dy.chunks(width)) {
                    add(&mut sums[place * width..(place + 1) * width], terms);
                }
            }
            Ok(())
        })
    });
    Ok(result)
}
