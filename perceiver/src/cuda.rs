//! dfdx's `Cuda` device, with errors for what a machine lacks.
//!
//! dfdx's own `Cuda::try_build` panics where there is no driver or no such GPU. [`device`] says what is wrong, and what
//! to do about it:
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
//! let logits = model.try_forward(images)?; // `ForwardError::Device` if there is too little memory
//! # Ok::<(), perceiver::ForwardError<CudaError>>(())
//! ```
//!
//! A program is linked to the driver's library, `libcuda.so.1`, and to CUDA's `libcublas`, `libcublasLt` and `libnvrtc`.
//! Without one of them the system does not start it at all ("error while loading shared libraries"), and nothing here
//! can say so. The programs that the repository's `tests/cuda/build.sh` makes look for them when they are first needed:
//! they start on every machine, and [`device`] returns [`CudaDeviceError::NoDriver`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use cudarc::driver::sys::CUresult;
use cudarc::driver::{DriverError, result};
use dfdx::prelude::*;

/// Why a GPU cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CudaDeviceError {
    /// There is no driver on this machine.
    #[error(
        "there is no NVIDIA driver on this machine, `libcuda.so.1` was not found: install one (`nvidia-smi` then lists \
         the GPUs), or build without the feature `cuda` to run on the CPU"
    )]
    NoDriver,
    /// There is a driver, but it does not start.
    #[error(
        "the NVIDIA driver does not start: {0}. If `nvidia-smi` fails too, load the driver again or restart the machine, \
         as after every update of the driver"
    )]
    Driver(DriverError),
    /// There is a driver, but no GPU that it may use.
    #[error(
        "the NVIDIA driver has no GPU to use: `nvidia-smi` has to list one, `CUDA_VISIBLE_DEVICES` must not hide it, and \
         a container has to be started with it (`--gpus all`)"
    )]
    NoDevice,
    /// There are GPUs, but not so many.
    #[error(
        "there is no GPU {ordinal}: the driver has {found}, counted from 0. `nvidia-smi` lists them; \
         `CUDA_VISIBLE_DEVICES` hides and renumbers them"
    )]
    NoSuchDevice {
        /// The number that was asked for.
        ordinal: usize,
        /// How many there are.
        found: usize,
    },
    /// The GPU is there, but it cannot be used: out of memory most likely, taken by other programs.
    #[error(
        "GPU {ordinal} cannot be used: {error}. `nvidia-smi` shows which programs use it and how much memory they have"
    )]
    Device {
        /// The GPU's number.
        ordinal: usize,
        /// What dfdx says.
        error: CudaError,
    },
    /// dfdx compiles some of its kernels when they are first used, and could not do that.
    #[error(
        "GPU {ordinal} is there, but dfdx cannot compile kernels for it: {message}. CUDA's `libnvrtc` and \
         `libnvrtc-builtins` have to be among the libraries that the system finds (`LD_LIBRARY_PATH`), and CUDA's and \
         dfdx's headers where they were when the program was built"
    )]
    Kernels {
        /// The GPU's number.
        ordinal: usize,
        /// dfdx's message.
        message: String,
    },
}

/// How many GPUs the driver has; they are counted from 0.
///
/// # Errors
/// If there is no driver, it does not start, or it has no GPU.
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

/// The GPU of that number, counted from 0, with the seed 0 for what is sampled.
///
/// # Errors
/// If there is no such GPU or it cannot be used; the error says what to do.
pub fn device(ordinal: usize) -> Result<Cuda, CudaDeviceError> {
    device_from_seed(ordinal, 0)
}

/// The GPU of that number, counted from 0, with a seed for what is sampled.
///
/// # Errors
/// If there is no such GPU or it cannot be used; the error says what to do.
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

/// A device that has compiled and run a kernel, so that what is missing for that is missed here.
fn tried(ordinal: usize, seed: u64) -> Result<Cuda, CudaError> {
    let device = Cuda::try_build(ordinal, seed)?;
    let x: Tensor<Rank2<2, 3>, f32, Cuda> = device.try_zeros()?;
    x.try_permute::<Rank2<3, 2>, _>()?.try_reshape::<Rank1<6>>()?;
    device.try_synchronize()?;
    Ok(device)
}

/// Runs `f` and turns dfdx's out-of-memory panic into an error: it copies a tensor that is in use elsewhere
/// before it writes over it, and takes that copy for granted.
pub(crate) fn memory_is_an_error<T, Err: 'static>(
    f: impl FnOnce() -> Result<T, Err>,
) -> Result<T, Err> {
    // What `f` leaves half-done goes with it: tensors are never seen while they change.
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let error = DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        let error: Box<dyn Any> = Box::new(CudaError::Driver(error));
        match error.downcast::<Err>() {
            Ok(error) if message(&*panic).contains("CUDA_ERROR_OUT_OF_MEMORY") => Err(*error),
            _ => resume_unwind(panic),
        }
    })
}

/// What a panic says.
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
