//! `residual + x · weightᵀ + bias` over the last axis.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{
    KernelDevice, Matrix, Record, Rows, Vector, Weight, WeightPrecision, check, matrix,
    plain_in_f64, residual, vector,
};
pub(super) use cpu::start;
#[cfg(feature = "cuda")]
pub(super) use cuda::{Linear, Start, add_to_residual};

/// A linear map of rows.
pub trait LinearKernel<E: Dtype>: KernelDevice<E> {
    /// Computes `residual + x · weightᵀ + bias`, from `(batch, rows, inputs)` to `(batch, rows, outputs)`, with a weight
    /// `(outputs, inputs)`, a bias `(outputs,)` and a residual of the result's shape.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_linear(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        weight: &Weight<E, Self>,
        bias: Option<&Vector<E, Self>>,
        residual: Option<&Rows<E, Self>>,
    ) -> Result<Rows<E, Self>, Self::Err> {
        fits(&x, weight, bias, residual)?;
        let y = with_tape!(record, plain(x, weight, bias))?;
        residual::plain_added(record, y, residual)
    }

    /// From its next use on, also stores a weight as this device multiplies with it fastest.
    fn keep(_weight: &Weight<E, Self>) {}

    /// Same as [`keep`](Self::keep), in this precision where the device can.
    fn keep_in(_weight: &mut Weight<E, Self>, _precision: WeightPrecision) {}

    /// Stores a weight only as this device multiplies with it fastest, in this precision where it can.
    fn prepare(_weight: &mut Weight<E, Self>, _precision: WeightPrecision) {}
}

plain_in_f64!(LinearKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> LinearKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_linear(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        weight: &Weight<E, Self>,
        bias: Option<&Vector<E, Self>>,
        residual: Option<&Rows<E, Self>>,
    ) -> Result<Rows<E, Self>, CudaError> {
        fits(&x, weight, bias, residual)?;
        cuda::forward(record, &x, weight, bias, residual)
    }
}

impl LinearKernel<f32> for Cpu {
    fn try_linear(
        record: &mut Record<f32, Self>,
        x: Rows<f32, Self>,
        weight: &Weight<f32, Self>,
        bias: Option<&Vector<f32, Self>>,
        residual: Option<&Rows<f32, Self>>,
    ) -> Result<Rows<f32, Self>, CpuError> {
        fits(&x, weight, bias, residual)?;
        #[cfg(test)]
        let _counted = super::counted::Counted::new({
            let (batch, rows, inputs) = *x.shape();
            2 * batch * rows * inputs * weight.shape().0.size()
        });
        cpu::forward(record, x, weight, bias, residual)
    }

    fn keep(weight: &Weight<f32, Self>) {
        weight.keep_panels();
    }

    fn keep_in(weight: &mut Weight<f32, Self>, precision: WeightPrecision) {
        weight.keep_panels_in(precision);
    }

    fn prepare(weight: &mut Weight<f32, Self>, precision: WeightPrecision) {
        weight.store_as_panels(precision);
    }
}

fn fits<E: Dtype, D: KernelDevice<E>>(
    x: &Rows<E, D>,
    weight: &Weight<E, D>,
    bias: Option<&Vector<E, D>>,
    residual: Option<&Rows<E, D>>,
) -> Result<(), D::Err> {
    let (outputs, inputs) = *weight.shape();
    let (batch, rows, width) = *x.shape();
    let bias_fits = bias.is_none_or(|bias| *bias.shape() == (outputs,));
    let y = (batch, rows, outputs.size());
    check(bias_fits && width == inputs.size() && residual.is_none_or(|x| *x.shape() == y))
}

