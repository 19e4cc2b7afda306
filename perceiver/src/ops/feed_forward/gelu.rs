//! The exact GELU, `x · Φ(x)`, with its exact derivative.

use std::f64::consts::{PI, SQRT_2};

use dfdx::prelude::*;

/// `x · Φ(x)`, where Φ is the standard normal cumulative distribution function.
///
/// dfdx 0.13 computes `accurate_gelu` correctly, but its derivative as `Φ(x) + √2 · x · φ(x)` instead of
/// `Φ(x) + x · φ(x)`, on both devices. The derivative of φ(x) is `-x · φ(x)`, so adding a term that is zero and has the
/// derivative of `(√2 - 1) · φ(x)` corrects it.
pub(crate) fn try_gelu<S: Shape, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    x: Tensor<S, E, D, T>,
) -> Result<Tensor<S, E, D, T>, D::Err> {
    if !T::OWNS_TAPE {
        return x.try_accurate_gelu();
    }
    let scalar = |x: f64| E::from_f64(x).unwrap_or_default();
    let excess = x
        .with_empty_tape()
        .try_square()?
        .try_mul(scalar(-0.5))?
        .try_exp()?
        .try_mul(scalar((SQRT_2 - 1.0) / (2.0 * PI).sqrt()))?;
    let (excess, tape) = excess.split_tape();
    let constant = excess.clone().try_negate()?;
    let zero = excess.put_tape(tape).try_add(constant)?;
    x.try_accurate_gelu()?.try_add(zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_and_derivative_are_those_of_the_normal_distribution() {
        let dev = Cpu::default();
        let x = dev.tensor([-3.0, -1.0, -0.1, 0.0, 0.5, 1.0, 4.0_f64]);
        let y = try_gelu(x.leaky_trace()).unwrap();
        assert_eq!(y.array(), x.clone().accurate_gelu().array());
        let found = y.sum().backward().get(&x).array();
        let step = 1e-6;
        let above = (x.clone() + step).accurate_gelu();
        let below = (x - step).accurate_gelu();
        let expected = ((above - below) / (2.0 * step)).array();
        for (found, expected) in found.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }
}
