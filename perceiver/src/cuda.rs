//! Opens a GPU as dfdx's `Cuda` device, with errors that say what is missing on a machine (feature `cuda`).
//!
//! dfdx's own `Cuda::try_build` panics if there is no driver or no such GPU. [`device`] instead returns an error that says
//! what is wrong and how to fix it. Models and tensors are then built as on the `Cpu`:
//!
//! ```no_run
//! use perceiver::prelude::*;
//!
//! perceiver! { struct Digits { input_shape: [8, 8, 1], num_freq_bands: 4, max_freq: 8.0, depth: 2 } }
//!
//! let dev = match perceiver::cuda::device(0) {
//!     Ok(dev) => dev,
//!     Err(error) => {
//!         eprintln!("{error}");
//!         std::process::exit(1);
//!     }
//! };
//! let model = dev.build_module::<Digits, f32>();
//! let images: Tensor<Rank4<5, 8, 8, 1>, f32, _> = dev.sample_normal();
//! let logits = model.try_forward(images)?; // `ForwardError::Device` if memory runs out
//! # Ok::<(), perceiver::ForwardError<CudaError>>(())
//! ```
//!
//! Programs are linked to the driver's library, `libcuda.so.1`, and to CUDA's `libcublas`, `libcublasLt` and `libnvrtc`. If
//! one of them is missing, the program does not start at all ("error while loading shared libraries"), and this module
//! cannot report it. Programs built by the repository's `tests/cuda/build.sh` load these libraries on first use instead:
//! they start on every machine, and [`device`] returns [`CudaDeviceError::NoDriver`] where there is no driver.
//!
//! # Memory
//!
//! The driver keeps the memory of tensors that are dropped, and uses it for the next tensors, of any size. Still, each tensor
//! takes a call to the driver to allocate it and one to free it: 131 of each in a forward pass of the README's model, and 331
//! of each in a training step with AdamW. dfdx's cache, which [`device`] leaves off, avoids these calls after the first pass,
//! if all passes have the same sizes:
//!
//! ```no_run
//! use perceiver::prelude::*;
//!
//! let dev = perceiver::cuda::device(0)?;
//! dev.enable_cache();
//! // .. train or predict; then, or if memory runs out:
//! dev.empty_cache();
//! # Ok::<(), perceiver::cuda::CudaDeviceError>(())
//! ```
//!
//! The cache saves time on the host, which matters for small models and batches, where the GPU waits for the host. Enable it
//! before the model is built, and only if
//!
//! - **sizes repeat**: memory is kept for tensors of exactly the same size, so each new batch size or length takes more. Only
//!   `empty_cache` and `disable_cache` free it: not a failed allocation, and not dropping the device.
//! - **one thread at a time uses the device**: dfdx 0.13 panics if two threads take the last memory of a size at once.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{DriverError, result};
use dfdx::prelude::*;

/// The reason why a GPU cannot be used, as [`device`] and [`count`] return it. Messages say what to do about it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CudaDeviceError {
    /// There is no driver on this machine.
    #[error(
        "there is no NVIDIA driver on this machine (`libcuda.so.1` not found): install one (`nvidia-smi` then lists \
         the GPUs), or build without the feature `cuda` to run on the CPU"
    )]
    NoDriver,
    /// There is a driver, but it failed to start.
    #[error(
        "the NVIDIA driver failed to start: {0}. If `nvidia-smi` fails too, reload the driver or reboot the machine, \
         as after every driver update"
    )]
    Driver(DriverError),
    /// There is a driver, but no GPU is available to it.
    #[error(
        "the NVIDIA driver has no GPU to use: `nvidia-smi` must list one, `CUDA_VISIBLE_DEVICES` must not hide it, and \
         a container must be started with access to it (`--gpus all`)"
    )]
    NoDevice,
    /// There are GPUs, but none with this number.
    #[error(
        "there is no GPU {ordinal}: the driver has {found}, numbered from 0. `nvidia-smi` lists them; \
         `CUDA_VISIBLE_DEVICES` hides and renumbers them"
    )]
    NoSuchDevice {
        /// The number of the GPU that was asked for.
        ordinal: usize,
        /// The number of GPUs that the driver has.
        found: usize,
    },
    /// The GPU exists but cannot be used, most likely because other programs have taken up its memory.
    #[error(
        "GPU {ordinal} cannot be used: {error}. `nvidia-smi` shows which programs use it and how much memory they take"
    )]
    Device {
        /// The GPU's number.
        ordinal: usize,
        /// The error from dfdx.
        error: CudaError,
    },
    /// The GPU exists, but dfdx panicked when it compiled a kernel, which it does on first use.
    #[error(
        "GPU {ordinal} was found, but dfdx cannot compile kernels for it: {message}. CUDA's `libnvrtc` and \
         `libnvrtc-builtins` must be on the library path (`LD_LIBRARY_PATH`), and CUDA's and dfdx's headers must be \
         where they were when the program was built"
    )]
    Kernels {
        /// The GPU's number.
        ordinal: usize,
        /// dfdx's message.
        message: String,
    },
}

