//! Batch normalisation.

use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

use super::in_f32::InF32;
use super::record::with_tape;
use super::{KernelDevice, Record, Rows, Vector, check, vector};
use crate::spec::Width;

/// The number added to the variance, as in PyTorch.
const EPSILON: f64 = 1e-5;
/// How much of the statistics of a batch goes into the running ones, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// The parameters of a batch norm, `(channels,)` each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchNormParameters<'a, E: Dtype, D: Storage<E>> {
    pub weight: &'a Vector<E, D>,
    pub bias: &'a Vector<E, D>,
    pub running_mean: &'a Vector<E, D>,
    pub running_var: &'a Vector<E, D>,
}

/// Normalises each channel of `(batch, rows, channels)`: with the running statistics, or in training with those of the batch,
/// which then also update the running ones.
///
/// # Errors
/// If the sizes do not match, or the device runs out of memory.
pub(crate) fn batch_norm<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    x: Rows<E, D>,
    parameters: BatchNormParameters<'_, E, D>,
    is_training: bool,
) -> Result<Rows<E, D>, D::Err> {
    let BatchNormParameters { weight, bias, running_mean, running_var } = parameters;
    let channels = x.shape().2;
    let all = [weight, bias, running_mean, running_var];
    check::<D::Err>(all.iter().all(|vector| vector.shape().0.size() == channels))?;
    if !is_training {
        let (mean, var) = (vector(running_mean), vector(running_var));
        return with_tape!(record, with_running(x, mean, var, vector(weight), vector(bias)));
    }
    let count = x.shape().0 * x.shape().1;
    let centred = with_tape!(record, centre(x.clone()))?;
    let y = with_tape!(record, with_own(centred.clone(), vector(weight), vector(bias)))?;
    let mean = D::try_in_f32(x, ChannelMean)?;
    let unbiased = count as f64 / count.saturating_sub(1).max(1) as f64;
    let var = D::try_in_f32(centred, ChannelSquare)?.try_mul(number::<E>(unbiased))?;
    for (running, batch) in [(running_mean, mean), (running_var, var)] {
        let kept = vector(running).try_mul(number::<E>(1.0 - MOMENTUM))?;
        let updated = kept.try_add(batch.try_mul(number::<E>(MOMENTUM))?)?;
        record.update(running, super::typed::<(Width,), _, E, D, _>(updated, NoneTape)?);
    }
    Ok(y)
}

fn number<E: Dtype>(x: f64) -> E {
    E::from_f64(x).unwrap_or_default()
}

fn with_running<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
    mean: Tensor<(usize,), E, D>,
    var: Tensor<(usize,), E, D>,
    weight: Tensor<(usize,), E, D>,
    bias: Tensor<(usize,), E, D>,
) -> Result<Rows<E, D, T>, D::Err> {
    let shape = *x.shape();
    let root = var.try_add(number::<E>(EPSILON))?.try_sqrt()?;
    let x = x.try_sub(mean.try_broadcast_like::<_, Axes2<0, 1>>(&shape)?)?;
    let x = x.try_div(root.try_broadcast_like::<_, Axes2<0, 1>>(&shape)?)?;
    scale_and_shift(x, weight, bias)
}

fn with_own<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    centred: Rows<E, D, T>,
    weight: Tensor<(usize,), E, D>,
    bias: Tensor<(usize,), E, D>,
) -> Result<Rows<E, D, T>, D::Err> {
    let shape = *centred.shape();
    let var = D::try_in_f32(centred.retaped::<T>(), ChannelSquare)?;
    let root = var.try_add(number::<E>(EPSILON))?.try_sqrt()?;
    let x = centred.try_div(root.try_broadcast_like::<_, Axes2<0, 1>>(&shape)?)?;
    scale_and_shift(x, weight, bias)
}

fn centre<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
) -> Result<Rows<E, D, T>, D::Err> {
    let shape = *x.shape();
    let mean = D::try_in_f32(x.retaped::<T>(), ChannelMean)?;
    x.try_sub(mean.try_broadcast_like::<_, Axes2<0, 1>>(&shape)?)
}

fn scale_and_shift<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    x: Rows<E, D, T>,
    weight: Tensor<(usize,), E, D>,
    bias: Tensor<(usize,), E, D>,
) -> Result<Rows<E, D, T>, D::Err> {
    let shape = *x.shape();
    let weight = weight.retaped::<T>().try_broadcast_like::<_, Axes2<0, 1>>(&shape)?;
    let bias = bias.retaped::<T>().try_broadcast_like::<_, Axes2<0, 1>>(&shape)?;
    x.try_mul(weight)?.try_add(bias)
}

/// The mean of each channel, the last of three axes.
struct ChannelMean;

impl<D> InF32<(usize, usize, usize), D> for ChannelMean {
    type Output = (usize,);

    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        x: Rows<E, D, T>,
    ) -> Result<Tensor<(usize,), E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
    {
        x.try_mean::<(usize,), Axes2<0, 1>>()
    }
}

/// The mean square of each channel.
struct ChannelSquare;

impl<D> InF32<(usize, usize, usize), D> for ChannelSquare {
    type Output = (usize,);

    fn try_apply<E: Dtype, T: Tape<E, D>>(
        self,
        x: Rows<E, D, T>,
    ) -> Result<Tensor<(usize,), E, D, T>, D::Err>
    where
        D: TensorDevice<E>,
    {
        x.try_square()?.try_mean::<(usize,), Axes2<0, 1>>()
    }
}
