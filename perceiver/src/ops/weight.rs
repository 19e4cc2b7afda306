//! Weights that are multiplied with again and again.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use dfdx::prelude::{Cpu, Dtype, Storage};

use super::cpu::{Panels, panels_of};
use super::{Matrix, Record};

/// A matrix that rows are multiplied with: a parameter of a model, which dereferences to its tensor.
///
/// On the `Cpu` in `f32`, the first forward pass without a tape keeps a second copy of it, laid out as the kernels read
/// it, for those that follow. A parameter that changes loses it.
pub struct Weight<E: Dtype, D: Storage<E>> {
    tensor: Matrix<E, D>,
    /// `None` if it is used once.
    panels: Option<OnceLock<Arc<Panels>>>,
}

impl<E: Dtype, D: Storage<E>> Weight<E, D> {
    /// A parameter.
    pub(crate) fn of_model(tensor: Matrix<E, D>) -> Self {
        Self { tensor, panels: Some(OnceLock::new()) }
    }

    /// Returns the tensor, to be changed.
    pub(crate) fn tensor_mut(&mut self) -> &mut Matrix<E, D> {
        if let Some(panels) = &mut self.panels {
            panels.take();
        }
        &mut self.tensor
    }
}

impl Weight<f32, Cpu> {
    /// Its transposed as panels, if they are kept: those of a weight of a model in a forward pass without gradients.
    pub(super) fn panels(&self, record: &Record<f32, Cpu>) -> Option<&Panels> {
        let panels = self.panels.as_ref().filter(|_| !record.is_on())?;
        if panels.get().is_none() {
            // Not `get_or_init`: the work is split among threads, and one that waits for its part may begin another forward
            // pass, which would wait here for itself.
            let _ = panels.set(Arc::new(panels_of(&self.tensor)));
        }
        panels.get().map(Arc::as_ref)
    }
}

/// A weight that is used once.
impl<E: Dtype, D: Storage<E>> From<Matrix<E, D>> for Weight<E, D> {
    fn from(tensor: Matrix<E, D>) -> Self {
        Self { tensor, panels: None }
    }
}

impl<E: Dtype, D: Storage<E>> Deref for Weight<E, D> {
    type Target = Matrix<E, D>;

    fn deref(&self) -> &Matrix<E, D> {
        &self.tensor
    }
}

impl<E: Dtype, D: Storage<E>> Clone for Weight<E, D> {
    fn clone(&self) -> Self {
        Self { tensor: self.tensor.clone(), panels: self.panels.clone() }
    }
}

impl<E: Dtype, D: Storage<E>> fmt::Debug for Weight<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tensor.fmt(f)
    }
}
