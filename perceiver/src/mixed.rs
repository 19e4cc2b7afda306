//! Training in mixed precision: parameters and optimizer in `f32`, passes in half precision (feature `f16`).
//!
//! In half precision alone, small gradients, small updates of weights and the second moments of Adam are rounded to 0. The
//! remedies are those of [Micikevicius et al. 2018](https://arxiv.org/abs/1710.03740), as in PyTorch: the optimizer works
//! on `f32` parameters, of which each step makes a copy in half precision, and [`GradScaler`] multiplies the loss before
//! its backward pass and divides the gradients after it.
//!
//! One step of a training:
//!
//! ```
//! use perceiver::dfdx::dtypes::{AMP, f16};
//! use perceiver::dfdx::nn::ToDtype;
//! use perceiver::dfdx::optim::{Adam, Optimizer};
//! use perceiver::mixed::GradScaler;
//! use perceiver::prelude::*;
//!
//! perceiver! {
//!     struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 1, num_latents: 8,
//!         latent_dim: 32, latent_heads: 2, num_classes: 10 }
//! }
//!
//! let dev = Cpu::default();
//! let mut model = dev.build_module::<Digits, f32>();
//! let mut optimizer = Adam::new(&model, Default::default());
//! let mut scaler = GradScaler::default();
//!
//! let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
//! let targets: Tensor<Rank2<5, 10>, f32, _> = dev.zeros();
//! let (images, targets) = (images.to_dtype::<AMP<f16>>(), targets.to_dtype::<AMP<f16>>());
//!
//! let mut copy = model.to_dtype::<AMP<f16>>();
//! let logits = copy.forward_mut(images.traced(copy.alloc_grads()));
//! let loss = cross_entropy_with_logits_loss(logits, targets);
//! let grads = scaler.try_backward(loss)?;
//! if let Some(grads) = scaler.try_unscale(&model, &copy, grads)? {
//!     optimizer.update(&mut model, &grads)?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use dfdx::nn::tensor_collection::{
    RecursiveWalker, TensorCollection, TensorOptions, TensorVisitor, ViewTensorRef,
};
use dfdx::prelude::*;
use dfdx::tensor_ops::Device as TensorDevice;

use crate::ops::set_gradient;

/// The largest scale: the next power of two overflows `f16`.
const LARGEST: f64 = 32_768.0;
/// The smallest scale: gradients that still overflow here are wrong, not just too large.
const SMALLEST: f64 = 1.0;
/// The number of steps without an overflow after which the scale is doubled, as in PyTorch.
const GROWTH_INTERVAL: u32 = 2000;

/// Scales a loss so that its gradients do not vanish in half precision, and adapts the scale, as PyTorch's `GradScaler`
/// does.
///
/// The scale is a power of two, 1,024 by default. It is halved when a gradient overflows, down to 1, and doubled after 2,000
/// consecutive steps without an overflow, up to 32,768, the largest power of two in `f16`. The [module](self) has an
/// example.
///
/// The backward pass of dfdx's `cross_entropy_with_logits_loss` starts with the scale times the number of classes. With
/// 1,000 classes, scales above 64 overflow there, so the first steps are skipped until the scale fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradScaler {
    scale: f64,
    steps: u32,
}

impl Default for GradScaler {
    fn default() -> Self {
        Self::new(1024.0)
    }
}

impl GradScaler {
    /// Creates a scaler with an initial scale, which is rounded to a power of two from 1 to 32,768: multiplying by a power
    /// of two does not round. NaN is taken as 1.
    #[must_use]
    pub fn new(scale: f64) -> Self {
        let scale = if scale.is_nan() { SMALLEST } else { scale };
        Self { scale: scale.clamp(SMALLEST, LARGEST).log2().round().exp2(), steps: 0 }
    }

    /// Returns the factor by which losses are currently multiplied.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// Multiplies a loss by the scale, and returns its gradients, to be passed to [`try_unscale`](Self::try_unscale).
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_backward<E: Dtype, D: TensorDevice<E>>(
        &self,
        loss: Tensor<Rank0, E, D, OwnedTape<E, D>>,
    ) -> Result<Gradients<E, D>, D::Err> {
        let scale = E::from_f64(self.scale).unwrap_or(E::ONE);
        loss.try_mul(scale)?.try_backward()
    }

    /// Converts the scaled gradients of `copy`, from [`try_backward`](Self::try_backward), to unscaled `f32` gradients of
    /// `model`, to be passed to an optimizer.
    ///
    /// `copy` must be the result of `model.to_dtype()`. A parameter that the loss does not depend on has gradient 0.
    ///
    /// Returns `None` if a gradient is infinite or NaN: skip this step. The scale has been halved for the next one.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn try_unscale<M, C, E, D>(
        &mut self,
        model: &M,
        copy: &C,
        gradients: Gradients<E, D>,
    ) -> Result<Option<Gradients<f32, D>>, D::Err>
    where
        M: TensorCollection<f32, D>,
        C: TensorCollection<E, D, To<f32, D> = M>,
        E: Dtype,
        D: TensorDevice<E> + TensorDevice<f32>,
    {
        let mut widen = Widen { gradients, scale: self.scale };
        let widened = C::iter_tensors(&mut RecursiveWalker { m: copy, f: &mut widen })?;
        let mut collect = Collect { gradients: Gradients::leaky(), check: None };
        if let Some(widened) = &widened {
            M::iter_tensors(&mut RecursiveWalker { m: (model, widened), f: &mut collect })?;
        }
        let check: Option<Vec<f32>> = collect.check.map(|check| check.as_vec());
        let finite = check.is_none_or(|check| check == [0.0]);
        self.adapt(finite);
        Ok(finite.then_some(collect.gradients))
    }

    fn adapt(&mut self, finite: bool) {
        if !finite {
            *self = Self::new(self.scale / 2.0);
            return;
        }
        self.steps += 1;
        if self.steps == GROWTH_INTERVAL {
            *self = Self::new(self.scale * 2.0);
        }
    }
}

