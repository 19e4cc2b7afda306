//! The feed-forward with a gate: `contract(value · gelu(gate))`, where `(value, gate)` are the halves of `expand(x)`.

mod cpu;
mod gelu;

use dfdx::prelude::*;

use super::Device;
pub(super) use cpu::forward as cpu;

/// The parameters of a feed-forward of `I` wide rows, with `G` values and gates and `H`, half of that, hidden values.
#[derive(Debug)]
pub struct FeedForwardParameters<'a, I: Dim, G: Dim, H: Dim, E: Dtype, D: Device<E>> {
    /// `(G, I)`: the values' rows, then the gates'.
    pub expand: &'a Tensor<(G, I), E, D>,
    /// `(G,)`.
    pub expand_bias: &'a Tensor<(G,), E, D>,
    /// `(I, H)`.
    pub contract: &'a Tensor<(I, H), E, D>,
    /// `(I,)`.
    pub contract_bias: &'a Tensor<(I,), E, D>,
}

/// The op in dfdx's own operations.
pub(super) fn plain<B, L, I, G, H, E, D, T>(
    x: Tensor<(B, L, I), E, D, T>,
    parameters: &FeedForwardParameters<'_, I, G, H, E, D>,
) -> Result<Tensor<(B, L, I), E, D, T>, D::Err>
where
    B: Dim,
    L: Dim,
    I: Dim,
    G: Dim,
    H: Dim,
    E: Dtype,
    D: Device<E>,
    T: Tape<E, D>,
{
    let gated = D::try_linear(x, parameters.expand, Some(parameters.expand_bias))?;
    // Each half is sliced once: dfdx's `slice` overwrites the gradient of what it slices.
    let (batch, tokens, _) = *gated.shape();
    let hidden = parameters.contract.shape().1;
    let value = gated
        .with_empty_tape()
        .try_slice((.., .., ..hidden.size()))?;
    let gate = gated.try_slice((.., .., hidden.size()..))?;
    let hidden = gelu::try_gelu(gate)?
        .try_mul(value)?
        .try_reshape_like(&(batch, tokens, hidden))?;
    D::try_linear(hidden, parameters.contract, Some(parameters.contract_bias))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};
    use super::*;

    fn run<E: Dtype>(seed: u64, (b, l, i, h): (usize, usize, usize, usize), size: f64) -> Outcome
    where
        Cpu: Device<E>,
    {
        let x: Vec<f64> = samples(seed, b * l * i)
            .into_iter()
            .map(|x| size * x)
            .collect();
        let x = tensor::<_, E>((b, l, i), &x);
        let expand = tensor((2 * h, i), &samples(seed + 1, 2 * h * i));
        let expand_bias = tensor((2 * h,), &samples(seed + 2, 2 * h));
        let contract = tensor((i, h), &samples(seed + 3, i * h));
        let contract_bias = tensor((i,), &samples(seed + 4, i));
        let parameters = FeedForwardParameters {
            expand: &expand,
            expand_bias: &expand_bias,
            contract: &contract,
            contract_bias: &contract_bias,
        };
        let (y, gradients) = backward(Cpu::try_feed_forward(x.leaky_trace(), &parameters).unwrap());
        vec![
            y,
            numbers(&gradients.get(&x)),
            numbers(&gradients.get(&expand)),
            numbers(&gradients.get(&expand_bias)),
            numbers(&gradients.get(&contract)),
            numbers(&gradients.get(&contract_bias)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn kernel_is_plain(seed: u32, sizes in (1..4_usize, 1..30_usize, 1..20_usize, 1..50_usize)) {
            let seed = u64::from(seed);
            assert_close(&run::<f32>(seed, sizes, 1.0), &run::<f64>(seed, sizes, 1.0), 2e-5);
        }
    }

    #[test]
    fn many_rows_are_cut_into_blocks_and_large_numbers_stay_finite() {
        let sizes = (3, 400, 7, 21);
        assert_close(&run::<f32>(5, sizes, 1.0), &run::<f64>(5, sizes, 1.0), 5e-5);
        assert_close(
            &run::<f32>(5, (1, 9, 4, 8), 1e4),
            &run::<f64>(5, (1, 9, 4, 8), 1e4),
            2e-5,
        );
    }
}
