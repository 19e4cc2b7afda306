//! The kernel: one pass over the logits in each direction; the probabilities are not kept.

use std::f32::consts::LOG2_E;

use dfdx::prelude::*;
use pulp::{Arch, Simd, WithSimd};

use crate::ops::cpu::math::{exp2, sum, update};
use crate::ops::cpu::{contiguous, for_each, gradient, map, parts, read, with_gradient_of};
use crate::ops::{Record, Rows};

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    logits: Rows<f32, Cpu>,
    targets: &[Option<usize>],
    smoothing: f64,
) -> Result<Tensor<(), f32, Cpu>, CpuError> {
    let logits = contiguous(record, &logits)?;
    let classes = logits.shape().2;
    let targets = targets.to_vec();
    let count = super::count(&targets);
    // A number takes about ten operations.
    let rows = targets.len().div_ceil(parts(10 * targets.len() * classes)).max(1);

    let mut log_sums = vec![0.0; targets.len()];
    let losses = {
        let numbers = read(&logits);
        let blocks = log_sums
            .chunks_mut(rows)
            .zip(targets.chunks(rows))
            .zip(numbers.chunks((rows * classes).max(1)));
        map(blocks, |((log_sums, targets), logits)| {
            Arch::new().dispatch(Forward { log_sums, targets, logits, classes, smoothing })
        })
    };
    let loss = losses.into_iter().sum::<f64>() / count;
    let loss = logits.device().try_tensor_from_vec(vec![loss as f32], ())?;

    let result = loss.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &loss, |d_loss, gradients| {
            let factor = d_loss.first().map_or(0.0, |d| f64::from(*d) / count);
            let numbers = read(&logits);
            let blocks = gradient(gradients, &logits)?
                .chunks_mut((rows * classes).max(1))
                .zip(numbers.chunks((rows * classes).max(1)))
                .zip(log_sums.chunks(rows).zip(targets.chunks(rows)));
            for_each(blocks, |((d_logits, logits), (log_sums, targets))| {
                let smoothing = smoothing as f32;
                let factor = factor as f32;
                Arch::new().dispatch(Backward {
                    d_logits,
                    logits,
                    log_sums,
                    targets,
                    classes,
                    smoothing,
                    factor,
                });
            });
            Ok(())
        })
    });
    Ok(result)
}

struct Forward<'a> {
    /// The logarithm of the sum of the exponentials of each row.
    log_sums: &'a mut [f32],
    targets: &'a [Option<usize>],
    logits: &'a [f32],
    classes: usize,
    smoothing: f64,
}

impl WithSimd for Forward<'_> {
    /// The sum of the losses.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let mut total = 0.0;
        let rows = self.logits.chunks_exact(self.classes);
        for (row, (log_sum, target)) in rows.zip(self.log_sums.iter_mut().zip(self.targets)) {
            let Some(target) = *target else { continue };
            *log_sum = log_sum_exp(simd, row);
            let mut expected = f64::from(row[target]);
            if self.smoothing > 0.0 {
                let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / row.len() as f64;
                expected += self.smoothing * (mean - expected);
            }
            total += f64::from(*log_sum) - expected;
        }
        total
    }
}

#[inline(always)]
fn log_sum_exp<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let (head, tail) = S::as_simd_f32s(row);
    let mut highest = simd.splat_f32s(f32::NEG_INFINITY);
    for x in head {
        highest = simd.max_f32s(highest, *x);
    }
    let highest = tail.iter().fold(simd.reduce_max_f32s(highest), |x, y| x.max(*y));
    let shift = simd.splat_f32s(highest);
    let scale = simd.splat_f32s(LOG2_E);
    // Not the tail, where the padding of the vector would count.
    let (head, tail) = row.split_at(row.len() - tail.len());
    let of_head = sum(
        simd,
        [head],
        #[inline(always)]
        |sum, [x]| simd.add_f32s(sum, exp2(simd, simd.mul_f32s(simd.sub_f32s(x, shift), scale))),
    );
    let of_tail: f32 = tail.iter().map(|x| (x - highest).exp()).sum();
    highest + (of_head + of_tail).ln()
}

struct Backward<'a> {
    d_logits: &'a mut [f32],
    logits: &'a [f32],
    log_sums: &'a [f32],
    targets: &'a [Option<usize>],
    classes: usize,
    smoothing: f32,
    factor: f32,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self
            .d_logits
            .chunks_exact_mut(self.classes)
            .zip(self.logits.chunks_exact(self.classes));
        for ((d_row, row), (log_sum, target)) in rows.zip(self.log_sums.iter().zip(self.targets)) {
            let Some(target) = *target else { continue };
            let factor = simd.splat_f32s(self.factor);
            let others = simd.splat_f32s(self.smoothing / self.classes as f32);
            let log_sum = simd.splat_f32s(*log_sum);
            let scale = simd.splat_f32s(LOG2_E);
            update(
                simd,
                d_row,
                [row],
                #[inline(always)]
                |sum, [x]| {
                    let p = exp2(simd, simd.mul_f32s(simd.sub_f32s(x, log_sum), scale));
                    simd.mul_add_f32s(simd.sub_f32s(p, others), factor, sum)
                },
            );
            d_row[target] -= (1.0 - self.smoothing) * self.factor;
        }
    }
}
