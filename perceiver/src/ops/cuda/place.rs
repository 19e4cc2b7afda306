//! Where a tensor is on a GPU.

use std::fmt::{self, Debug, Write};

use dfdx::prelude::*;

/// Where a tensor's memory is, and how much it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) struct Place {
    /// The address on the GPU.
    pub address: u64,
    /// The number of elements there, which is not that of a broadcast tensor.
    pub len: usize,
    /// The number of the GPU.
    pub ordinal: usize,
}

impl Place {
    /// Returns where a tensor is, as dfdx 0.13 shows it for debugging, since it does not tell otherwise. `None` if another
    /// version of it does not.
    pub(super) fn of<S: Shape, E: Debug, T: Debug>(tensor: &Tensor<S, E, Cuda, T>) -> Option<Self>
    where
        Cuda: Storage<E, Vec: Debug>,
    {
        let mut shown = Shown::default();
        // What comes first is the memory, so the rest, which is long, is not wanted: writing stops with an error.
        let _ = write!(shown, "{tensor:?}");
        Self::parse(&shown.text)
    }

    fn parse(shown: &str) -> Option<Self> {
        Some(Self {
            address: field(shown, ADDRESS)?,
            len: field(shown, LEN)?.try_into().ok()?,
            ordinal: field(shown, ORDINAL)?.try_into().ok()?,
        })
    }
}

const ADDRESS: &str = "cu_device_ptr: ";
const LEN: &str = "len: ";
/// The last one.
const ORDINAL: &str = "cu_device: ";

/// The number after a name, if something follows it.
fn field(shown: &str, name: &str) -> Option<u64> {
    let (_, rest) = shown.split_once(name)?;
    let (digits, _) = rest.split_once(|c: char| !c.is_ascii_digit())?;
    digits.parse().ok()
}

/// The beginning of a text.
#[derive(Default)]
struct Shown {
    text: String,
}

/// Where to give up.
const LIMIT: usize = 400;

impl Write for Shown {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.text.push_str(part);
        // A number ends with what is written next.
        let is_complete = part.starts_with(',') && field(&self.text, ORDINAL).is_some();
        if is_complete || self.text.len() > LIMIT { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_what_dfdx_shows() {
        let shown = "Tensor { id: UniqueId(4), data: CachableCudaSlice { data: CudaSlice { cu_device_ptr: 140000000512, \
                     len: 12, device: CudaDevice { cu_device: 1, cu_primary_ctx";
        let place = Place { address: 140_000_000_512, len: 12, ordinal: 1 };
        assert_eq!(Place::parse(shown), Some(place));
        assert_eq!(Place::parse(&shown[..80]), None);
    }
}
