//! Operations that sum many values.

use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

/// An operation on one tensor that sums many values: a half-precision accumulator would overflow.
pub trait InF32<S: Shape, D> {
    /// The shape of the result.
    type Output: Shape;

    /// Applies the operation, in any data type.
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

/// Runs operations that sum many values. Sums are computed in the data type of the tensor, except for half precision,
/// for which they are computed in `f32`. Gradients are tracked.
pub trait InF32Kernel<E: Dtype>: TensorDevice<E> {
    /// Runs an operation.
    ///
    /// # Errors
    /// If the device runs out of memory.
    fn try_in_f32<S: Shape, Op: InF32<S, Self>, T: Tape<E, Self>>(
        x: Tensor<S, E, Self, T>,
        op: Op,
    ) -> Result<Tensor<Op::Output, E, Self, T>, Self::Err> {
        op.try_apply(x)
    }
}

impl InF32Kernel<f32> for Cpu {}
impl InF32Kernel<f64> for Cpu {}
#[cfg(feature = "cuda")]
impl InF32Kernel<f32> for Cuda {}
#[cfg(feature = "cuda")]
impl InF32Kernel<f64> for Cuda {}

/// Shifts and scales each row, along the last of three axes, to a mean of 0 and a variance of 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalize {
    /// The number added to the variance.
    pub epsilon: f64,
}

impl<S: Shape + ReduceShape<Axis<2>>, D> InF32<S, D> for Normalize {
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

/// The mean over the second of three axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean;

impl<B: Dim, L: Dim, C: Dim, D> InF32<(B, L, C), D> for Mean {
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
