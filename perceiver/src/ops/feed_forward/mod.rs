//! The feed-forward with a gate: `contract(value · gelu(gate))`, where `(value, gate)` are the halves of `expand(x)`.

mod cpu;
mod gelu;

use dfdx::prelude::*;

use super::Device;
use crate::dims::GatedWidth;
pub(super) use cpu::forward as cpu;

/// The parameters of a feed-forward of `I` wide rows, with `H` hidden values and `G` values and gates, twice as many.
#[derive(Debug)]
pub struct FeedForwardParameters<'a, I: Dim, G: GatedWidth<H>, H: Dim, E: Dtype, D: Device<E>> {
    /// `(G, I)`: the values' rows, then the gates'.
    pub expand: &'a Tensor<(G, I), E, D>,
    /// `(G,)`.
    pub expand_bias: &'a Tensor<(G,), E, D>,
    /// `(I, H)`.
    pub contract: &'a Tensor<(I, H), E, D>,
    /// `(I,)`.
    pub contract_bias: &'a Tensor<(I,), E, D>,
}

impl<I: Dim, G: GatedWidth<H>, H: Dim, E: Dtype, D: Device<E>>
    FeedForwardParameters<'_, I, G, H, E, D>
{
    /// That sizes which are known only when the program runs are those of one layer of `width` wide rows.
    fn check(&self, width: I) -> Result<(), D::Err> {
        let (gated, input) = *self.expand.shape();
        let (output, hidden) = *self.contract.shape();
        let fits = gated.size() == 2 * hidden.size()
            && *self.expand_bias.shape() == (gated,)
            && *self.contract_bias.shape() == (output,)
            && (input, output) == (width, width);
        fits.then_some(()).ok_or_else(D::wrong_number_of_elements)
    }
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
    G: GatedWidth<H>,
    H: Dim,
    E: Dtype,
    D: Device<E>,
    T: Tape<E, D>,
{
    parameters.check(x.shape().2)?;
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

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let dev = Cpu::default();
        let x: Tensor<(usize, usize, usize), f32, _> = dev.zeros_like(&(1, 2, 3));
        let try_with = |gated: usize, hidden: usize, bias: usize| {
            let parameters = FeedForwardParameters {
                expand: &dev.zeros_like(&(gated, 3)),
                expand_bias: &dev.zeros_like(&(gated,)),
                contract: &dev.zeros_like(&(3, hidden)),
                contract_bias: &dev.zeros_like(&(bias,)),
            };
            let results = [
                Cpu::try_feed_forward(x.clone(), &parameters),
                plain(x.clone(), &parameters),
            ];
            results.map(|result| result.is_ok())
        };
        assert_eq!(try_with(8, 4, 3), [true; 2]);
        assert_eq!(try_with(8, 3, 3), [false; 2]);
        assert_eq!(try_with(8, 8, 3), [false; 2]);
        assert_eq!(try_with(8, 4, 4), [false; 2]);
    }

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
