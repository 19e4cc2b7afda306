//! Layer normalisation over the last axis.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::in_f32::Normalize;
use super::record::with_tape;
use super::{KernelDevice, Record, Rows, Vector, check, plain_in_f64, vector};

/// The number added to the variance, as in PyTorch.
pub(super) const EPSILON: f64 = 1e-5;

/// Normalises rows.
pub trait LayerNormKernel<E: Dtype>: KernelDevice<E> {
    /// Computes `(x - mean) / √(variance + 1e-5) · weight + bias` over the last axis, with the biased variance. The
    /// result has the shape of `x`; `weight` and `bias` must have the width of `x`.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    fn try_layer_norm(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        weight: &Vector<E, Self>,
        bias: &Vector<E, Self>,
    ) -> Result<Rows<E, Self>, Self::Err> {
        fits(&x, weight, bias)?;
        with_tape!(record, plain(x, weight, bias))
    }
}

plain_in_f64!(LayerNormKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> LayerNormKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_layer_norm(
        record: &mut Record<E, Self>,
        x: Rows<E, Self>,
        weight: &Vector<E, Self>,
        bias: &Vector<E, Self>,
    ) -> Result<Rows<E, Self>, CudaError> {
        fits(&x, weight, bias)?;
        cuda::forward(record, &x, weight, bias)
    }
}

impl LayerNormKernel<f32> for Cpu {
    fn try_layer_norm(
        record: &mut Record<f32, Self>,
        x: Rows<f32, Self>,
        weight: &Vector<f32, Self>,
        bias: &Vector<f32, Self>,
    ) -> Result<Rows<f32, Self>, CpuError> {
        fits(&x, weight, bias)?;
        cpu::forward(record, x, weight, bias)
    }
}

fn fits<E: Dtype, D: KernelDevice<E>>(
    x: &Rows<E, D>,
    weight: &Vector<E, D>,
    bias: &Vector<E, D>,
) -> Result<(), D::Err> {
    check(weight.shape() == bias.shape() && x.shape().2 == weight.shape().0.size())
}

/// The reference implementation, in dfdx's own operations.
pub(super) fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
    weight: &Vector<E, D>,
    bias: &Vector<E, D>,
) -> Result<Rows<E, D, T>, D::Err> {
    let shape = *x.shape();
    D::try_in_f32(x, Normalize { epsilon: EPSILON })?
        .try_mul(vector(weight).try_broadcast_like::<_, Axes2<0, 1>>(&shape)?)?
        .try_add(vector(bias).try_broadcast_like::<_, Axes2<0, 1>>(&shape)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{
        Outcome, assert_close, backward, numbers, samples, tensor, vector,
    };

    fn run<E: Dtype>(seed: u64, (b, l, c): (usize, usize, usize), offset: f64) -> Outcome
    where
        Cpu: Device<E>,
    {
        let x: Vec<f64> = samples(seed, b * l * c).into_iter().map(|x| x + offset).collect();
        let x = tensor::<_, E>((b, l, c), &x);
        let weight = vector(&samples(seed + 1, c));
        let bias = vector(&samples(seed + 2, c));
        let mut record = Record::new();
        let y = Cpu::try_layer_norm(&mut record, x.clone(), &weight, &bias).unwrap();
        let (y, gradients) = backward(record, y);
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
        fn kernel_matches_reference(seed: u32, sizes in (1..4_usize, 1..40_usize, 3..70_usize), offset in -3.0..3.0) {
            let seed = u64::from(seed);
            assert_close(&run::<f32>(seed, sizes, offset), &run::<f64>(seed, sizes, offset), 1e-4);
        }
    }

    #[test]
    fn rows_are_cut_among_threads_and_one_number_is_its_own_mean() {
        assert_close(&run::<f32>(1, (2, 300, 67), 0.0), &run::<f64>(1, (2, 300, 67), 0.0), 1e-4);
        let one = run::<f32>(1, (1, 5, 1), 0.0);
        assert_close(&one, &run::<f64>(1, (1, 5, 1), 0.0), 1e-4);
    }
}
