//! Layer normalisation over the last axis.

mod cpu;

use dfdx::prelude::*;

use super::{Device, Normalize};
pub(super) use cpu::forward as cpu;

/// What is added to the variance, as PyTorch has it.
pub(super) const EPSILON: f64 = 1e-5;

/// The op in dfdx's own operations.
pub(super) fn plain<B: Dim, L: Dim, C: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    x: Tensor<(B, L, C), E, D, T>,
    weight: &Tensor<(C,), E, D>,
    bias: &Tensor<(C,), E, D>,
) -> Result<Tensor<(B, L, C), E, D, T>, D::Err> {
    let shape = *x.shape();
    D::try_accumulate(x, Normalize { epsilon: EPSILON })?
        .try_mul(weight.clone().try_broadcast_like(&shape)?)?
        .try_add(bias.clone().try_broadcast_like(&shape)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};
    use super::*;

    fn run<E: Dtype>(seed: u64, (b, l, c): (usize, usize, usize), offset: f64) -> Outcome
    where
        Cpu: Device<E>,
    {
        let x: Vec<f64> = samples(seed, b * l * c)
            .into_iter()
            .map(|x| x + offset)
            .collect();
        let x = tensor::<_, E>((b, l, c), &x);
        let weight = tensor((c,), &samples(seed + 1, c));
        let bias = tensor((c,), &samples(seed + 2, c));
        let (y, gradients) =
            backward(Cpu::try_layer_norm(x.leaky_trace(), &weight, &bias).unwrap());
        vec![
            y,
            numbers(&gradients.get(&x)),
            numbers(&gradients.get(&weight)),
            numbers(&gradients.get(&bias)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn kernel_is_plain(seed: u32, sizes in (1..4_usize, 1..40_usize, 3..70_usize), offset in -3.0..3.0) {
            let seed = u64::from(seed);
            assert_close(&run::<f32>(seed, sizes, offset), &run::<f64>(seed, sizes, offset), 1e-4);
        }
    }

    #[test]
    fn rows_are_cut_among_threads_and_one_number_is_its_own_mean() {
        assert_close(
            &run::<f32>(1, (2, 300, 67), 0.0),
            &run::<f64>(1, (2, 300, 67), 0.0),
            1e-4,
        );
        let one = run::<f32>(1, (1, 5, 1), 0.0);
        assert_close(&one, &run::<f64>(1, (1, 5, 1), 0.0), 1e-4);
    }
}
