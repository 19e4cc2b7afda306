//! Functions on SIMD vectors, for any instruction set.

use pulp::Simd;

/// `2^x` to within a relative error of 3e-7, and 0 where it is below 2⁻¹²⁶. `x` must be below 128.
#[inline(always)]
pub(in crate::ops) fn exp2<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // A number of this size has no fraction, so adding it rounds `x` to an integer, which is then in the lowest bits.
    let magic = simd.splat_f32s(12_582_912.0);
    let shifted = simd.add_f32s(x, magic);
    let whole = simd.sub_f32s(shifted, magic);
    let rest = simd.sub_f32s(x, whole);
    // 2^rest for rest within ±1/2: the polynomial with the smallest relative error, 7.5e-8.
    let coefficients =
        [0.001_327_647_2, 0.009_675_542, 0.055_507_13, 0.240_221_2, 0.693_146_94, 1.000_000_1];
    let power = horner(simd, rest, coefficients);
    let exponent = simd.wrapping_dyn_shl_u32s(
        simd.transmute_u32s_f32s(shifted),
        simd.splat_u32s(f32::MANTISSA_DIGITS - 1),
    );
    let scaled = simd.add_u32s(simd.transmute_u32s_f32s(power), exponent);
    let tiny = simd.less_than_f32s(x, simd.splat_f32s(-126.0));
    simd.select_f32s(tiny, simd.splat_f32s(0.0), simd.transmute_f32s_u32s(scaled))
}

/// Φ(x), the standard normal cumulative distribution function, to within 1e-6, and its derivative φ(x).
#[inline(always)]
pub(in crate::ops) fn normal<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    let half = simd.splat_f32s(0.5);
    let z = simd.mul_f32s(simd.abs_f32s(x), simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    let exponent = simd.mul_f32s(simd.mul_f32s(z, z), simd.splat_f32s(-LOG2_E));
    let bell = exp2(simd, exponent);
    // erfc(z) = t · p(t) · e^(-z²) with t = 1 / (1 + 0.45 z): the form of Abramowitz and Stegun 7.1.26, with the
    // polynomial of degree 7 that has the smallest error, 1e-9.
    let one = simd.splat_f32s(1.0);
    let t = simd.div_f32s(one, simd.mul_add_f32s(z, simd.splat_f32s(0.45), one));
    let coefficients = [
        0.092_569_664,
        -0.494_104_42,
        0.857_167_96,
        -0.375_802_93,
        0.460_170_7,
        0.201_009_38,
        0.258_989_7,
    ];
    let poly = simd.mul_f32s(t, horner(simd, t, coefficients));
    let upper = simd.mul_f32s(half, simd.mul_f32s(poly, bell));
    let negative = simd.less_than_f32s(x, simd.splat_f32s(0.0));
    let cdf = simd.select_f32s(negative, upper, simd.sub_f32s(one, upper));
    const FRAC_1_SQRT_TAU: f32 = 0.398_942_3;
    (cdf, simd.mul_f32s(bell, simd.splat_f32s(FRAC_1_SQRT_TAU)))
}

/// `1 / (1 + e^(-x))`, to within 1e-6.
#[inline(always)]
pub(in crate::ops) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // e^(-|x|) is at most 1; for negative x, it is also the numerator.
    let one = simd.splat_f32s(1.0);
    let exponent = simd.mul_f32s(simd.abs_f32s(x), simd.splat_f32s(-std::f32::consts::LOG2_E));
    let power = exp2(simd, exponent);
    let negative = simd.less_than_f32s(x, simd.splat_f32s(0.0));
    let numerator = simd.select_f32s(negative, power, one);
    simd.div_f32s(numerator, simd.add_f32s(one, power))
}

/// Evaluates a polynomial, given its highest coefficient first.
#[inline(always)]
fn horner<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.mul_add_f32s(sum, x, simd.splat_f32s(*coefficient));
    }
    sum
}

/// Folds `term(sum, vectors)` over the vectors at the same position of each slice, and adds up the lanes; the last
/// vector is padded with zeros.
#[inline(always)]
pub(in crate::ops) fn sum<S: Simd, const N: usize>(
    simd: S,
    slices: [&[f32]; N],
    term: impl Fn(S::f32s, [S::f32s; N]) -> S::f32s,
) -> f32 {
    let (heads, tails): ([&[S::f32s]; N], [&[f32]; N]) = split(simd, slices);
    let mut total = simd.splat_f32s(0.0);
    for i in 0..heads[0].len() {
        total = term(total, heads.map(|head| head[i]));
    }
    if !tails[0].is_empty() {
        total = term(total, tails.map(|tail| simd.partial_load_f32s(tail)));
    }
    simd.reduce_sum_f32s(total)
}

/// Sets each element `x` of `out` to `value(x, elements)`, with the `elements` at the same position of the slices.
#[inline(always)]
pub(in crate::ops) fn update<S: Simd, const N: usize>(
    simd: S,
    out: &mut [f32],
    slices: [&[f32]; N],
    value: impl Fn(S::f32s, [S::f32s; N]) -> S::f32s,
) {
    update_all(
        simd,
        [out],
        slices,
        #[inline(always)]
        |[out], slices| [value(out, slices)],
    );
}

