//! Conversion of a caller's tensor to rows: views become contiguous, and axes are flattened into tokens.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows, check, plain_in_f64};
use crate::ForwardError;
use cpu::flatten;

/// A tensor with two to six axes.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum AnyRank<E, D: Storage<E>> {
    Two(Tensor<(usize, usize), E, D>),
    Three(Tensor<(usize, usize, usize), E, D>),
    Four(Tensor<(usize, usize, usize, usize), E, D>),
    Five(Tensor<(usize, usize, usize, usize, usize), E, D>),
    Six(Tensor<(usize, usize, usize, usize, usize, usize), E, D>),
}

/// Calls a function with the tensor of a grid, whatever its rank.
macro_rules! with_tensor {
    ($grid:expr, $x:ident => $call:expr) => {
        match $grid {
            AnyRank::Two($x) => $call,
            AnyRank::Three($x) => $call,
            AnyRank::Four($x) => $call,
            AnyRank::Five($x) => $call,
            AnyRank::Six($x) => $call,
        }
    };
}

impl<E, D: Storage<E>> AnyRank<E, D> {
    /// The sizes of all its axes.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        with_tensor!(self, x => x.shape().concrete().to_vec())
    }

    /// The sizes of the axes between the batch and the channels.
    pub(crate) fn axes(&self) -> Vec<usize> {
        let mut sizes = self.sizes();
        sizes.pop();
        sizes.split_off(1)
    }

    /// Returns an error if the batch or an axis is empty.
    pub(crate) fn check_not_empty(&self) -> Result<(), ForwardError<D::Err>> {
        let mut shape = self.sizes();
        shape.pop();
        if shape.contains(&0) {
            return Err(ForwardError::Empty { shape });
        }
        Ok(())
    }
}

/// Converts a caller's tensors to rows.
pub trait FlattenKernel<E: Dtype>: KernelDevice<E> {
    /// Reshapes `(batch, axis 1, .., width)` to `(batch, rows, width)`, for any view: broadcast, permuted or sliced.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_flatten(
        record: &mut Record<E, Self>,
        grid: AnyRank<E, Self>,
    ) -> Result<Rows<E, Self>, Self::Err> {
        with_tensor!(grid, x => with_tape!(record, plain(x)))
    }

    /// Removes the row axis of a contiguous `(batch, 1, width)`; the result shares its gradient.
    ///
    /// # Errors
    /// If there is more than one row.
    fn try_squeeze(x: Rows<E, Self>) -> Result<Tensor<(usize, usize), E, Self>, Self::Err> {
        squeeze(x)
    }

    /// Reshapes a mask `(batch, axis 1, ..)` to `(batch, rows)`.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_flatten_mask(
        mask: AnyRank<bool, Self>,
    ) -> Result<Tensor<(usize, usize), bool, Self>, Self::Err> {
        with_tensor!(mask, mask => plain_mask::<_, E, _>(mask))
    }

    /// Sets masked tokens to zero, whatever they hold, and their gradients too. If all tokens of an item are masked,
    /// attention to them is uniform, as in PyTorch; then only values that are not finite are set to zero.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_clear_masked(
        record: &mut Record<E, Self>,
        rows: Rows<E, Self>,
        mask: &Tensor<(usize, usize), bool, Self>,
    ) -> Result<Rows<E, Self>, Self::Err> {
        with_tape!(record, plain_clear(rows, mask))
    }
}

plain_in_f64!(FlattenKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> FlattenKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_flatten(
        record: &mut Record<E, Self>,
        grid: AnyRank<E, Self>,
    ) -> Result<Rows<E, Self>, CudaError> {
        with_tensor!(grid, x => cuda::flatten(record, &x))
    }
}

impl FlattenKernel<f32> for Cpu {
    // Same as the default, repeated so that it is compiled in this crate.
    fn try_flatten(
        record: &mut Record<f32, Self>,
        grid: AnyRank<f32, Self>,
    ) -> Result<Rows<f32, Self>, CpuError> {
        with_tensor!(grid, x => with_tape!(record, flatten(x)))
    }

