//! The convolutional stem of images.

use dfdx::prelude::*;

use super::{Init, ParameterSource, context::TokenMask, linear};
use crate::WrongSize;
use crate::ops::{
    self, BatchNormParameters, LinearKernel, Record, Rows, Vector, Weight, Window, largest, windows,
};
use crate::spec::Mode;

const CONVOLUTION: Window = Window { size: 7, stride: 2, padding: 3 };
const POOL: Window = Window { size: 3, stride: 2, padding: 0 };

/// The convolutional stem of images, as `Conv2DDownsample` in Hugging Face's Transformers.
///
/// It is a 7 × 7 convolution with stride 2 and zero padding of 3, without a bias; batch normalisation; ReLU; and 3 × 3 max
/// pooling with stride 2, without padding. An image of 224 × 224 pixels becomes one of 55 × 55.
#[derive(Clone, Debug)]
pub struct ConvPoolView<M, V> {
    /// The kernel, `(outputs, 7 · 7 · inputs)`: for each output, the channels of each pixel, row by row.
    pub weight: M,
    /// Normalises the result of the convolution.
    pub norm: BatchNormView<V>,
}

/// Batch normalisation of each channel: `(x - mean) / √(variance + 1e-5) · weight + bias`.
///
/// At inference, the mean and variance are the running ones. In training they are those of the batch, of which a tenth is
/// then blended into the running ones.
#[derive(Clone, Debug)]
pub struct BatchNormView<V> {
    /// The factor of each channel, `(width,)`, 1 at first.
    pub weight: V,
    /// What is added to each channel, `(width,)`, 0 at first.
    pub bias: V,
    /// The running mean, `(width,)`. Not trained.
    pub running_mean: V,
    /// The running variance, `(width,)`. Not trained.
    pub running_var: V,
}

impl<M, V> ConvPoolView<M, V> {
    /// Reads a stem from `inputs` to `outputs` channels.
    pub(crate) fn read<S: ParameterSource<Matrix = M, Vector = V>>(
        source: &mut S,
        inputs: usize,
        outputs: usize,
    ) -> Self {
        Self {
            weight: source.matrix(
                "conv.weight",
                outputs,
                CONVOLUTION.area().saturating_mul(inputs),
            ),
            norm: source.within(format_args!("norm"), |source| BatchNormView {
                weight: source.vector("weight", outputs, Init::Ones),
                bias: source.vector("bias", outputs, Init::Zeros),
                running_mean: source.buffer("running_mean", outputs, Init::Zeros),
                running_var: source.buffer("running_var", outputs, Init::Ones),
            }),
        }
    }
}

/// The number of parameters of a stem from `inputs` to `outputs` channels.
pub(crate) const fn parameters(inputs: usize, outputs: usize) -> usize {
    let kernel = inputs.saturating_mul(CONVOLUTION.area());
    kernel.saturating_add(2).saturating_mul(outputs)
}

/// The floating-point operations of a stem from `inputs` to `outputs` channels, for an image with these axes.
pub(crate) const fn flops(axes: &[usize], inputs: usize, outputs: usize) -> u64 {
    let [places, area, _] = places(axes);
    linear::flops(places as u64, area.saturating_mul(inputs), outputs)
}

/// For an image with these axes: the places of the convolution, and the numbers of positions under it and under the pool.
pub(crate) const fn places(axes: &[usize]) -> [usize; 3] {
    let (mut i, mut places) = (0, 1_usize);
    while i < axes.len() {
        places = places.saturating_mul(CONVOLUTION.count(axes[i]));
        i += 1;
    }
    [places, CONVOLUTION.area(), POOL.area()]
}

/// The size of an axis after the stem; 0 if it is too small for it.
pub(crate) const fn size_after(axis: usize) -> usize {
    POOL.count(CONVOLUTION.count(axis))
}

impl<E: Dtype, D: LinearKernel<E>> ConvPoolView<&Weight<E, D>, &Vector<E, D>> {
    /// Passes an image with these `axes` through the stem, `(batch, positions, inputs)` to
    /// `(batch, fewer positions, outputs)`, with its mask: a position may be attended to if one that it is made from may be.
    ///
    /// # Errors
    /// If the sizes do not match, or the device runs out of memory.
    pub(crate) fn try_forward(
        &self,
        record: &mut Record<E, D>,
        rows: Rows<E, D>,
        mask: TokenMask<D>,
        axes: &[usize],
        mode: Mode,
    ) -> Result<(Rows<E, D>, TokenMask<D>), D::Err> {
        let [height, width] = *axes else {
            return Err(D::Err::wrong_size());
        };
        let image = (height, width);
        let halved = (CONVOLUTION.count(height), CONVOLUTION.count(width));
        let rows = windows(record, rows, image, CONVOLUTION)?;
        let rows = D::try_linear(record, rows, self.weight, None, None)?;
        let BatchNormView { weight, bias, running_mean, running_var } = self.norm;
        let norm = BatchNormParameters { weight, bias, running_mean, running_var };
        let rows = ops::batch_norm(record, rows, norm, mode == Mode::Training)?;
        let rows = ops::relu(record, rows)?;
        let rows = windows(record, rows, halved, POOL)?;
        let rows = largest(record, rows, POOL.area())?;
        let mask = match mask {
            Some(mask) => {
                let (convolved, pooled) = (CONVOLUTION.places(image), POOL.places(halved));
                let mask = ops::mask_of_joined::<E, D>(&mask, &convolved, CONVOLUTION.area())?;
                Some(ops::mask_of_joined::<E, D>(&mask, &pooled, POOL.area())?)
            }
            None => None,
        };
        Ok((rows, mask))
    }
}
