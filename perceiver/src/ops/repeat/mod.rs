//! Copies of rows for each item of a batch.

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows, plain_on_dfdx_devices};

/// Copies rows for each item of a batch.
pub trait RepeatKernel<E: Dtype>: KernelDevice<E> {
    /// Repeats `(rows, width)` to `(batch, rows, width)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_repeat(
        record: &mut Record<E, Self>,
        x: Tensor<(usize, usize), E, Self>,
        batch: usize,
    ) -> Result<Rows<E, Self>, Self::Err> {
        with_tape!(record, plain(x, batch))
    }
}

plain_on_dfdx_devices!(RepeatKernel);

impl RepeatKernel<f32> for Cpu {
    // Same as the default, repeated so that it is compiled in this crate.
    fn try_repeat(
        record: &mut Record<f32, Self>,
        x: Tensor<(usize, usize), f32, Self>,
        batch: usize,
    ) -> Result<Rows<f32, Self>, CpuError> {
        with_tape!(record, plain(x, batch))
    }
}

fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Tensor<(usize, usize), E, D, T>,
    batch: usize,
) -> Result<Rows<E, D, T>, D::Err> {
    let (rows, width) = *x.shape();
    let view = x.try_broadcast_like::<_, Axis<0>>(&(batch, rows, width))?;
    super::flatten::owned(view)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::cpu::compare::{assert_close, backward, numbers, samples, tensor};

    #[test]
    fn every_item_has_a_copy_and_gradients_are_summed() {
        let x = tensor::<_, f32>((3, 2), &samples(1, 6));
        let mut record = Record::new();
        let rows = Cpu::try_repeat(&mut record, x.clone(), 4).unwrap();
        assert_eq!(*rows.shape(), (4, 3, 2));
        let (rows, gradients) = backward(record, rows);
        assert_close(&vec![rows], &vec![samples(1, 6).repeat(4)], 0.0);
        let mut expected = vec![0.0; 6];
        for (i, factor) in samples(99, 24).into_iter().enumerate() {
            expected[i % 6] += factor;
        }
        assert_close(&vec![numbers(&gradients.get(&x))], &vec![expected], 1e-6);
    }
}
