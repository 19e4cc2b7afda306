//! The feed-forward with a gate: `contract(value · gelu(gate))`, where `(value, gate)` are the halves of `expand(x)`.

mod cpu;
mod gelu;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Matrix, Record, Rows, Vector, check, linear, plain_on_dfdx_devices};

/// A feed-forward.
pub trait FeedForwardKernel<E: Dtype>: KernelDevice<E> {
    /// `contract(value · gelu(gate))`, where `(value, gate)` are the halves of `expand(x)`: GEGLU, with the exact gelu.
    /// Returns the shape of `x`.
    ///
    /// # Errors
    /// If the sizes do not fit together, or the device runs out of memory.
    fn try_feed_forward(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        parameters: &FeedForwardParameters<'_, E, Self>,
    ) -> Result<Rows<E, Self>, Self::Err> {
        parameters.check(&x)?;
        with_tape!(record, plain(x, parameters))
    }
}

plain_on_dfdx_devices!(FeedForwardKernel);

impl FeedForwardKernel<f32> for Cpu {
    fn try_feed_forward(
        record: &mut Record<f32, Self>,
        x: Rows<f32, Self>,
        parameters: &FeedForwardParameters<'_, f32, Self>,
    ) -> Result<Rows<f32, Self>, CpuError> {
        parameters.check(&x)?;
        cpu::forward(record, x, parameters)
    }
}

/// The parameters of a feed-forward of rows of `width` numbers with `hidden` hidden ones.
#[derive(Debug)]
pub struct FeedForwardParameters<'a, E: Dtype, D: Storage<E>> {
    /// `(2 · hidden, width)`: the values' rows, then the gates'.
    pub expand: &'a Matrix<E, D>,
    /// `(2 · hidden,)`.
    pub expand_bias: &'a Vector<E, D>,
    /// `(width, hidden)`.
    pub contract: &'a Matrix<E, D>,
    /// `(width,)`.
    pub contract_bias: &'a Vector<E, D>,
}

impl<E: Dtype, D: KernelDevice<E>> FeedForwardParameters<'_, E, D> {
    fn check(&self, x: &Rows<E, D>) -> Result<(), D::Err> {
        let (gated, input) = *self.expand.shape();
        let (output, hidden) = *self.contract.shape();
        check(
            gated.size() == 2 * hidden.size()
                && *self.expand_bias.shape() == (gated,)
                && *self.contract_bias.shape() == (output,)
                && (input.size(), output.size()) == (x.shape().2, x.shape().2),
        )
    }
}

/// The operation in dfdx's own.
pub(super) fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
    parameters: &FeedForwardParameters<'_, E, D>,
) -> Result<Rows<E, D, T>, D::Err> {
    let gated = linear::plain(x, parameters.expand, Some(parameters.expand_bias))?;
    // Each half is sliced once: dfdx's `slice` overwrites the gradient of what it slices.
    let (batch, rows, _) = *gated.shape();
    let hidden = parameters.contract.shape().1.size();
    let value = gated.with_empty_tape().try_slice((.., .., ..hidden))?;
    let gate = gated.try_slice((.., .., hidden..))?;
    let hidden = gelu::try_gelu(gate)?.try_mul(value)?.try_reshape_like(&(batch, rows, hidden))?;
    linear::plain(hidden, parameters.contract, Some(parameters.contract_bias))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{
        Outcome, assert_close, backward, matrix, numbers, samples, tensor, vector,
    };

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        fn fits<E: Dtype>(gated: usize, hidden: usize, bias: usize) -> bool
        where
            Cpu: Device<E>,
        {
            let zeros = |count| vec![0.0; count];
            let parameters = FeedForwardParameters {
                expand: &matrix(gated, 3, &zeros(3 * gated)),
                expand_bias: &vector(&zeros(gated)),
                contract: &matrix(3, hidden, &zeros(3 * hidden)),
                contract_bias: &vector(&zeros(bias)),
            };
            let x = tensor::<_, E>((1, 2, 3), &zeros(6));
            Cpu::try_feed_forward(&mut Record::new(), x, &parameters).is_ok()
        }
        for fits in [fits::<f32>, fits::<f64>] {
            assert!(fits(8, 4, 3));
            assert!(!fits(8, 3, 3));
            assert!(!fits(8, 8, 3));
            assert!(!fits(8, 4, 4));
        }
    }

    fn run<E: Dtype>(seed: u64, (b, l, i, h): (usize, usize, usize, usize), size: f64) -> Outcome
    where
        Cpu: Device<E>,
    {
        let x: Vec<f64> = samples(seed, b * l * i).into_iter().map(|x| size * x).collect();
        let x = tensor::<_, E>((b, l, i), &x);
        let expand = matrix(2 * h, i, &samples(seed + 1, 2 * h * i));
        let expand_bias = vector(&samples(seed + 2, 2 * h));
        let contract = matrix(i, h, &samples(seed + 3, i * h));
        let contract_bias = vector(&samples(seed + 4, i));
        let parameters = FeedForwardParameters {
            expand: &expand,
            expand_bias: &expand_bias,
            contract: &contract,
            contract_bias: &contract_bias,
        };
        let mut record = Record::new();
        let y = Cpu::try_feed_forward(&mut record, x.clone(), &parameters).unwrap();
        let (y, gradients) = backward(record, y);
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
        fn kernel_matches_reference(seed: u32, sizes in (1..4_usize, 1..30_usize, 1..20_usize, 1..50_usize)) {
            let seed = u64::from(seed);
            assert_close(&run::<f32>(seed, sizes, 1.0), &run::<f64>(seed, sizes, 1.0), 2e-5);
        }
    }

    #[test]
    fn many_rows_are_cut_into_blocks_and_large_numbers_stay_finite() {
        let sizes = (3, 400, 7, 21);
        assert_close(&run::<f32>(5, sizes, 1.0), &run::<f64>(5, sizes, 1.0), 5e-5);
        assert_close(&run::<f32>(5, (1, 9, 4, 8), 1e4), &run::<f64>(5, (1, 9, 4, 8), 1e4), 2e-5);
    }
}
