//! The kernel for `Cuda`: cuBLAS's product, which is added to the bias.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Factor, Gpu, Grid, Number, Source};
use crate::ops::{KernelDevice, Matrix, Record, Rows, Vector};
use crate::spec::Width;

const SOURCE: Source = Source { name: "linear", text: include_str!("linear.cu") };

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) enum Start<'a, E: Number> {
    Nothing,
    /// The bias, if there is one, and a residual.
    Bias(Option<&'a Array<(usize, usize, usize), E>>),
}

/// The parameters of a linear map.
#[derive(Clone, Debug)]
pub(in crate::ops) struct Linear<E: Number> {
    weight: Array<(Width, Width), E>,
    bias: Option<Array<(Width,), E>>,
}

impl<E: Number> Linear<E>
where
    Cuda: KernelDevice<E>,
{
    pub fn new(
        record: &mut Record<E, Cuda>,
        weight: &Matrix<E, Cuda>,
        bias: Option<&Vector<E, Cuda>>,
    ) -> Result<Self, CudaError> {
        let weight = Array::new(record, weight)?;
        let bias = bias.map(|bias| Array::new(record, bias)).transpose()?;
        Ok(Self { weight, bias })
    }

    pub fn bias_address(&self) -> u64 {
        self.bias.as_ref().map_or(0, |bias| bias.address)
    }

    /// Maps rows.
    pub fn forward(
        &self,
        x: &Array<(usize, usize, usize), E>,
        start: Start<'_, E>,
    ) -> Result<Array<(usize, usize, usize), E>, CudaError> {
        let (batch, count, inputs) = *x.tensor.shape();
        let outputs = self.weight.tensor.shape().0.size();
        let rows = batch * count;
        let y = Array::zeros(x.tensor.device(), (batch, count, outputs))?;
        let (residual, bias) = match start {
            Start::Nothing => (0, 0),
            Start::Bias(residual) => (residual.map_or(0, |x| x.address), self.bias_address()),
        };
        let is_added = (residual, bias) != (0, 0);
        if is_added {
            let sizes = [(rows * outputs) as u64, outputs as u64];
            let arguments = [residual, bias, y.address, sizes[0], sizes[1]];
            let grid = Grid::over(rows * outputs);
            // SAFETY: `y` and the residual have so many numbers, and the bias one for each output.
            unsafe { x.gpu.launch::<E>(&SOURCE, &[], "start", grid, &arguments)? };
        }
        let sizes = [rows, inputs, outputs];
        let weight = Factor::new(self.weight.address, inputs).t();
        // SAFETY: these are the sizes of the tensors.
        unsafe {
            let x_rows = Factor::new(x.address, inputs);
            x.gpu.product::<E>(sizes, x_rows, weight, y.address, is_added)?;
        }
        Ok(y)
    }

    /// Adds the gradients of the input, if there is an address for it, and of the parameters.
    pub fn add_gradients(
        &self,
        gradients: &mut Gradients<E, Cuda>,
        x: &Array<(usize, usize, usize), E>,
        d_y: u64,
        d_x: u64,
    ) -> Result<(), CudaError> {
        let (batch, count, inputs) = *x.tensor.shape();
        let outputs = self.weight.tensor.shape().0.size();
        let rows = batch * count;
        let d_weight = self.weight.gradient(gradients)?;
        let d_y_rows = Factor::new(d_y, outputs);
        // SAFETY: gradients are as large as what they belong to.
        unsafe {
            let weight = Factor::new(self.weight.address, inputs);
            x.gpu.product::<E>([rows, outputs, inputs], d_y_rows, weight, d_x, true)?;
            let x_rows = Factor::new(x.address, inputs);
            x.gpu.product::<E>([outputs, rows, inputs], d_y_rows.t(), x_rows, d_weight, true)?;
        }
        if let Some(bias) = &self.bias {
            add_column_sums::<E>(x.gpu, d_y, bias.gradient(gradients)?, rows, outputs)?;
        }
        Ok(())
    }
}

/// Adds the gradient of a result to that of the residual in it.
pub(in crate::ops) fn add_to_residual<E: Number>(
    gradients: &mut Gradients<E, Cuda>,
    residual: Option<&Array<(usize, usize, usize), E>>,
    d_y: u64,
) -> Result<(), CudaError>
where
    Cuda: KernelDevice<E>,
{
    let Some(residual) = residual else { return Ok(()) };
    let count = residual.tensor.shape().num_elements();
    let arguments = [d_y, residual.gradient(gradients)?, count as u64];
    // SAFETY: the gradients have so many numbers, as has the residual.
    unsafe { residual.gpu.launch::<E>(&SOURCE, &[], "add_all", Grid::over(count), &arguments) }
}

/// Adds the sums of the columns of `x`, `(rows, width)`, to `sums`, `(width,)`: addresses of as many numbers.
fn add_column_sums<E: Number>(
    gpu: &Gpu,
    x: u64,
    sums: u64,
    rows: usize,
    width: usize,
) -> Result<(), CudaError> {
    let arguments = [x, sums, rows as u64, width as u64];
    let grid = Grid::columns(width);
    // SAFETY: the caller's addresses have so many numbers.
    unsafe { gpu.launch::<E>(&SOURCE, &[], "add_column_sums", grid, &arguments) }
}

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Rows<E, Cuda>,
    weight: &Matrix<E, Cuda>,
    bias: Option<&Vector<E, Cuda>>,
    residual: Option<&Rows<E, Cuda>>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let x = Array::new(record, x)?;
    let linear = Linear::new(record, weight, bias)?;
    let residual = residual.map(|x| Array::new(record, x)).transpose()?;
    let y = linear.forward(&x, Start::Bias(residual.as_ref()))?;
    let result = y.tensor.clone();
    record.add(move |gradients| {
        let (d_y, d_x) = (y.gradient(gradients)?, x.gradient(gradients)?);
        linear.add_gradients(gradients, &x, d_y, d_x)?;
        add_to_residual(gradients, residual.as_ref(), d_y)
    });
    Ok(result)
}
