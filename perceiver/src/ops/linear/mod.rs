//! `x · weightᵀ + bias` over the last axis.

mod cpu;

use dfdx::prelude::*;

use super::Device;
pub(super) use cpu::{add_column_sums, forward as cpu};

/// The op in dfdx's own operations.
pub(super) fn plain<B: Dim, L: Dim, I: Dim, O: Dim, E: Dtype, D: Device<E>, T: Tape<E, D>>(
    x: Tensor<(B, L, I), E, D, T>,
    weight: &Tensor<(O, I), E, D>,
    bias: Option<&Tensor<(O,), E, D>>,
) -> Result<Tensor<(B, L, O), E, D, T>, D::Err> {
    // Batch and tokens are the rows of one product: dfdx runs a batch of products one after the other.
    let (batch, tokens, input) = *x.shape();
    let y = x
        .try_reshape_like(&(batch.size() * tokens.size(), input))?
        .try_matmul(weight.clone().try_permute()?)?
        .try_reshape_like(&(batch, tokens, weight.shape().0))?;
    match bias {
        None => Ok(y),
        Some(bias) => {
            let shape = *y.shape();
            y.try_add(bias.clone().try_broadcast_like(&shape)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};
    use super::*;

    fn run<E: Dtype>(seed: u64, (b, l, i, o): (usize, usize, usize, usize), bias: bool) -> Outcome
    where
        Cpu: Device<E>,
    {
        let x = tensor::<_, E>((b, l, i), &samples(seed, b * l * i));
        let weight = tensor((o, i), &samples(seed + 1, o * i));
        let bias = bias.then(|| tensor((o,), &samples(seed + 2, o)));
        let y = Cpu::try_linear(x.leaky_trace(), &weight, bias.as_ref()).unwrap();
        let (y, gradients) = backward(y);
        let mut outcome = vec![
            y,
            numbers(&gradients.get(&x)),
            numbers(&gradients.get(&weight)),
        ];
        outcome.extend(bias.map(|bias| numbers(&gradients.get(&bias))));
        outcome
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn kernel_is_plain(seed: u32, sizes in (1..4_usize, 1..40_usize, 1..70_usize, 1..70_usize), bias: bool) {
            let seed = u64::from(seed);
            assert_close(&run::<f32>(seed, sizes, bias), &run::<f64>(seed, sizes, bias), 2e-5);
        }
    }

    #[test]
    fn a_permuted_weight_and_input_are_read_as_they_are_meant() {
        fn run<E: Dtype>() -> Outcome
        where
            Cpu: Device<E>,
        {
            let x = tensor::<_, E>((3, 2, 5), &samples(1, 30));
            let weight = tensor::<_, E>((5, 4), &samples(2, 20));
            let turned = x.leaky_trace().permute::<_, Axes3<1, 0, 2>>();
            let y = Cpu::try_linear(turned, &weight.clone().permute(), None).unwrap();
            let (y, gradients) = backward(y);
            vec![
                y,
                numbers(&gradients.get(&x)),
                numbers(&gradients.get(&weight)),
            ]
        }
        assert_close(&run::<f32>(), &run::<f64>(), 1e-5);
    }
}
