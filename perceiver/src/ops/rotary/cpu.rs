//! The kernel: one pass over the rows.

use dfdx::prelude::*;

use super::{Angles, Heads};
use crate::ops::cpu::{add, contiguous, for_each, gradient, parts, to_vec, with_gradient_of};
use crate::ops::{Record, Rows};

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    x: Rows<f32, Cpu>,
    heads: Heads,
    angles: &Angles,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let x = contiguous(record, &x)?;
    let shape = *x.shape();
    let turns = Turns::new(shape.2, heads, angles);
    let mut out = to_vec(&x);
    turns.each_pair(&mut out, |pair, [cos, sin]| {
        let [first, second] = *pair;
        *pair = [first * cos - second * sin, second * cos + first * sin];
    });
    let out = x.device().try_tensor_from_vec(out, shape)?;

    let result = out.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &out, |d_out, gradients| {
            let mut d_x = d_out.to_vec();
            // Back by the same angle.
            turns.each_pair(&mut d_x, |pair, [cos, sin]| {
                let [first, second] = *pair;
                *pair = [first * cos + second * sin, second * cos - first * sin];
            });
            add(gradient(gradients, &x)?, &d_x);
            Ok(())
        })
    });
    Ok(result)
}

/// The cosines and sines of all rows.
struct Turns {
    width: usize,
    heads: Heads,
    /// Those of each row, of which there may be fewer than rows.
    table: Vec<[f32; 2]>,
    pairs: usize,
}

impl Turns {
    fn new(width: usize, heads: Heads, angles: &Angles) -> Self {
        let table = angles.table.iter().map(|turn| turn.map(|x| x as f32)).collect();
        Self { width, heads, table, pairs: angles.pairs }
    }

    /// Turns each pair, on all threads.
    fn each_pair(&self, numbers: &mut [f32], turn: impl Fn(&mut [f32; 2], [f32; 2]) + Sync) {
        if self.pairs == 0 {
            return;
        }
        let table_rows = self.table.len() / self.pairs;
        let rows = (numbers.len() / self.width).div_ceil(parts(4 * numbers.len())).max(1);
        for_each(numbers.chunks_mut(rows * self.width).enumerate(), |(part, numbers)| {
            let turns = self.table.chunks_exact(self.pairs).cycle().skip(part * rows % table_rows);
            for (row, turns) in numbers.chunks_exact_mut(self.width).zip(turns) {
                for head in row.chunks_exact_mut(self.heads.dim).take(self.heads.count) {
                    let (pairs, _) = head.as_chunks_mut();
                    for (pair, by) in pairs.iter_mut().zip(turns) {
                        turn(pair, *by);
                    }
                }
            }
        });
    }
}