/// Turns the gradients of a module into a module.
struct Widen<E: Dtype, D: TensorDevice<E>> {
    gradients: Gradients<E, D>,
    scale: f64,
}

impl<E: Dtype, D: TensorDevice<E> + TensorDevice<f32>> TensorVisitor<E, D> for Widen<E, D> {
    type Viewer = ViewTensorRef;
    type Err = D::Err;
    type E2 = f32;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        _options: TensorOptions<S, E, D>,
        parameter: &Tensor<S, E, D>,
    ) -> Result<Option<Tensor<S, f32, D>>, D::Err> {
        self.gradients.try_alloc_for(parameter)?;
        let gradient = self.gradients.get(parameter).try_to_dtype::<f32>()?;
        Ok(Some(gradient.try_div(self.scale as f32)?))
    }
}

/// Collects gradients from a module that has them as its tensors.
struct Collect<D: TensorDevice<f32>> {
    gradients: Gradients<f32, D>,
    /// 0, or NaN if a gradient is infinite or NaN; read only once, since each read waits for the device.
    check: Option<Tensor<Rank0, f32, D>>,
}

impl<D: TensorDevice<f32>> TensorVisitor<f32, D> for Collect<D> {
    type Viewer = (ViewTensorRef, ViewTensorRef);
    type Err = D::Err;
    type E2 = f32;
    type D2 = D;

    fn visit<S: Shape>(
        &mut self,
        options: TensorOptions<S, f32, D>,
        (parameter, gradient): (&Tensor<S, f32, D>, &Tensor<S, f32, D>),
    ) -> Result<Option<Tensor<S, f32, D>>, D::Err> {
        if !options.do_gradient_update {
            return Ok(None);
        }
        let count = parameter.shape().num_elements();
        let check =
            gradient.clone().try_mul(0.0)?.try_reshape_like(&(count,))?.try_sum::<Rank0, _>()?;
        self.check = Some(match self.check.take() {
            None => check,
            Some(sum) => sum.try_add(check)?,
        });
        set_gradient(&mut self.gradients, parameter, gradient.clone())?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use dfdx::dtypes::{AMP, f16};
    use dfdx::nn::ToDtype;

    use super::*;

    /// A weight, which is also a module.
    type Layer = Tensor<Rank2<3, 2>, f32, Cpu>;
    type Mixed = AMP<f16>;

    fn layer() -> Layer {
        Cpu::default().sample_normal()
    }

    fn gradients(
        layer: &Layer,
        scaler: &mut GradScaler,
        size: f32,
        factor: f32,
    ) -> Option<Gradients<f32, Cpu>> {
        let dev = Cpu::default();
        let copy = ToDtype::to_dtype::<Mixed>(layer);
        let x = dev.tensor([[size, 2.0 * size, -size]]).to_dtype::<Mixed>();
        let y = x.leaky_trace().matmul(copy.clone()).sum::<Rank0, _>();
        let loss = y * AMP(f16::from_f32(factor));
        let gradients = scaler.try_backward(loss).unwrap();
        scaler.try_unscale(layer, &copy, gradients).unwrap()
    }

    #[test]
    fn small_gradients_survive_and_are_scaled_back() {
        let layer = layer();
        let mut scaler = GradScaler::new(4096.0);
        let found = gradients(&layer, &mut scaler, 1e-4, 1e-4).unwrap();
        for (i, found) in found.get(&layer).as_vec().into_iter().enumerate() {
            let expected = [1e-8, 2e-8, -1e-8][i / 2];
            assert!((found - expected).abs() < 1e-10, "{found}");
        }
        assert_eq!(scaler.scale(), 4096.0);
        // Below the smallest f16, 6e-8.
        let lost = gradients(&layer, &mut GradScaler::new(1.0), 1e-4, 1e-4).unwrap();
        assert_eq!(lost.get(&layer).as_vec(), [0.0; 6]);
    }

    #[test]
    fn an_overflow_leaves_the_step_out_and_halves_the_scale() {
        let layer = layer();
        let mut scaler = GradScaler::new(1e9);
        assert_eq!(scaler.scale(), 32_768.0);
        assert!(gradients(&layer, &mut scaler, 3.0, 1.0).is_none());
        assert_eq!(scaler.scale(), 16_384.0);
        assert!(gradients(&layer, &mut scaler, 1.5, 1.0).is_some());
        assert_eq!(scaler.scale(), 16_384.0);
    }

    #[test]
    fn the_scale_grows_when_nothing_overflows_for_long() {
        let mut scaler = GradScaler::new(8.0);
        for _ in 1..GROWTH_INTERVAL {
            scaler.adapt(true);
        }
        assert_eq!(scaler.scale(), 8.0);
        scaler.adapt(true);
        assert_eq!(scaler.scale(), 16.0);
        assert_eq!(GradScaler::new(f64::NAN).scale(), 1.0);
        assert_eq!(GradScaler::new(1000.0).scale(), 1024.0);
    }
}
