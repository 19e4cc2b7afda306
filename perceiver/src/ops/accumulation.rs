//! Operations that sum up many numbers.

use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

/// An operation over one tensor in which many numbers are summed up, for [`try_accumulate`]: a number of half precision
/// has no room for the sum.
///
/// [`try_accumulate`]: super::Device::try_accumulate
pub trait Accumulation<S: Shape, D> {
    /// The shape of what it gives.
    type Output: Shape;

    /// The operation, on numbers of any type.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        x: Tensor<S, E, D, T>,
    ) -> Result<Tensor<Self::Output, E, D, T>, D::Err>
    where
        D: TensorDevice<E>;
}

/// Runs an operation on the numbers as they are.
pub(super) fn plain<S, Op, E, D, T>(
    x: Tensor<S, E, D, T>,
    op: Op,
) -> Result<Tensor<Op::Output, E, D, T>, D::Err>
where
    S: Shape,
    Op: Accumulation<S, D>,
    E: Dtype,
    D: TensorDevice<E>,
    T: Tape<E, D>,
{
    op.try_apply(x)
}

/// Shifts and scales each row, the last of three axes, to a mean of 0 and a variance of 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalize {
    /// What is added to the variance.
    pub epsilon: f64,
}

impl<S: Shape + ReduceShape<Axis<2>>, D> Accumulation<S, D> for Normalize {
    type Output = S;

    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        x: Tensor<S, E, D, T>,
    ) -> Result<Tensor<S, E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
    {
        x.try_normalize::<Axis<2>>(self.epsilon)
    }
}

/// The mean of the second of three axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean;

impl<B: Dim, L: Dim, C: Dim, D> Accumulation<(B, L, C), D> for Mean {
    type Output = (B, C);

    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        x: Tensor<(B, L, C), E, D, T>,
    ) -> Result<Tensor<(B, C), E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
    {
        x.try_mean::<(B, C), Axis<1>>()
    }
}