    fn try_squeeze(x: Rows<f32, Self>) -> Result<Tensor<(usize, usize), f32, Self>, CpuError> {
        squeeze(x)
    }

    fn try_flatten_mask(
        mask: AnyRank<bool, Self>,
    ) -> Result<Tensor<(usize, usize), bool, Self>, CpuError> {
        with_tensor!(mask, mask => plain_mask::<_, f32, _>(mask))
    }

    fn try_clear_masked(
        record: &mut Record<f32, Self>,
        rows: Rows<f32, Self>,
        mask: &Tensor<(usize, usize), bool, Self>,
    ) -> Result<Rows<f32, Self>, CpuError> {
        cpu::clear(record, rows, mask)
    }
}

/// Makes a view contiguous, with correct gradients.
///
/// On `Cuda`, dfdx 0.13's `contiguous` and `reshape` only sum the gradients of the first copy of a broadcast tensor
/// (`reshape_to/cuda_kernel.rs` goes by the length of its memory); the gradients of an addition are correct.
pub(super) fn owned<S: Shape, E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    view: Tensor<S, E, D, T>,
) -> Result<Tensor<S, E, D, T>, D::Err> {
    let zeros: Tensor<S, E, D> = view.device().try_zeros_like(view.shape())?;
    zeros.put_tape(T::default()).try_add(view)
}

fn plain<S: Shape, E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Tensor<S, E, D, T>,
) -> Result<Rows<E, D, T>, D::Err> {
    rows(owned(x)?)
}

fn rows<S: Shape, E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Tensor<S, E, D, T>,
) -> Result<Rows<E, D, T>, D::Err> {
    let sizes: Vec<usize> = x.shape().concrete().into();
    let (batch, width) = (sizes[0], sizes[S::NUM_DIMS - 1]);
    let rows = sizes[1..S::NUM_DIMS - 1].iter().product();
    x.try_reshape_like(&(batch, rows, width))
}

fn squeeze<E: Dtype, D: KernelDevice<E>>(
    x: Rows<E, D>,
) -> Result<Tensor<(usize, usize), E, D>, D::Err> {
    let (batch, rows, width) = *x.shape();
    check::<D::Err>(rows == 1)?;
    x.try_reshape_like(&(batch, width))
}

fn plain_mask<S: Shape, E: Dtype, D: KernelDevice<E>>(
    mask: Tensor<S, bool, D>,
) -> Result<Tensor<(usize, usize), bool, D>, D::Err> {
    let shape = *mask.shape();
    let sizes: Vec<usize> = shape.concrete().into();
    let device = mask.device().clone();
    // As numbers, since dfdx cannot reshape `bool`s; created on the device, whereas `ones_like` copies them from the
    // host.
    let zeros = || -> Result<Tensor<S, E, D>, D::Err> { device.try_zeros_like(&shape) };
    let numbers = mask.try_choose(zeros()?.try_add(E::ONE)?, zeros()?)?;
    let tokens = sizes[1..].iter().product();
    numbers.try_reshape_like(&(sizes[0], tokens))?.try_gt(E::default())
}

