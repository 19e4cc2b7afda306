//! A training step, in `f32` or in mixed precision.

#[cfg(feature = "f16")]
use anyhow::Error;
use anyhow::Result;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, accuracy, cross_entropy};

use crate::Model;
use crate::data::Batch;

/// The precision that a step computes in.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// Half precision, with sums and parameters in `f32`.
    #[cfg(feature = "f16")]
    Mixed,
}

/// The state of the training, besides the model.
pub struct Trainer {
    optimizer: AdamW<f32, AutoDevice>,
    grads: Option<Gradients<f32, AutoDevice>>,
    precision: Precision,
    #[cfg(feature = "f16")]
    scaler: perceiver::mixed::GradScaler,
}

impl Trainer {
    pub fn new(model: &Model, precision: Precision) -> Result<Self> {
        let config = AdamWConfig { weight_decay: 1e-2, ..AdamWConfig::default() };
        Ok(Self {
            optimizer: AdamW::new(model, config)?,
            grads: Some(model.alloc_grads()),
            precision,
            #[cfg(feature = "f16")]
            scaler: Default::default(),
        })
    }

    /// Trains the model on a batch; returns the accuracy and the loss from before the update.
    pub fn step(
        &mut self,
        model: &mut Model,
        batch: Batch,
        learning_rate: f64,
    ) -> Result<(f64, f32)> {
        self.optimizer.config.learning_rate = learning_rate;
        match self.precision {
            Precision::F32 => self.step_in_f32(model, batch),
            #[cfg(feature = "f16")]
            Precision::Mixed => self.step_in_mixed_precision(model, batch),
        }
    }

    fn step_in_f32(&mut self, model: &mut Model, batch: Batch) -> Result<(f64, f32)> {
        let grads = self.grads.take().unwrap_or_else(|| model.alloc_grads());
        let logits = model.forward_mut(batch.images.traced(grads));
        let accuracy = accuracy(&logits, &batch.targets)?;
        let loss = cross_entropy(logits, &batch.targets)?;
        let loss_value = loss.array();
        self.grads = Some(self.optimizer.step(model, loss.backward())?);
        Ok((accuracy, loss_value))
    }

    #[cfg(feature = "f16")]
    fn step_in_mixed_precision(&mut self, model: &mut Model, batch: Batch) -> Result<(f64, f32)> {
        let mut copy = half(model);
        let images = batch.images.to_dtype();
        let logits = copy.forward_mut(images.traced(copy.alloc_grads()));
        let accuracy = accuracy(&logits, &batch.targets)?;
        let loss = cross_entropy(logits, &batch.targets)?;
        let loss_value = loss.retaped::<NoneTape>().to_dtype::<f32>().array();
        let scaler = &mut self.scaler;
        let grads = scaler.try_backward(loss).map_err(Error::msg)?;
        let grads = scaler.try_unscale(model, &copy, grads).map_err(Error::msg)?;
        if let Some(grads) = grads {
            self.optimizer.step(model, grads)?;
        }
        Ok((accuracy, loss_value))
    }
}

/// The model in half precision.
#[cfg(feature = "f16")]
pub fn half(
    model: &Model,
) -> crate::Digits<perceiver::dfdx::dtypes::AMP<perceiver::dfdx::dtypes::f16>, AutoDevice> {
    perceiver::dfdx::nn::ToDtype::to_dtype(model)
}
