//! Weights that rows are multiplied with.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use dfdx::prelude::{Cache, Cpu, Dtype, HasShape, Storage};

use super::cpu::{Panels, panels_of, tensor_of};
use super::{Matrix, Record};
use crate::spec::Width;

/// The precision to which
/// [`prepare_for_inference_in`](crate::model::Perceiver::prepare_for_inference_in) rounds the weights of linear layers.
///
/// Except with [`Int8Dynamic`](Self::Int8Dynamic), the rows that are multiplied with them, and the sums, stay in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightPrecision {
    /// Not rounded: 4 bytes for each weight.
    #[default]
    F32,
    /// The nearest `bf16`, which has the range of `f32` and 8 bits of precision: 2 bytes for each weight.
    Bf16,
    /// An integer from -127 to 127 for each weight, times a scale for each output, with which the largest weight is 127: 1 byte
    /// for each weight, and 4 for each output.
    Int8,
    /// The weights of [`Int8`](Self::Int8), with rows that are rounded as well before they are multiplied: to integers from
    /// -127 to 127, times a scale for each row. It is faster on machines with AVX-512 VNNI; on others, it is the same as `Int8`.
    Int8Dynamic,
}

impl fmt::Display for WeightPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 | Self::Int8Dynamic => "int8",
        })
    }
}

/// A matrix that rows are multiplied with: a parameter of a model, which dereferences to its tensor.
///
/// In a model that was prepared for inference, on the `Cpu` in `f32`, it is stored as the kernels read it. What needs the
/// tensor, such as a save or a forward pass with a tape, makes it again, and it stays until the model is prepared again.
/// Generation stores both. If it is stored in another precision than its own, the tensor that is made again is the rounded one.
pub struct Weight<E: Dtype, D: Storage<E>> {
    tensor: OnceLock<Matrix<E, D>>,
    panels: OnceLock<Arc<Panels>>,
    /// Whether panels are kept once they are made.
    keeps_panels: AtomicBool,
    /// What panels are stored in.
    precision: WeightPrecision,
    /// What the tensor was rounded to, unless it has changed since.
    rounded: Option<WeightPrecision>,
    /// The shape of a tensor that was dropped, and what makes it again.
    dropped: Option<((Width, Width), Restore<E, D>)>,
}

type Restore<E, D> = Arc<dyn Fn(&Panels) -> Matrix<E, D> + Send + Sync>;

const STORED: &str = "a tensor is dropped when there are panels";

impl<E: Dtype, D: Storage<E>> Weight<E, D> {
    /// The size, `(outputs, inputs)`.
    #[must_use]
    pub fn shape(&self) -> &(Width, Width) {
        match (self.tensor.get(), &self.dropped) {
            (Some(tensor), _) => tensor.shape(),
            (None, Some((shape, _))) => shape,
            (None, None) => unreachable!("{STORED}"),
        }
    }

    /// Returns the tensor, as dfdx's `Gradients` take it.
    #[must_use]
    pub fn tensor(&self) -> &Matrix<E, D> {
        self.tensor.get_or_init(|| self.restored())
    }

    /// What the tensor was rounded to.
    pub(crate) fn rounded(&self) -> Option<WeightPrecision> {
        self.rounded
    }

    /// Returns the tensor, to be changed. What else is stored is forgotten.
    pub(crate) fn tensor_mut(&mut self) -> &mut Matrix<E, D> {
        let tensor = self.tensor.take().unwrap_or_else(|| self.restored());
        *self = tensor.into();
        match self.tensor.get_mut() {
            Some(tensor) => tensor,
            None => unreachable!("it was just stored"),
        }
    }

    fn restored(&self) -> Matrix<E, D> {
        match (self.panels.get(), &self.dropped) {
            (Some(panels), Some((_, restore))) => restore(panels),
            _ => unreachable!("{STORED}"),
        }
    }
}

impl Weight<f32, Cpu> {
    /// Its transposed as panels, if they are kept, for a forward pass without gradients.
    pub(super) fn panels(&self, record: &Record<f32, Cpu>) -> Option<&Panels> {
        if record.is_on() || !self.keeps_panels.load(Ordering::Relaxed) {
            return None;
        }
        if self.panels.get().is_none() {
            // Not `get_or_init`: the work is split among threads, and one that waits for its part may begin another forward
            // pass, which would wait here for itself.
            let _ = self.panels.set(Arc::new(panels_of(self, self.precision)));
        }
        self.panels.get().map(Arc::as_ref)
    }

    /// Keeps panels from their first use on.
    pub(super) fn keep_panels(&self) {
        self.keeps_panels.store(true, Ordering::Relaxed);
    }

    /// Keeps panels of this precision, from their first use on, and the tensor.
    pub(super) fn keep_panels_in(&mut self, precision: WeightPrecision) {
        if self.precision != precision {
            let _ = self.tensor();
            self.panels.take();
            self.precision = precision;
        }
        self.keep_panels();
    }

    /// Stores panels instead of the tensor.
    pub(super) fn store_as_panels(&mut self, precision: WeightPrecision) {
        self.keep_panels_in(precision);
        let Some(tensor) = self.tensor.take() else { return };
        if self.panels.get().is_none() {
            self.panels = Arc::new(panels_of(&tensor, precision)).into();
        }
        if precision != WeightPrecision::F32 {
            self.rounded = Some(precision);
        }
        let (shape, device) = (*tensor.shape(), tensor.device().clone());
        drop(tensor);
        // dfdx would keep its memory for another tensor of this size.
        device.empty_cache();
        self.dropped = Some((shape, Arc::new(move |panels| tensor_of(panels, shape, &device))));
    }
}

impl<E: Dtype, D: Storage<E>> From<Matrix<E, D>> for Weight<E, D> {
    fn from(tensor: Matrix<E, D>) -> Self {
        Self {
            tensor: tensor.into(),
            panels: OnceLock::new(),
            keeps_panels: AtomicBool::new(false),
            precision: WeightPrecision::F32,
            rounded: None,
            dropped: None,
        }
    }
}

impl<E: Dtype, D: Storage<E>> Deref for Weight<E, D> {
    type Target = Matrix<E, D>;

    fn deref(&self) -> &Matrix<E, D> {
        self.tensor()
    }
}

impl<E: Dtype, D: Storage<E>> Clone for Weight<E, D> {
    fn clone(&self) -> Self {
        Self {
            tensor: self.tensor.clone(),
            panels: self.panels.clone(),
            keeps_panels: self.keeps_panels.load(Ordering::Relaxed).into(),
            precision: self.precision,
            rounded: self.rounded,
            dropped: self.dropped.clone(),
        }
    }
}

impl<E: Dtype, D: Storage<E>> fmt::Debug for Weight<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tensor.get() {
            Some(tensor) => tensor.fmt(f),
            None => f.debug_tuple("Weight").field(self.shape()).finish(),
        }
    }
}
