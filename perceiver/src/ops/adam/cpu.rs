//! The kernel: one pass over a parameter, its gradient and its moments; two for LAMB.

use pulp::{Arch, Simd, WithSimd};

use super::{AdamStep, trust_ratio};
use crate::ops::cpu::math::{sum, update, update_all};
use crate::ops::cpu::{for_each, map, parts};

/// The numbers that are summed in `f32` before `f64`.
const RUN: usize = 4096;

/// The length of the part of each thread.
fn part(len: usize) -> usize {
    // A number takes about eight operations, most of them reads.
    len.div_ceil(parts(8 * len)).next_multiple_of(RUN)
}

pub(super) fn square_sum(numbers: &[f32]) -> f64 {
    map(numbers.chunks(part(numbers.len())), |numbers| Arch::new().dispatch(Squares(numbers)))
        .into_iter()
        .sum()
}

struct Squares<'a>(&'a [f32]);

impl WithSimd for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let of_run = |run| {
            sum(
                simd,
                [run],
                #[inline(always)]
                |sum, [x]| simd.mul_add_f32s(x, x, sum),
            )
        };
        self.0.chunks(RUN).map(|run| f64::from(of_run(run))).sum()
    }
}

pub(super) fn step(
    parameter: &mut [f32],
    gradient: &mut [f32],
    [first, second]: &mut [Vec<f32>; 2],
    step: &AdamStep,
) {
    let part = part(parameter.len());
    let moments = first.chunks_mut(part).zip(second.chunks_mut(part));
    let parts = parameter.chunks_mut(part).zip(gradient.chunks_mut(part)).zip(moments);
    let parts = parts.map(|((parameter, gradient), (first, second))| {
        let values = Values::new(step);
        Part { parameter, gradient, first, second, values }
    });
    if !step.trust_ratio {
        return for_each(parts, |part| Arch::new().dispatch(AdamW(part)));
    }
    let squares = map(parts, |part| Arch::new().dispatch(Lamb(part)));
    let norm = |i: usize| squares.iter().map(|squares| squares[i]).sum::<f64>().sqrt();
    let rate = (step.own_rate() * trust_ratio(norm(0), norm(1))) as f32;
    for_each(parameter.chunks_mut(part).zip(gradient.chunks_mut(part)), |(parameter, update)| {
        Arch::new().dispatch(Subtract { parameter, update, rate });
    });
}

/// The numbers of a step, as the kernel needs them.
#[derive(Clone, Copy)]
struct Values {
    factor: f32,
    limit: f32,
    betas: [f32; 2],
    /// What gradients and their squares are multiplied by before they are added to the moments.
    rest: [f32; 2],
    /// What the first moment, and the root of the second, are multiplied by.
    corrections: [f32; 2],
    epsilon: f32,
    rate: f32,
    decay: f32,
    /// What is left of a parameter after its decay.
    kept: f32,
}

impl Values {
    fn new(step: &AdamStep) -> Self {
        let [first, second] = step.corrections();
        Self {
            factor: step.factor as f32,
            limit: step.limit as f32,
            betas: step.betas.map(|beta| beta as f32),
            rest: step.betas.map(|beta| (1.0 - beta) as f32),
            corrections: [(1.0 / first) as f32, (1.0 / second.sqrt()) as f32],
            epsilon: step.epsilon as f32,
            rate: step.own_rate() as f32,
            decay: step.weight_decay as f32,
            kept: (1.0 - step.own_rate() * step.weight_decay) as f32,
        }
    }

    /// Returns the next moments and the update.
    #[inline(always)]
    fn next<S: Simd>(self, simd: S, gradient: S::f32s, moments: [S::f32s; 2]) -> [S::f32s; 3] {
        let splat = |x: f32| simd.splat_f32s(x);
        let gradient = simd.mul_f32s(gradient, splat(self.factor));
        let gradient = simd.min_f32s(gradient, splat(self.limit));
        let gradient = simd.max_f32s(gradient, splat(-self.limit));
        let [first, second] = moments;
        let terms = simd.mul_f32s(gradient, splat(self.rest[0]));
        let first = simd.mul_add_f32s(first, splat(self.betas[0]), terms);
        let terms = simd.mul_f32s(simd.mul_f32s(gradient, gradient), splat(self.rest[1]));
        let second = simd.mul_add_f32s(second, splat(self.betas[1]), terms);
        let root = simd.sqrt_f32s(second);
        let below = simd.mul_add_f32s(root, splat(self.corrections[1]), splat(self.epsilon));
        let above = simd.mul_f32s(first, splat(self.corrections[0]));
        [first, second, simd.div_f32s(above, below)]
    }
}

/// A part of a parameter with what belongs to it.
struct Part<'a> {
    parameter: &'a mut [f32],
    gradient: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    values: Values,
}

struct AdamW<'a>(Part<'a>);

impl WithSimd for AdamW<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Part { parameter, gradient, first, second, values } = self.0;
        update_all(
            simd,
            [parameter, gradient, first, second],
            [],
            #[inline(always)]
            |[parameter, gradient, first, second], []| {
                let [first, second, update] = values.next(simd, gradient, [first, second]);
                let kept = simd.mul_f32s(parameter, simd.splat_f32s(values.kept));
                let rate = simd.splat_f32s(-values.rate);
                [simd.mul_add_f32s(update, rate, kept), simd.splat_f32s(0.0), first, second]
            },
        );
    }
}

/// Replaces the gradient by the update with its weight decay; returns the sums of the squares of the parameter and of that.
struct Lamb<'a>(Part<'a>);

impl WithSimd for Lamb<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f64; 2] {
        let Part { parameter, gradient, first, second, values } = self.0;
        update_all(
            simd,
            [&mut *gradient, first, second],
            [&*parameter],
            #[inline(always)]
            |[gradient, first, second], [parameter]| {
                let [first, second, update] = values.next(simd, gradient, [first, second]);
                let decay = simd.splat_f32s(values.decay);
                [simd.mul_add_f32s(parameter, decay, update), first, second]
            },
        );
        [&*parameter, gradient].map(|numbers| Squares(numbers).with_simd(simd))
    }
}

/// Subtracts an update, and sets it to 0.
struct Subtract<'a> {
    parameter: &'a mut [f32],
    update: &'a mut [f32],
    rate: f32,
}

impl WithSimd for Subtract<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rate = simd.splat_f32s(-self.rate);
        update(
            simd,
            self.parameter,
            [self.update],
            #[inline(always)]
            |x, [update]| simd.mul_add_f32s(update, rate, x),
        );
        self.update.fill(0.0);
    }
}

/// Moves an average towards some numbers.
pub(super) fn average(average: &mut [f32], numbers: &[f32], decay: f64) {
    let part = part(numbers.len());
    let parts = average.chunks_mut(part).zip(numbers.chunks(part));
    for_each(parts, |(average, numbers)| {
        Arch::new().dispatch(Average { average, numbers, decay });
    });
}

struct Average<'a> {
    average: &'a mut [f32],
    numbers: &'a [f32],
    decay: f64,
}

impl WithSimd for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [kept, rest] =
            [self.decay, 1.0 - self.decay].map(|factor| simd.splat_f32s(factor as f32));
        update(
            simd,
            self.average,
            [self.numbers],
            #[inline(always)]
            |average, [number]| simd.mul_add_f32s(average, kept, simd.mul_f32s(number, rest)),
        );
    }
}
