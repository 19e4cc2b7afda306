//! A GPU: its compiled kernels and its matrix products.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, c_void};
use std::fmt::{self, Debug, Write};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use cudarc::cublas::{CudaBlas, result as blas, sys as blas_sys};
use cudarc::driver::sys::{CUfunction, CUresult};
use cudarc::driver::{CudaDevice, CudaSlice, DevicePtr, DriverError, result as driver};
use cudarc::nvrtc::compile_ptx;
use dfdx::prelude::*;

/// A data type that kernels are compiled for.
pub(in crate::ops) trait Number: Dtype + Debug {
    /// What it is computed in.
    type Real: Dtype;
    const KIND: Kind;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::ops) enum Kind {
    F32,
    F64,
    #[cfg(feature = "f16")]
    F16,
}

macro_rules! numbers {
    ($($E:ty: $Real:ty, $kind:ident;)+) => { $(
        impl Number for $E {
            type Real = $Real;
            const KIND: Kind = Kind::$kind;
        }
    )+ };
}
numbers! {
    f32: f32, F32;
    f64: f64, F64;
}
#[cfg(feature = "f16")]
numbers! {
    dfdx::dtypes::f16: f32, F16;
    dfdx::dtypes::AMP<dfdx::dtypes::f16>: f32, F16;
}

/// The source of kernels.
#[derive(Debug)]
pub(in crate::ops) struct Source {
    pub name: &'static str,
    pub text: &'static str,
}

const COMMON: &str = include_str!("common.cuh");

/// How many blocks run a kernel.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Grid {
    pub blocks: [usize; 3],
}

/// The threads of a block.
const THREADS: usize = 256;

impl Grid {
    /// At least a thread for each of so many elements.
    pub fn over(elements: usize) -> Self {
        Self::blocks(elements.div_ceil(THREADS))
    }

    /// At least a warp for each of so many rows.
    pub fn warps(rows: usize) -> Self {
        Self::blocks(rows.div_ceil(THREADS / 32))
    }

    /// A block for each 32 columns.
    pub fn columns(width: usize) -> Self {
        Self::blocks(width.div_ceil(32))
    }

    /// So many blocks.
    pub fn blocks(blocks: usize) -> Self {
        Self { blocks: [blocks, 1, 1] }
    }
}

/// One side of a matrix product, whose rows are one after another.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Factor {
    pub address: u64,
    /// The number of columns in memory.
    pub width: usize,
    /// Whether what is multiplied is its transposed.
    pub is_transposed: bool,
}

impl Factor {
    pub fn new(address: u64, width: usize) -> Self {
        Self { address, width, is_transposed: false }
    }

    pub fn t(self) -> Self {
        Self { is_transposed: !self.is_transposed, ..self }
    }
}

type Key = (&'static str, Kind, Vec<(&'static str, usize)>, &'static str);

/// A GPU that kernels run on.
pub(in crate::ops) struct Gpu {
    device: Arc<CudaDevice>,
    blas: CudaBlas,
    kernels: Mutex<HashMap<Key, Kernel>>,
    /// What was copied to it last.
    tables: Mutex<Vec<(Vec<u8>, Table)>>,
}

/// Bytes on a GPU.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Table(Option<Arc<CudaSlice<u8>>>);

impl Table {
    /// The address, 0 if there are none.
    pub fn address(&self) -> u64 {
        self.0.as_ref().map_or(0, |numbers| *numbers.device_ptr())
    }
}

/// How many tables a GPU keeps for the next time.
const TABLES: usize = 16;

#[derive(Clone, Copy)]
struct Kernel(CUfunction);

// SAFETY: it is a handle of the driver, whose functions may be called from every thread.
unsafe impl Send for Kernel {}

