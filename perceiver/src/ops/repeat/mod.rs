//! Copies of rows for each item of a batch.

#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Matrix, Record, Rows, plain_in_f64};

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

plain_in_f64!(RepeatKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> RepeatKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_repeat(
        record: &mut Record<E, Self>,
        x: Tensor<(usize, usize), E, Self>,
        batch: usize,
    ) -> Result<Rows<E, Self>, CudaError> {
        cuda::forward(record, &x, batch)
    }
}

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

/// Copies `(1, rows, width)` for each item of a batch.
///
/// # Errors
/// If there is more than one item, or the device runs out of memory.
pub(crate) fn for_each_item<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    batch: usize,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        rows: Rows<E, D, T>,
        batch: usize,
    ) -> Result<Rows<E, D, T>, D::Err> {
        let (_, count, width) = *rows.shape();
        let rows: Tensor<(usize, usize), E, D, T> = rows.try_reshape_like(&(count, width))?;
        let view = rows.try_broadcast_like::<_, Axis<0>>(&(batch, count, width))?;
        super::flatten::owned(view)
    }
    super::check::<D::Err>(rows.shape().0 == 1)?;
    with_tape!(record, plain(rows, batch))
}

/// Copies a parameter, `(1, width)`, to each row: `(batch, rows, width)`.
///
/// # Errors
/// If it has another shape, or the device runs out of memory.
pub(crate) fn repeat_row<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    row: &Matrix<E, D>,
    (batch, rows): (usize, usize),
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        row: Tensor<(usize, usize), E, D, T>,
        shape: (usize, usize, usize),
    ) -> Result<Rows<E, D, T>, D::Err> {
        let row: Tensor<(usize,), E, D, T> = row.try_reshape_like(&(shape.2,))?;
        super::flatten::owned(row.try_broadcast_like::<_, Axes2<0, 1>>(&shape)?)
    }
    let row = super::matrix(row);
    let (count, width) = *row.shape();
    super::check::<D::Err>(count == 1)?;
    with_tape!(record, plain(row, (batch, rows, width)))
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
