//! The feed-forward layer: `residual + contract(activation(expand(x)))`.

pub(crate) mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod gelu;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows, Vector, Weight, check, linear, plain_in_f64, residual};
use crate::spec::Activation;

/// A feed-forward layer.
pub trait FeedForwardKernel<E: Dtype>: KernelDevice<E> {
    /// Computes `residual + contract(activation(expand(x)))`, `(batch, rows, outputs)`, with a residual of this shape. With
    /// [`Activation::Geglu`], `expand` returns values and then gates.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_feed_forward(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        parameters: &FeedForwardParameters<'_, E, Self>,
        residual: Option<&Rows<E, Self>>,
    ) -> Result<Rows<E, Self>, Self::Err> {
        parameters.check(&x, residual)?;
        let y = with_tape!(record, plain(x, parameters))?;
        residual::plain_added(record, y, residual)
    }
}

plain_in_f64!(FeedForwardKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> FeedForwardKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_feed_forward(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        parameters: &FeedForwardParameters<'_, E, Self>,
        residual: Option<&Rows<E, Self>>,
    ) -> Result<Rows<E, Self>, CudaError> {
        parameters.check(&x, residual)?;
        cuda::forward(record, &x, parameters, residual)
    }
}

impl FeedForwardKernel<f32> for Cpu {
    fn try_feed_forward(
        record: &mut Record<f32, Self>,
        x: Rows<f32, Self>,
        parameters: &FeedForwardParameters<'_, f32, Self>,
        residual: Option<&Rows<f32, Self>>,
    ) -> Result<Rows<f32, Self>, CpuError> {
        parameters.check(&x, residual)?;
        #[cfg(test)]
        let _counted = super::counted::Counted::new({
            let ((batch, rows, _), weights) =
                (*x.shape(), [parameters.expand, parameters.contract]);
            let sizes = weights.map(|weight| weight.shape().0.size() * weight.shape().1.size());
            2 * batch * rows * (sizes[0] + sizes[1])
        });
        cpu::forward(record, x, parameters, residual)
    }
}

/// The parameters of a feed-forward layer for rows of width `width`, with hidden width `hidden`.
#[derive(Debug)]
pub struct FeedForwardParameters<'a, E: Dtype, D: Storage<E>> {
    /// `(hidden, width)`; with a gate, `(2 · hidden, width)`: rows for values, then for gates.
    pub expand: &'a Weight<E, D>,
    /// One number for each row of `expand`.
    pub expand_bias: Option<&'a Vector<E, D>>,
    /// `(outputs, hidden)`; in a layer there are as many outputs as inputs.
    pub contract: &'a Weight<E, D>,
    /// `(outputs,)`.
    pub contract_bias: Option<&'a Vector<E, D>>,
    /// The activation between the two maps.
    pub activation: Activation,
}

impl<E: Dtype, D: KernelDevice<E>> FeedForwardParameters<'_, E, D> {
    fn check(&self, x: &Rows<E, D>, residual: Option<&Rows<E, D>>) -> Result<(), D::Err> {
        let (expanded, input) = *self.expand.shape();
        let (output, hidden) = *self.contract.shape();
        let y = (x.shape().0, x.shape().1, output.size());
        check(
            expanded.size() == self.activation.inputs() * hidden.size()
                && self.expand_bias.is_none_or(|bias| *bias.shape() == (expanded,))
                && self.contract_bias.is_none_or(|bias| *bias.shape() == (output,))
                && input.size() == x.shape().2
                && residual.is_none_or(|residual| *residual.shape() == y),
        )
    }
}