impl Gpu {
    /// Returns the GPU with this number, which dfdx already uses.
    pub(super) fn get(ordinal: usize) -> Result<&'static Self, CudaError> {
        static GPUS: RwLock<BTreeMap<usize, &'static Gpu>> = RwLock::new(BTreeMap::new());
        if let Some(gpu) = GPUS.read().unwrap_or_else(PoisonError::into_inner).get(&ordinal) {
            return Ok(gpu);
        }
        let mut gpus = GPUS.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(gpu) = gpus.get(&ordinal) {
            return Ok(gpu);
        }
        // A second handle of dfdx's own context.
        let device = CudaDevice::new(ordinal)?;
        let blas = CudaBlas::new(device.clone())?;
        // Kept for as long as the program runs, as its compiled kernels are.
        let gpu = Box::leak(Box::new(Self {
            device,
            blas,
            kernels: Mutex::default(),
            tables: Mutex::default(),
        }));
        gpus.insert(ordinal, gpu);
        Ok(gpu)
    }

    /// Runs a kernel, compiled for the data type `E` and with these constants. All its parameters have 64 bits.
    ///
    /// # Safety
    /// There must be as many arguments as the kernel has parameters, and it may only read and write within memory that
    /// nothing else uses before the kernels that are launched later.
    pub unsafe fn launch<E: Number>(
        &self,
        source: &Source,
        constants: &[(&'static str, usize)],
        name: &'static str,
        grid: Grid,
        arguments: &[u64],
    ) -> Result<(), CudaError> {
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        self.device.bind_to_thread()?;
        let Kernel(function) = self.kernel(source, E::KIND, constants, name)?;
        let mut parameters: Vec<*mut c_void> = arguments
            .iter()
            .map(|argument| std::ptr::from_ref(argument).cast_mut().cast())
            .collect();
        let [x, y, z] = grid.blocks.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let (blocks, stream) = ((x, y, z), *self.device.cu_stream());
        // SAFETY: the caller's; the driver copies arguments before it returns.
        unsafe {
            driver::launch_kernel(
                function,
                blocks,
                (THREADS as u32, 1, 1),
                0,
                stream,
                &mut parameters,
            )?;
        }
        Ok(())
    }

    fn kernel(
        &self,
        source: &Source,
        kind: Kind,
        constants: &[(&'static str, usize)],
        name: &'static str,
    ) -> Result<Kernel, CudaError> {
        let key = (source.name, kind, constants.to_vec(), name);
        let mut kernels = self.kernels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kernel) = kernels.get(&key) {
            return Ok(*kernel);
        }
        let mut text = match kind {
            Kind::F32 => String::new(),
            Kind::F64 => "#define IN_F64\n".to_string(),
            #[cfg(feature = "f16")]
            Kind::F16 => "#define IN_F16\n".to_string(),
        };
        for (constant, value) in constants {
            let _ = writeln!(text, "#define {constant} {value}");
        }
        text += COMMON;
        text += source.text;
        // As dfdx does it: a GPU on which nothing compiles is an error of `perceiver::cuda::device`.
        let ptx = compile_ptx(text)
            .unwrap_or_else(|error| panic!("cannot compile {}.cu: {error}", source.name));
        let invalid = CudaError::Driver(DriverError(CUresult::CUDA_ERROR_INVALID_PTX));
        let (Ok(image), Ok(function)) = (CString::new(ptx.to_src()), CString::new(name)) else {
            return Err(invalid);
        };
        // SAFETY: the image ends with a zero, as a text of PTX must.
        let kernel = unsafe {
            let module = driver::module::load_data(image.as_ptr().cast())?;
            Kernel(driver::module::get_function(module, function)?)
        };
        kernels.insert(key, kernel);
        Ok(kernel)
    }

    /// Returns tables of numbers, one after another, as what is computed in. They are copied to the GPU the first time.
    pub fn table<E: Number>(&self, tables: &[Vec<f64>]) -> Result<Table, CudaError> {
        let numbers = tables.iter().flatten();
        self.bytes(match E::KIND {
            Kind::F64 => numbers.flat_map(|number| number.to_ne_bytes()).collect(),
            _ => numbers.flat_map(|number| (*number as f32).to_ne_bytes()).collect(),
        })
    }

    /// Returns bytes that are copied to the GPU the first time.
    pub fn bytes(&self, bytes: Vec<u8>) -> Result<Table, CudaError> {
        if bytes.is_empty() {
            return Ok(Table(None));
        }
        let mut kept = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = kept.iter().position(|(key, _)| *key == bytes) {
            let last = kept.remove(place);
            let table = last.1.clone();
            kept.push(last);
            return Ok(table);
        }
        let table = Table(Some(Arc::new(self.device.htod_sync_copy(&bytes)?)));
        if kept.len() == TABLES {
            kept.remove(0);
        }
        kept.push((bytes, table.clone()));
        Ok(table)
    }

    /// Computes `left · right`, `(rows, inner) · (inner, columns)`, row by row, and writes it to `out`, or adds it to what
    /// is there.
    ///
    /// # Safety
    /// The memory must be large enough, and no other kernel may use that of `out` at the same time.
    pub unsafe fn product<E: Number>(
        &self,
        [rows, inner, columns]: [usize; 3],
        left: Factor,
        right: Factor,
        out: u64,
        is_added: bool,
    ) -> Result<(), CudaError> {
        let int = |size: usize| i32::try_from(size).map_err(|_| CpuError::WrongNumElements);
        if rows == 0 || columns == 0 || inner == 0 {
            return Ok(());
        }
        self.device.bind_to_thread()?;
        let operation = |factor: Factor| match factor.is_transposed {
            true => blas_sys::cublasOperation_t::CUBLAS_OP_T,
            false => blas_sys::cublasOperation_t::CUBLAS_OP_N,
        };
        // cuBLAS has columns one after another: to it, all matrices are transposed.
        let (first, second) = (operation(right), operation(left));
        let [m, n, k] = [int(columns)?, int(rows)?, int(inner)?];
        let [lda, ldb, ldc] = [int(right.width)?, int(left.width)?, int(columns)?];
        let handle = *self.blas.handle();
        let address = |address: u64| address as *const c_void;
        let (a, b, c) = (address(right.address), address(left.address), address(out).cast_mut());
        let beta = if is_added { 1.0_f32 } else { 0.0 };
        // SAFETY: the caller's, for the memory; factors and sizes live until the call returns.
        unsafe {
            match E::KIND {
                Kind::F32 => blas::sgemm(
                    handle,
                    first,
                    second,
                    m,
                    n,
                    k,
                    &1.0,
                    a.cast(),
                    lda,
                    b.cast(),
                    ldb,
                    &beta,
                    c.cast(),
                    ldc,
                ),
                Kind::F64 => blas::dgemm(
                    handle,
                    first,
                    second,
                    m,
                    n,
                    k,
                    &1.0,
                    a.cast(),
                    lda,
                    b.cast(),
                    ldb,
                    &f64::from(beta),
                    c.cast(),
                    ldc,
                ),
                #[cfg(feature = "f16")]
                Kind::F16 => blas::gemm_ex(
                    handle,
                    first,
                    second,
                    m,
                    n,
                    k,
                    std::ptr::from_ref(&1.0_f32).cast(),
                    a,
                    HALF,
                    lda,
                    b,
                    HALF,
                    ldb,
                    std::ptr::from_ref(&beta).cast(),
                    c,
                    HALF,
                    ldc,
                    blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                    blas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
                ),
            }?;
        }
        Ok(())
    }
}

#[cfg(feature = "f16")]
const HALF: blas_sys::cudaDataType = blas_sys::cudaDataType_t::CUDA_R_16F;

impl Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpu").field(&self.device.ordinal()).finish()
    }
}