/// The reference implementation, in dfdx's own operations.
pub(super) fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
    weight: &Matrix<E, D>,
    bias: Option<&Vector<E, D>>,
) -> Result<Rows<E, D, T>, D::Err> {
    // Batch and rows are the rows of one product, since dfdx runs a batch of products one after another.
    let (batch, rows, inputs) = *x.shape();
    let weight = matrix(weight);
    let shape = (batch, rows, weight.shape().0);
    let y = x
        .try_reshape_like(&(batch * rows, inputs))?
        .try_matmul(weight.try_permute::<_, Axes2<1, 0>>()?)?
        .try_reshape_like(&shape)?;
    match bias {
        None => Ok(y),
        Some(bias) => y.try_add(vector(bias).try_broadcast_like::<_, Axes2<0, 1>>(&shape)?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{
        Outcome, assert_close, backward, matrix, numbers, samples, tensor, vector,
    };

    fn run<E: Dtype>(
        seed: u64,
        (b, l, i, o): (usize, usize, usize, usize),
        bias: bool,
        residual: bool,
    ) -> Outcome
    where
        Cpu: Device<E>,
    {
        let x = tensor::<_, E>((b, l, i), &samples(seed, b * l * i));
        let weight = matrix(o, i, &samples(seed + 1, o * i));
        let bias = bias.then(|| vector(&samples(seed + 2, o)));
        let residual = residual.then(|| tensor((b, l, o), &samples(seed + 3, b * l * o)));
        let mut record = Record::new();
        let y = Cpu::try_linear(
            &mut record,
            x.clone(),
            &weight.clone().into(),
            bias.as_ref(),
            residual.as_ref(),
        )
        .unwrap();
        let (y, gradients) = backward(record, y);
        let mut outcome = vec![y, numbers(&gradients.get(&x)), numbers(&gradients.get(&weight))];
        outcome.extend(bias.map(|bias| numbers(&gradients.get(&bias))));
        outcome.extend(residual.map(|residual| numbers(&gradients.get(&residual))));
        outcome
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn kernel_matches_reference(
            seed: u32,
            sizes in (1..4_usize, 1..40_usize, 1..70_usize, 1..70_usize),
            bias: bool,
            residual: bool,
        ) {
            let seed = u64::from(seed);
            let found = run::<f32>(seed, sizes, bias, residual);
            assert_close(&found, &run::<f64>(seed, sizes, bias, residual), 2e-5);
        }
    }

    #[test]
    fn permuted_weights_and_inputs_are_read_as_they_are_meant() {
        fn run<E: Dtype>() -> Outcome
        where
            Cpu: Device<E>,
        {
            let x = tensor::<_, E>((3, 2, 5), &samples(1, 30));
            let weight = matrix(5, 4, &samples(2, 20));
            let mut record = Record::new();
            let permuted = with_tape!(record, turn(x.clone())).unwrap();
            let permuted_weight = weight.clone().permute::<_, Axes2<1, 0>>();
            let residual = tensor::<_, E>((3, 2, 4), &samples(3, 24));
            let turned = with_tape!(record, turn(residual.clone())).unwrap();
            let weights = permuted_weight.into();
            let y = Cpu::try_linear(&mut record, permuted, &weights, None, Some(&turned)).unwrap();
            let (y, gradients) = backward(record, y);
            let of = |x: &Rows<E, Cpu>| numbers(&gradients.get(x));
            vec![y, of(&x), of(&residual), numbers(&gradients.get(&weight))]
        }
        fn turn<E: Dtype, T: Tape<E, Cpu>>(x: Rows<E, Cpu, T>) -> Result<Rows<E, Cpu, T>, CpuError>
        where
            Cpu: Device<E>,
        {
            x.try_permute::<_, Axes3<1, 0, 2>>()
        }
        assert_close(&run::<f32>(), &run::<f64>(), 1e-5);
    }

    #[test]
    fn sizes_that_do_not_fit_are_an_error() {
        let x = tensor::<_, f32>((1, 2, 3), &[0.0; 6]);
        let weight = matrix(4, 3, &[0.0; 12]);
        let fits = |weight, bias: usize, width: usize| {
            let (bias, weight) = (vector(&vec![0.0; bias]), Weight::from(weight));
            let residual = tensor((1, 2, width), &vec![0.0; 2 * width]);
            let residual = Some(&residual);
            Cpu::try_linear(&mut Record::new(), x.clone(), &weight, Some(&bias), residual).is_ok()
        };
        assert!(fits(weight.clone(), 4, 4));
        assert!(!fits(weight.clone(), 3, 4));
        assert!(!fits(weight, 4, 3));
        assert!(!fits(matrix(3, 4, &[0.0; 12]), 3, 3));
    }
}
