//! Code shared by the kernels for dfdx's `Cuda`.
//!
//! Kernels are compiled by NVRTC when they are first used on a GPU, for the data type of the model, so that nothing but what
//! dfdx needs has to be there when a program is built. Half precision is computed in `f32`. They run on the stream of
//! dfdx's own kernels, one after another.

mod gpu;
mod place;

use std::fmt::Debug;

use cudarc::driver::DevicePtr;
use dfdx::prelude::*;

use super::flatten::owned;
use super::record::with_tape;
use super::{KernelDevice, Record, check};
pub(super) use gpu::{Factor, Gpu, Grid, Number, Source};
use place::Place;

/// A tensor that kernels can read: contiguous, and its memory is known.
#[derive(Clone, Debug)]
pub(super) struct Array<S: Shape, E: Number> {
    pub tensor: Tensor<S, E, Cuda>,
    pub address: u64,
    pub gpu: &'static Gpu,
}

impl<S: Shape, E: Number> Array<S, E>
where
    Cuda: KernelDevice<E>,
{
    /// A tensor, made contiguous if it is not.
    pub fn new(
        record: &mut Record<E, Cuda>,
        tensor: &Tensor<S, E, Cuda>,
    ) -> Result<Self, CudaError> {
        fn contiguous<S: Shape, E: Number, T: Tape<E, Cuda>>(
            x: Tensor<S, E, Cuda, T>,
        ) -> Result<Tensor<S, E, Cuda, T>, CudaError>
        where
            Cuda: KernelDevice<E>,
        {
            x.try_contiguous()
        }
        let is_broadcast = place(tensor)?.len != tensor.shape().num_elements();
        let tensor = match is_broadcast {
            true => with_tape!(record, owned(tensor.clone()))?,
            false => with_tape!(record, contiguous(tensor.clone()))?,
        };
        Self::of(tensor)
    }

    /// A new tensor, of zeros.
    pub fn zeros(device: &Cuda, shape: S) -> Result<Self, CudaError> {
        Self::of(device.try_zeros_like(&shape)?)
    }

    /// A tensor whose memory has its numbers in any order, but each of them once.
    ///
    /// # Errors
    /// If it has fewer, as a parameter may that a user has broadcast.
    pub fn as_it_is(tensor: &Tensor<S, E, Cuda>) -> Result<Self, CudaError> {
        check::<CudaError>(place(tensor)?.len == tensor.shape().num_elements())?;
        Self::of(tensor.clone())
    }

    fn of(tensor: Tensor<S, E, Cuda>) -> Result<Self, CudaError> {
        let Place { address, ordinal, .. } = place(&tensor)?;
        Ok(Self { tensor, address, gpu: Gpu::get(ordinal)? })
    }
}

// Without the bound above, which hides what dfdx's memory is.
impl<S: Shape, E: Number> Array<S, E> {
    /// The address of its gradient, to be added to.
    pub fn gradient(&self, gradients: &mut Gradients<E, Cuda>) -> Result<u64, CudaError> {
        Ok(address::<E>(gradients.get_or_alloc_mut(&self.tensor)?))
    }
}

/// Memory for one operation, of zeros, in the data type that is computed in.
///
/// It is freed, or goes to dfdx's cache if that is on, when an operation ends on the host, and kernels that use it may not have
/// run yet. Either way they do before anything else uses it, since all is in the order of one stream, the default one: this
/// crate's kernels and products, dfdx's own, zeroing, copies, and freeing. Of what dfdx runs on its second stream, each
/// operation makes the default one wait for the end, before it returns and can drop anything.
#[derive(Debug)]
pub(super) struct Memory<E: Number> {
    memory: Option<<Cuda as Storage<E::Real>>::Vec>,
}

impl<E: Number> Memory<E> {
    pub fn new(device: &Cuda, len: usize) -> Result<Self, CudaError> {
        // The driver does not allocate nothing.
        Ok(Self { memory: Some(Storage::<E::Real>::try_alloc_len(device, len.max(1))?) })
    }

    /// The same if it is needed, otherwise [none](Self::none).
    pub fn new_if(is_needed: bool, device: &Cuda, len: usize) -> Result<Self, CudaError> {
        if is_needed { Self::new(device, len) } else { Ok(Self::none()) }
    }

    /// No memory, which kernels know by its address.
    pub fn none() -> Self {
        Self { memory: None }
    }

    /// The address, 0 if there is none.
    pub fn address(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| *DevicePtr::device_ptr(memory))
    }
}

impl Memory<f64> {
    /// Copies the numbers to the host.
    pub fn numbers(&self) -> Result<Vec<f64>, CudaError> {
        self.memory.as_ref().map_or(Ok(Vec::new()), numbers_in)
    }
}

/// Copies numbers to the memory of a device.
pub(super) fn memory_of<E: Number>(
    device: &Cuda,
    numbers: &[E],
) -> Result<<Cuda as Storage<E>>::Vec, CudaError> {
    let mut memory = Storage::<E>::try_alloc_len(device, numbers.len())?;
    memory.device().htod_sync_copy_into(numbers, &mut *memory)?;
    Ok(memory)
}

/// Copies numbers from the memory of a device.
pub(super) fn numbers_in<E: Number>(
    memory: &<Cuda as Storage<E>>::Vec,
) -> Result<Vec<E>, CudaError> {
    Ok(memory.device().dtoh_sync_copy(memory)?)
}

/// The address of memory.
pub(super) fn address<E: Number>(memory: &<Cuda as Storage<E>>::Vec) -> u64 {
    *DevicePtr::device_ptr(memory)
}

fn place<S: Shape, E: Debug, T: Debug>(tensor: &Tensor<S, E, Cuda, T>) -> Result<Place, CudaError>
where
    Cuda: Storage<E, Vec: Debug>,
{
    match Place::of(tensor) {
        Some(place) => Ok(place),
        None => unreachable!("dfdx 0.13 shows where a tensor is"),
    }
}

/// Places that kernels can read.
#[derive(Clone, Debug)]
pub(super) struct ContiguousPlaces {
    /// What keeps their memory.
    _places: Tensor<(usize, usize), usize, Cuda>,
    pub address: u64,
}

/// Places, made contiguous if they are not.
pub(super) fn contiguous_places(
    places: &Tensor<(usize, usize), usize, Cuda>,
) -> Result<ContiguousPlaces, CudaError> {
    let places = places.clone().try_contiguous()?;
    let Place { address, len, .. } = place(&places)?;
    check::<CudaError>(len == places.shape().num_elements())?;
    Ok(ContiguousPlaces { _places: places, address })
}

/// The address of a mask, which is contiguous as this crate makes it.
pub(super) fn mask_address<S: Shape>(mask: &Tensor<S, bool, Cuda>) -> Result<u64, CudaError> {
    let place = place(mask)?;
    check::<CudaError>(place.len == mask.shape().num_elements())?;
    Ok(place.address)
}
