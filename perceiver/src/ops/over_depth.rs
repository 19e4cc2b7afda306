//! A mean over the states after each layer, with weights computed from them.

use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

use super::in_f32::InF32;
use super::record::with_tape;
use super::{KernelDevice, Record, Rows, Vector, check, vector};

/// The number added to the mean square: PyTorch's default, the epsilon of `f32`.
const EPSILON: f64 = f32::EPSILON as f64;

/// Divides each row by the root of its mean square, and multiplies it by `weight`.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn rms_norm<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    x: Rows<E, D>,
    weight: &Vector<E, D>,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        x: Rows<E, D, T>,
        weight: &Vector<E, D>,
    ) -> Result<Rows<E, D, T>, D::Err> {
        let shape = *x.shape();
        let weight = vector(weight).try_broadcast_like::<_, Axes2<0, 1>>(&shape)?;
        D::try_in_f32(x, RootMeanSquare)?.try_mul(weight)
    }
    check::<D::Err>(x.shape().2 == weight.shape().0.size())?;
    with_tape!(record, plain(x, weight))
}

/// Divides each row by the root of its mean square.
struct RootMeanSquare;

impl<B: Dim, L: Dim, C: Dim, D> InF32<(B, L, C), D> for RootMeanSquare {
    type Output = (B, L, C);

    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        x: Tensor<(B, L, C), E, D, T>,
    ) -> Result<Tensor<(B, L, C), E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
    {
        let shape = *x.shape();
        let epsilon = E::from_f64(EPSILON).unwrap_or_default();
        let squares = x.retaped::<T>().try_square()?.try_mean::<(B, L), Axis<2>>()?;
        let roots = squares.try_add(epsilon)?.try_sqrt()?;
        x.try_div(roots.try_broadcast_like::<_, Axis<2>>(&shape)?)
    }
}

/// Adds up `states`, `(batch, depth · rows, width)`, over the depth, with the softmax of `logits` over it as weights, for
/// each number of its own: `(batch, rows, width)`.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn mean_over_depth<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    logits: Rows<E, D>,
    states: Rows<E, D>,
    depth: usize,
) -> Result<Rows<E, D>, D::Err> {
    fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
        logits: Rows<E, D, T>,
        states: Rows<E, D>,
        apart: (usize, usize, usize, usize),
    ) -> Result<Rows<E, D, T>, D::Err> {
        let (batch, _, rows, width) = apart;
        let logits: Tensor<(usize, usize, usize, usize), E, D, T> =
            logits.try_reshape_like(&apart)?;
        let weights = D::try_in_f32(logits, Softmax)?;
        // On the same tape, or the gradient of the reshaped states would be lost.
        let (weights, tape) = weights.split_tape();
        let states = states.put_tape(tape).try_reshape_like(&apart)?;
        let sum = D::try_in_f32(states.try_mul(weights)?, Sum)?;
        sum.try_reshape_like(&(batch, rows, width))
    }
    let (batch, all, width) = *states.shape();
    check::<D::Err>(logits.shape() == states.shape() && depth > 0 && all % depth == 0)?;
    with_tape!(record, plain(logits, states, (batch, depth, all / depth, width)))
}

/// The softmax over the second of four axes.
struct Softmax;

impl<B: Dim, L: Dim, N: Dim, C: Dim, D> InF32<(B, L, N, C), D> for Softmax {
    type Output = (B, L, N, C);

    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        x: Tensor<(B, L, N, C), E, D, T>,
    ) -> Result<Tensor<(B, L, N, C), E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
    {
        x.try_softmax::<Axis<1>>()
    }
}

/// The sum over the second of four axes.
struct Sum;

impl<B: Dim, L: Dim, N: Dim, C: Dim, D> InF32<(B, L, N, C), D> for Sum {
    type Output = (B, N, C);

    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        x: Tensor<(B, L, N, C), E, D, T>,
    ) -> Result<Tensor<(B, N, C), E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
    {
        x.try_sum::<(B, N, C), Axis<1>>()
    }
}