/// Same as [`update`], for several outputs at once.
#[inline(always)]
pub(in crate::ops) fn update_all<S: Simd, const M: usize, const N: usize>(
    simd: S,
    outs: [&mut [f32]; M],
    slices: [&[f32]; N],
    values: impl Fn([S::f32s; M], [S::f32s; N]) -> [S::f32s; M],
) {
    // Makes it known that lengths are equal, so that the loop has no bounds checks.
    let len = outs[0].len();
    let (heads, tails) = split(simd, slices.map(|slice| &slice[..len]));
    let mut outs = outs.map(|out| S::as_mut_simd_f32s(&mut out[..len]));
    for i in 0..len / S::F32_LANES {
        let before = std::array::from_fn(|m| outs[m].0[i]);
        let after = values(before, heads.map(|head| head[i]));
        for (out, after) in outs.iter_mut().zip(after) {
            out.0[i] = after;
        }
    }
    if !len.is_multiple_of(S::F32_LANES) {
        let vectors = tails.map(|tail| simd.partial_load_f32s(tail));
        let before = std::array::from_fn(|m| simd.partial_load_f32s(outs[m].1));
        for (out, after) in outs.iter_mut().zip(values(before, vectors)) {
            simd.partial_store_f32s(out.1, after);
        }
    }
}

/// Splits slices of equal length into vectors and remainders.
#[inline(always)]
fn split<S: Simd, const N: usize>(_: S, slices: [&[f32]; N]) -> ([&[S::f32s]; N], [&[f32]; N]) {
    let len = slices.first().map_or(0, |slice| slice.len());
    let slices = slices.map(|slice| &slice[..len]);
    (slices.map(|slice| S::as_simd_f32s(slice).0), slices.map(|slice| S::as_simd_f32s(slice).1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    struct Each<'a, F>(&'a mut [f32], F);

    /// A function on vectors, to be called with any instruction set.
    trait Function {
        fn call<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s;
    }

    impl<F: Function> WithSimd for Each<'_, F> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            update(
                simd,
                self.0,
                [],
                #[inline(always)]
                |x, []| self.1.call(simd, x),
            );
        }
    }

    /// Errors are relative to the expected value plus `floor`.
    fn check(
        function: impl Function + Copy,
        inputs: impl Iterator<Item = f32>,
        expected: impl Fn(f64) -> f64,
        tolerance: f64,
        floor: f64,
    ) {
        let inputs: Vec<f32> = inputs.collect();
        let mut scalar = inputs.clone();
        Each(&mut scalar, function).with_simd(pulp::Scalar::new());
        let mut best = inputs.clone();
        Arch::new().dispatch(Each(&mut best, function));
        for (i, &x) in inputs.iter().enumerate() {
            let expected = expected(f64::from(x));
            for found in [scalar[i], best[i]] {
                let error = (f64::from(found) - expected).abs() / (floor + expected.abs());
                assert!(error < tolerance, "{x}: {found} is not {expected}");
            }
        }
    }

    #[derive(Clone, Copy)]
    struct Exp2;
    impl Function for Exp2 {
        fn call<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
            exp2(simd, x)
        }
    }

    #[derive(Clone, Copy)]
    struct Cdf;
    impl Function for Cdf {
        fn call<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
            normal(simd, x).0
        }
    }

    #[derive(Clone, Copy)]
    struct Density;
    impl Function for Density {
        fn call<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
            normal(simd, x).1
        }
    }

    #[derive(Clone, Copy)]
    struct Sigmoid;
    impl Function for Sigmoid {
        fn call<S: Simd>(&self, simd: S, x: S::f32s) -> S::f32s {
            sigmoid(simd, x)
        }
    }

    #[test]
    fn the_sigmoid_is_within_1e_6() {
        let expected = |x: f64| 1.0 / (1.0 + (-x).exp());
        check(Sigmoid, range(-20.0, 20.0, 801), expected, 1e-6, 1e-3);
        check(Sigmoid, [-1e4].into_iter(), |_| 0.0, 1e-30, 1.0);
        check(Sigmoid, [1e4].into_iter(), |_| 1.0, 1e-7, 0.0);
    }

    fn range(from: f32, to: f32, count: usize) -> impl Iterator<Item = f32> {
        (0..count).map(move |i| from + (to - from) * i as f32 / (count - 1) as f32)
    }

    #[test]
    fn powers_of_two_are_within_3e_7() {
        check(Exp2, range(-126.0, 127.9, 100_003), f64::exp2, 3e-7, 0.0);
        check(Exp2, [-126.1, -1e4, -1e30, f32::MIN].into_iter(), |_| 0.0, 1e-38, 1.0);
        check(Exp2, range(-126.0, 127.0, 254), f64::exp2, 3e-7, 0.0);
    }

    #[test]
    fn the_normal_distribution_is_within_1e_6() {
        // Its density integrated with Simpson's rule from 0.
        let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let cdf = |x: f64| {
            let (n, mut sum) = (2000, density(0.0) + density(x));
            for i in 1..n {
                sum += density(x * f64::from(i) / f64::from(n)) * f64::from(2 + 2 * (i % 2));
            }
            0.5 + sum * x / f64::from(n) / 3.0
        };
        check(Cdf, range(-8.0, 8.0, 801), cdf, 1e-6, 1e-3);
        check(Density, range(-8.0, 8.0, 801), density, 1e-6, 1e-3);
        check(Cdf, [-1e4, -200.0].into_iter(), |_| 0.0, 1e-30, 1.0);
        check(Cdf, [1e4, 200.0].into_iter(), |_| 1.0, 1e-7, 0.0);
    }
}
