//! Some of the rows of a tensor.

use std::ops::Range;

use dfdx::prelude::*;

use super::{KernelDevice, Record, Rows, gather};

/// Some of the rows of a tensor.
#[derive(Clone, Debug)]
pub(crate) enum Selection {
    /// All of them.
    All,
    /// Those of a range, whose gradient is not tracked.
    Range(Range<usize>),
    /// Those at these places.
    Places(Vec<usize>),
}

impl Selection {
    /// Their places among `count` rows.
    pub fn places(&self, count: usize) -> Vec<usize> {
        match self {
            Self::All => (0..count).collect(),
            Self::Range(range) => range.clone().collect(),
            Self::Places(places) => places.clone(),
        }
    }
}

/// Selects rows of each item of `(batch, rows, width)`.
///
/// # Errors
/// If the device runs out of memory.
pub(crate) fn select<E: Dtype, D: KernelDevice<E>>(
    record: &mut Record<E, D>,
    rows: Rows<E, D>,
    selection: &Selection,
) -> Result<Rows<E, D>, D::Err> {
    match selection {
        Selection::All => Ok(rows),
        Selection::Range(range) => {
            let rows = rows.try_slice((.., range.clone(), ..))?;
            let shape = rows.shape().concrete();
            rows.try_reshape_like(&(shape[0], shape[1], shape[2]))
        }
        Selection::Places(places) => gather(record, rows, places),
    }
}
