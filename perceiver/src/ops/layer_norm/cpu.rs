//! The kernel: each row is processed completely while it is in the cache.

use dfdx::prelude::*;
use pulp::{Arch, Simd, WithSimd};

use super::EPSILON;
use crate::ops::cpu::math::{sum, update};
use crate::ops::cpu::{add, contiguous, for_each, gradient, map, parts, read, with_gradient_of};
use crate::ops::{Record, Rows, Vector};

pub(super) fn forward(
    record: &mut Record<f32, Cpu>,
    x: Rows<f32, Cpu>,
    weight: &Vector<f32, Cpu>,
    bias: &Vector<f32, Cpu>,
) -> Result<Rows<f32, Cpu>, CpuError> {
    let x = contiguous(record, &x)?;
    let weight = contiguous(record, weight)?;
    let bias = contiguous(record, bias)?;

    let width = weight.shape().0.size();
    let mut y = vec![0.0; x.shape().num_elements()];
    let chunk = chunk(y.len(), width);
    {
        let (x, weight, bias) = (&*read(&x), &*read(&weight), &*read(&bias));
        for_each(y.chunks_mut(chunk).zip(x.chunks(chunk)), |(y, x)| {
            Arch::new().dispatch(Forward { y, x, weight, bias });
        });
    }
    let y = x.device().try_tensor_from_vec(y, *x.shape())?;

    let result = y.clone();
    record.add(move |gradients| {
        with_gradient_of(gradients, &y, |dy, gradients| {
            let (numbers, scale) = (&*read(&x), &*read(&weight));
            let rows = gradient(gradients, &x)?
                .chunks_mut(chunk)
                .zip(numbers.chunks(chunk))
                .zip(dy.chunks(chunk));
            let parameters = map(rows, |((dx, x), dy)| {
                let mut backward = Backward {
                    dx,
                    x,
                    dy,
                    weight: scale,
                    d_weight: vec![0.0; width],
                    d_bias: vec![0.0; width],
                };
                Arch::new().dispatch(&mut backward);
                (backward.d_weight, backward.d_bias)
            });
            for (d_weight, d_bias) in parameters {
                add(gradient(gradients, &weight)?, &d_weight);
                add(gradient(gradients, &bias)?, &d_bias);
            }
            Ok(())
        })
    });
    Ok(result)
}

/// The number of elements per thread, in whole rows.
fn chunk(numbers: usize, width: usize) -> usize {
    let rows = numbers / width.max(1);
    // An element takes about ten operations.
    (rows.div_ceil(parts(10 * numbers)) * width).max(1)
}

/// The statistics with which a row is normalised.
#[derive(Clone, Copy)]
struct Normal<S: Simd> {
    mean: S::f32s,
    /// The inverse of the standard deviation.
    inverse: S::f32s,
}

impl<S: Simd> Normal<S> {
    #[inline(always)]
    fn new(simd: S, row: &[f32]) -> Self {
        let count = row.len() as f32;
        let mean = sum(
            simd,
            [row],
            #[inline(always)]
            |sum, [x]| simd.add_f32s(sum, x),
        ) / count;
        // Deviations from the mean, since a difference of large squares would have no digits left. The tail is handled
        // separately: the padding of its vector would have a deviation too.
        let mean_vector = simd.splat_f32s(mean);
        let (head, tail) = row.split_at(row.len() - row.len() % S::F32_LANES);
        let squares = sum(
            simd,
            [head],
            #[inline(always)]
            |sum, [x]| {
                let deviation = simd.sub_f32s(x, mean_vector);
                simd.mul_add_f32s(deviation, deviation, sum)
            },
        );
        let tail: f32 = tail.iter().map(|x| (x - mean) * (x - mean)).sum();
        let variance = (squares + tail) / count;
        let inverse = 1.0 / (variance + EPSILON as f32).sqrt();
        Self { mean: mean_vector, inverse: simd.splat_f32s(inverse) }
    }

    #[inline(always)]
    fn of(self, simd: S, x: S::f32s) -> S::f32s {
        simd.mul_f32s(simd.sub_f32s(x, self.mean), self.inverse)
    }
}

struct Forward<'a> {
    y: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        for (y, x) in self.y.chunks_exact_mut(width).zip(self.x.chunks_exact(width)) {
            let normal = Normal::new(simd, x);
            update(
                simd,
                y,
                [x, self.weight, self.bias],
                #[inline(always)]
                |_, [x, weight, bias]| simd.mul_add_f32s(normal.of(simd, x), weight, bias),
            );
        }
    }
}

struct Backward<'a> {
    dx: &'a mut [f32],
    x: &'a [f32],
    dy: &'a [f32],
    weight: &'a [f32],
    d_weight: Vec<f32>,
    d_bias: Vec<f32>,
}

impl WithSimd for &mut Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        let count = simd.splat_f32s(1.0 / width as f32);
        let rows = self
            .dx
            .chunks_exact_mut(width)
            .zip(self.x.chunks_exact(width))
            .zip(self.dy.chunks_exact(width));
        for ((dx, x), dy) in rows {
            let normal = Normal::new(simd, x);
            // With g the gradient of the normalised row: dx = (g - mean(g) - normal · mean(g · normal)) / deviation.
            let slices = [x, dy, self.weight];
            let sum_g = sum(
                simd,
                [dy, self.weight],
                #[inline(always)]
                |sum, [dy, weight]| simd.mul_add_f32s(dy, weight, sum),
            );
            let sum_g_normal = sum(
                simd,
                slices,
                #[inline(always)]
                |sum, [x, dy, weight]| {
                    simd.mul_add_f32s(simd.mul_f32s(dy, weight), normal.of(simd, x), sum)
                },
            );
            let mean_g = simd.mul_f32s(simd.splat_f32s(sum_g), count);
            let mean_g_normal = simd.mul_f32s(simd.splat_f32s(sum_g_normal), count);
            update(
                simd,
                dx,
                slices,
                #[inline(always)]
                |dx, [x, dy, weight]| {
                    let g = simd.sub_f32s(simd.mul_f32s(dy, weight), mean_g);
                    let g = simd.sub_f32s(g, simd.mul_f32s(normal.of(simd, x), mean_g_normal));
                    simd.mul_add_f32s(g, normal.inverse, dx)
                },
            );
            update(
                simd,
                &mut self.d_weight,
                [x, dy],
                #[inline(always)]
                |sum, [x, dy]| simd.mul_add_f32s(dy, normal.of(simd, x), sum),
            );
            update(
                simd,
                &mut self.d_bias,
                [dy],
                #[inline(always)]
                |sum, [dy]| simd.add_f32s(sum, dy),
            );
        }
    }
}
