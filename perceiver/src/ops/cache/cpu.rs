//! The kernel: memory that is allocated once, and one pass over the keys and one over the values of each head.

use dfdx::prelude::*;
use pulp::{Arch, Simd, WithSimd};

use super::Heads;
use crate::ops::Rows;
use crate::ops::cpu::math::{exp2, sum, update};
use crate::ops::cpu::{Scratch, map, parts, read};

/// Keys and values on a `Cpu`: for each item a ring of as many as there is space for.
#[derive(Clone, Debug)]
pub struct CpuCache {
    numbers: Vec<f32>,
    batch: usize,
    width: usize,
    capacity: usize,
    len: usize,
    /// The place of the oldest.
    start: usize,
}

impl CpuCache {
    pub(super) fn new(rows: &Rows<f32, Cpu>, capacity: usize) -> Self {
        let (batch, count, width) = *rows.shape();
        let (len, numbers) = (count.min(capacity), read(rows));
        // Memory that is not used yet costs nothing.
        let mut cache = vec![0.0; batch * capacity * width];
        let items = cache.chunks_exact_mut((capacity * width).max(1));
        for (to, from) in items.zip(numbers.chunks_exact((count * width).max(1))) {
            to[..len * width].copy_from_slice(&from[(count - len) * width..]);
        }
        Self { numbers: cache, batch, width, capacity, len, start: 0 }
    }

    pub(super) fn batch(&self) -> usize {
        self.batch
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds one row of each item.
    pub(super) fn push(&mut self, rows: &[f32]) {
        let place = (self.start + self.len) % self.capacity;
        let items = self.numbers.chunks_exact_mut(self.capacity * self.width);
        for (item, row) in items.zip(rows.chunks_exact(self.width)) {
            item[place * self.width..][..self.width].copy_from_slice(row);
        }
        match self.len == self.capacity {
            true => self.start = (self.start + 1) % self.capacity,
            false => self.len += 1,
        }
    }

    /// Attends with one query of each item.
    pub(super) fn attend(&self, query: &[f32], heads: Heads, allowed: Option<&[bool]>) -> Vec<f32> {
        let Heads { count, dim, value_dim } = heads;
        let run = |i: usize| {
            let (item, head) = (i / count, i % count);
            let rows = &self.numbers[item * self.capacity * self.width..];
            let mut out = vec![0.0; value_dim];
            Arch::new().dispatch(OneQuery {
                out: &mut out,
                query: &query[i * dim..][..dim],
                rows: &rows[..self.len * self.width],
                width: self.width,
                key: head * dim,
                value: count * dim + head * value_dim,
                scale: heads.scale() as f32,
                is_allowed: |place| {
                    // The oldest is not at the start of the ring when it is full.
                    let age = (place + self.capacity - self.start) % self.capacity;
                    allowed.is_none_or(|allowed| allowed[item * self.len + age])
                },
            });
            out
        };
        let all = 0..self.batch * count;
        let results: Vec<Vec<f32>> = match parts(all.len() * self.len * (dim + value_dim)) {
            1 => all.map(run).collect(),
            _ => map(all, run),
        };
        results.concat()
    }
}

/// One query of one head.
struct OneQuery<'a, F> {
    out: &'a mut [f32],
    query: &'a [f32],
    rows: &'a [f32],
    width: usize,
    /// Where the key of the head is in a row.
    key: usize,
    value: usize,
    scale: f32,
    is_allowed: F,
}

impl<F: Fn(usize) -> bool> WithSimd for OneQuery<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = || self.rows.chunks_exact(self.width);
        let mut weights = Scratch::new(rows().len());
        let scale = self.scale * std::f32::consts::LOG2_E;
        let mut highest = f32::NEG_INFINITY;
        for (place, (weight, row)) in weights.iter_mut().zip(rows()).enumerate() {
            let key = &row[self.key..][..self.query.len()];
            let score = sum(
                simd,
                [self.query, key],
                #[inline(always)]
                |sum, [x, y]| simd.mul_add_f32s(x, y, sum),
            );
            let is_allowed = (self.is_allowed)(place);
            *weight = if is_allowed { score * scale } else { f32::NEG_INFINITY };
            highest = highest.max(*weight);
        }
        let highest = simd.splat_f32s(highest);
        update(
            simd,
            &mut weights,
            [],
            #[inline(always)]
            |score, []| exp2(simd, simd.sub_f32s(score, highest)),
        );
        let total = sum(
            simd,
            [&*weights],
            #[inline(always)]
            |sum, [x]| simd.add_f32s(sum, x),
        );
        for (weight, row) in weights.iter().zip(rows()) {
            let weight = simd.splat_f32s(weight / total);
            let value = &row[self.value..][..self.out.len()];
            update(
                simd,
                self.out,
                [value],
                #[inline(always)]
                |sum, [x]| simd.mul_add_f32s(weight, x, sum),
            );
        }
    }
}