crate::error::debug_as_message!(CudaDeviceError);

/// Returns the number of GPUs, at least 1. They are numbered from 0.
///
/// # Errors
/// - [`CudaDeviceError::NoDriver`] if there is no driver,
/// - [`CudaDeviceError::Driver`] if the driver fails to start,
/// - [`CudaDeviceError::NoDevice`] if the driver has no GPU.
pub fn count() -> Result<usize, CudaDeviceError> {
    let found = result::init().and_then(|()| result::device::get_count());
    match found {
        Ok(0) => Err(CudaDeviceError::NoDevice),
        Ok(found) => Ok(found.unsigned_abs() as usize),
        Err(DriverError(CUresult::CUDA_ERROR_STUB_LIBRARY)) => Err(CudaDeviceError::NoDriver),
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Err(CudaDeviceError::NoDevice),
        Err(error) => Err(CudaDeviceError::Driver(error)),
    }
}

/// Returns GPU number `ordinal`, from 0, as a dfdx device with random seed 0. For another seed, use [`device_from_seed`].
///
/// A kernel is run on the GPU, so that a missing library is found here and not in the first forward pass. GPU memory that is
/// freed stays with the program for its next tensors, as with PyTorch: `nvidia-smi` still shows it as used. [The
/// module](self#memory) says more.
///
/// # Errors
/// Same as [`count`], and
/// - [`CudaDeviceError::NoSuchDevice`] if there are not that many GPUs,
/// - [`CudaDeviceError::Device`] if the GPU cannot be used,
/// - [`CudaDeviceError::Kernels`] if kernels cannot be compiled for it.
pub fn device(ordinal: usize) -> Result<Cuda, CudaDeviceError> {
    device_from_seed(ordinal, 0)
}

/// Same as [`device`], with the given random seed, from which parameters and random tensors follow.
///
/// # Errors
/// Same as [`device`].
pub fn device_from_seed(ordinal: usize, seed: u64) -> Result<Cuda, CudaDeviceError> {
    let found = count()?;
    if ordinal >= found {
        return Err(CudaDeviceError::NoSuchDevice { ordinal, found });
    }
    match catch_unwind(|| tried(ordinal, seed)) {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(CudaDeviceError::Device { ordinal, error }),
        Err(panic) => {
            Err(CudaDeviceError::Kernels { ordinal, message: message(&*panic).to_string() })
        }
    }
}

/// Builds a device and runs a kernel on it, so that a missing library fails here.
fn tried(ordinal: usize, seed: u64) -> Result<Cuda, CudaError> {
    let device = Cuda::try_build(ordinal, seed)?;
    let x: Tensor<Rank2<2, 3>, f32, Cuda> = device.try_zeros()?;
    x.try_permute::<Rank2<3, 2>, _>()?.try_reshape::<Rank1<6>>()?;
    device.try_synchronize()?;
    keep_memory(ordinal);
    Ok(device)
}

/// Lets the driver keep freed memory for the next tensors, as PyTorch does. By default it gives it back to the system
/// whenever the host waits for the GPU, and the next pass takes milliseconds to get it again. A GPU without pools has no
/// such setting.
#[allow(unsafe_code)]
fn keep_memory(ordinal: usize) {
    let Ok(device) = i32::try_from(ordinal) else { return };
    let mut pool = std::ptr::null_mut();
    let mut all = u64::MAX;
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is only used if there is one, and the attribute is 64 bits.
    unsafe {
        if sys::cuDeviceGetDefaultMemPool(&raw mut pool, device).result().is_ok() {
            // Without it, all works as well, only slower.
            let _ = sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast()).result();
        }
    }
}

/// Runs `f` and turns dfdx's out-of-memory panic into an error: before it overwrites a tensor that is in use elsewhere,
/// dfdx copies it, and unwraps the result.
pub(crate) fn memory_is_an_error<T, Err: 'static>(
    f: impl FnOnce() -> Result<T, Err>,
) -> Result<T, Err> {
    // Whatever `f` leaves unfinished is dropped with it: tensors are never visible while they change.
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let error = DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        let error: Box<dyn Any> = Box::new(CudaError::Driver(error));
        match error.downcast::<Err>() {
            Ok(error) if message(&*panic).contains("CUDA_ERROR_OUT_OF_MEMORY") => Err(*error),
            _ => resume_unwind(panic),
        }
    })
}

/// Returns the message of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<String>() {
        Some(message) => message,
        None => panic.downcast_ref::<&str>().unwrap_or(&"no message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_about_memory_is_an_error_and_others_stay_panics() {
        let out_of_memory = "Err` value: DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        let error = memory_is_an_error::<(), CudaError>(|| panic!("{out_of_memory}")).unwrap_err();
        assert!(matches!(
            error,
            CudaError::Driver(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY))
        ));
        let other = || memory_is_an_error::<(), CudaError>(|| panic!("another"));
        assert!(catch_unwind(other).is_err());
        let cpu = || memory_is_an_error::<(), CpuError>(|| panic!("{out_of_memory}"));
        assert!(catch_unwind(cpu).is_err());
    }
}