fn plain_clear<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    rows: Rows<E, D, T>,
    mask: &Tensor<(usize, usize), bool, D>,
) -> Result<Rows<E, D, T>, D::Err> {
    let shape = *rows.shape();
    let (batch, tokens, _) = shape;
    let device = rows.device().clone();
    let zeros = || -> Result<Rows<E, D>, D::Err> { device.try_zeros_like(&shape) };

    // The finite values of items with nothing to attend to.
    let flat: Tensor<(usize, usize), E, D> = device.try_zeros_like(&(batch, tokens))?;
    let any = mask
        .clone()
        .try_choose(flat.clone().try_add(E::ONE)?, flat)?
        .try_max::<(usize,), Axis<1>>()?
        .try_gt(E::default())?
        .try_broadcast_like::<_, Axes2<1, 2>>(&shape)?;
    let finite = rows.retaped::<NoneTape>().try_mul(E::default())?.try_eq(E::default())?;
    let kept = mask.clone().try_broadcast_like::<_, Axis<2>>(&shape)?;
    let (rows, tape) = rows.split_tape();
    let uniform = finite.try_choose(rows.clone().put_tape(tape), zeros()?)?;
    let uniform = any.try_choose(zeros()?.put_tape(T::default()), uniform)?;
    kept.try_choose(rows.put_tape(T::default()), uniform)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};

    /// Broadcast and permuted views have the right values and gradients, in the kernel and in the reference
    /// implementation.
    #[test]
    fn views_are_read_as_they_are_meant() {
        fn run<E: Dtype>(with_kernel: bool) -> Outcome
        where
            Cpu: Device<E>,
        {
            fn broadcast<E: Dtype, T: Tape<E, Cpu>>(
                x: Tensor<(usize, usize), E, Cpu, T>,
            ) -> Result<Tensor<(usize, usize, usize, usize), E, Cpu, T>, CpuError>
            where
                Cpu: Device<E>,
            {
                x.try_permute::<(usize, usize), Axes2<1, 0>>()?
                    .try_broadcast_like::<_, Axes2<0, 2>>(&(2, 4, 5, 3))
            }
            let x = tensor::<_, E>((3, 4), &samples(1, 12));
            let mut record = Record::new();
            let view = with_tape!(record, broadcast(x.clone())).unwrap();
            let rows = if with_kernel {
                Cpu::try_flatten(&mut record, AnyRank::Four(view)).unwrap()
            } else {
                with_tape!(record, plain(view)).unwrap()
            };
            assert_eq!(*rows.shape(), (2, 20, 3));
            let (rows, gradients) = backward(record, rows);
            // By hand: row (b, i, j) has x[c][i] in column c.
            for (i, number) in rows.iter().enumerate() {
                let (row, column) = ((i / 15) % 4, i % 3);
                assert_eq!(*number, numbers(&x)[column * 4 + row]);
            }
            let factors = samples(99, rows.len());
            let mut expected = vec![0.0; 12];
            for (i, factor) in factors.iter().enumerate() {
                expected[(i % 3) * 4 + (i / 15) % 4] += factor;
            }
            let gradient = numbers(&gradients.get(&x));
            assert_close(&vec![gradient.clone()], &vec![expected], 1e-6);
            vec![rows, gradient]
        }
        for with_kernel in [true, false] {
            run::<f32>(with_kernel);
            run::<f64>(with_kernel);
        }
    }

    /// Masked tokens with values that are not finite, in an item with unmasked tokens and in one without.
    #[test]
    fn masked_tokens_are_out_of_the_way() {
        fn run<E: Dtype>() -> Outcome
        where
            Cpu: Device<E>,
        {
            let mut data = samples(1, 2 * 3 * 2);
            data[2] = f64::NAN;
            data[3] = f64::INFINITY;
            data[8] = f64::NEG_INFINITY;
            let x = tensor::<_, E>((2, 3, 2), &data);
            let mask = [true, false, true, false, false, false];
            let mask = Cpu::default().tensor_from_vec(mask.to_vec(), (2, 3));
            let mut record = Record::new();
            let y = Cpu::try_clear_masked(&mut record, x.clone(), &mask).unwrap();
            let (y, gradients) = backward(record, y);
            let gradient = numbers(&gradients.get(&x));
            let mut expected = samples(1, 2 * 3 * 2);
            for i in [2, 3, 8] {
                expected[i] = 0.0;
            }
            assert_close(&vec![y.clone()], &vec![expected], 1e-6);
            assert!([2, 3, 8].iter().all(|&i| gradient[i] == 0.0));
            assert!([0, 4, 6, 11].iter().all(|&i| gradient[i] != 0.0));
            vec![y, gradient]
        }
        assert_close(&run::<f32>(), &run::<f64>(), 1e-6);
    }
}