/// The reference implementation, in dfdx's own operations.
pub(super) fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
    parameters: &FeedForwardParameters<'_, E, D>,
) -> Result<Rows<E, D, T>, D::Err> {
    let expanded = linear::plain(x, parameters.expand, parameters.expand_bias)?;
    let (batch, rows, _) = *expanded.shape();
    let hidden = parameters.contract.shape().1.size();
    let hidden = match parameters.activation {
        Activation::Geglu => {
            // Each half is sliced once, since dfdx's `slice` overwrites the gradient of its input.
            let value = expanded.with_empty_tape().try_slice((.., .., ..hidden))?;
            let gate = expanded.try_slice((.., .., hidden..))?;
            gelu::try_gelu(gate)?.try_mul(value)?.try_reshape_like(&(batch, rows, hidden))?
        }
        Activation::Gelu => gelu::try_gelu(expanded)?,
        Activation::TanhGelu => expanded.try_fast_gelu()?,
        Activation::Relu => expanded.try_relu()?,
        Activation::SquaredRelu => expanded.try_relu()?.try_square()?,
    };
    linear::plain(hidden, parameters.contract, parameters.contract_bias)
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
                expand: &matrix(gated, 3, &zeros(3 * gated)).into(),
                expand_bias: Some(&vector(&zeros(gated))),
                contract: &matrix(3, hidden, &zeros(3 * hidden)).into(),
                contract_bias: Some(&vector(&zeros(bias))),
                activation: Activation::Geglu,
            };
            let x = tensor::<_, E>((1, 2, 3), &zeros(6));
            Cpu::try_feed_forward(&mut Record::new(), x, &parameters, None).is_ok()
        }
        for fits in [fits::<f32>, fits::<f64>] {
            assert!(fits(8, 4, 3));
            assert!(!fits(8, 3, 3));
            assert!(!fits(8, 8, 3));
            assert!(!fits(8, 4, 4));
        }
    }

    const ACTIVATIONS: [Activation; 5] = [
        Activation::Geglu,
        Activation::Gelu,
        Activation::TanhGelu,
        Activation::Relu,
        Activation::SquaredRelu,
    ];

    /// There are four kinds of each activation: with biases or without, and with a residual or without.
    fn run<E: Dtype>(
        seed: u64,
        (b, l, i, h): (usize, usize, usize, usize),
        size: f64,
        kind: usize,
    ) -> Outcome
    where
        Cpu: Device<E>,
    {
        let activation = ACTIVATIONS[kind / 4];
        let (has_bias, has_residual) = (kind.is_multiple_of(2), kind % 4 < 2);
        let expanded = activation.inputs() * h;
        let x: Vec<f64> = samples(seed, b * l * i).into_iter().map(|x| size * x).collect();
        let x = tensor::<_, E>((b, l, i), &x);
        let expand = matrix(expanded, i, &samples(seed + 1, expanded * i));
        let expand_bias = vector(&samples(seed + 2, expanded));
        let contract = matrix(i, h, &samples(seed + 3, i * h));
        let contract_bias = vector(&samples(seed + 4, i));
        let parameters = FeedForwardParameters {
            expand: &expand.clone().into(),
            expand_bias: has_bias.then_some(&expand_bias),
            contract: &contract.clone().into(),
            contract_bias: has_bias.then_some(&contract_bias),
            activation,
        };
        let residual = tensor((b, l, i), &samples(seed + 5, b * l * i));
        let residual = has_residual.then_some(&residual);
        let mut record = Record::new();
        let y = Cpu::try_feed_forward(&mut record, x.clone(), &parameters, residual).unwrap();
        let (y, gradients) = backward(record, y);
        let mut outcome = vec![
            y,
            numbers(&gradients.get(&x)),
            numbers(&gradients.get(&expand)),
            numbers(&gradients.get(&contract)),
        ];
        outcome.extend(residual.map(|residual| numbers(&gradients.get(residual))));
        if has_bias {
            outcome.push(numbers(&gradients.get(&expand_bias)));
            outcome.push(numbers(&gradients.get(&contract_bias)));
        }
        outcome
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn kernel_matches_reference(
            seed: u32,
            sizes in (1..4_usize, 1..30_usize, 1..20_usize, 1..50_usize),
            kind in 0..20_usize,
        ) {
            let seed = u64::from(seed);
            let found = run::<f32>(seed, sizes, 1.0, kind);
            assert_close(&found, &run::<f64>(seed, sizes, 1.0, kind), 2e-5);
        }
    }

    #[test]
    fn many_rows_are_cut_into_blocks_and_large_numbers_stay_finite() {
        for kind in 0..20 {
            let check = |sizes, size, tolerance| {
                let found = run::<f32>(5, sizes, size, kind);
                assert_close(&found, &run::<f64>(5, sizes, size, kind), tolerance);
            };
            check((3, 400, 7, 21), 1.0, 5e-5);
            check((1, 9, 4, 8), 1e4, 2e-5);
        }
    }
}
