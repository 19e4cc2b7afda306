//! The kernel for `Cuda`: cuBLAS's product, which is added to the bias.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Factor, Gpu, Grid, Number, Source};
use crate::ops::{KernelDevice, Matrix, Record, Rows, Vector};
use crate::spec::Width;

const SOURCE: Source = Source { name: "linear", text: include_str!("linear.cu") };

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

    /// Maps rows, with the bias or without.
    pub fn forward(
        &self,
        x: &Array<(usize, usize, usize), E>,
        has_bias: bool,
    ) -> Result<Array<(usize, usize, usize), E>, CudaError> {
        let (batch, count, inputs) = *x.tensor.shape();
        let outputs = self.weight.tensor.shape().0.size();
        let rows = batch * count;
        let y = Array::zeros(x.tensor.device(), (batch, count, outputs))?;
        let bias = self.bias.as_ref().filter(|_| has_bias);
        if let Some(bias) = bias {
            let sizes = [(rows * outputs) as u64, outputs as u64];
            let arguments = [bias.address, y.address, sizes[0], sizes[1]];
            let grid = Grid::over(rows * outputs);
            // SAFETY: `y` has so many numbers, and the bias one for each output.
            unsafe { x.gpu.launch::<E>(&SOURCE, &[], "repeat_row", grid, &arguments)? };
        }
        let sizes = [rows, inputs, outputs];
        let weight = Factor::new(self.weight.address, inputs).t();
        // SAFETY: these are the sizes of the tensors.
        unsafe {
            let x_rows = Factor::new(x.address, inputs);
            x.gpu.product::<E>(sizes, x_rows, weight, y.address, bias.is_some())?;
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
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let x = Array::new(record, x)?;
    let linear = Linear::new(record, weight, bias)?;
    let y = linear.forward(&x, true)?;
    let result = y.tensor.clone();
    record.add(move |gradients| {
        let (d_y, d_x) = (y.gradient(gradients)?, x.gradient(gradients)?);
        linear.add_gradients(gradients, &x, d_y, d_x)
    });
    Ok(result)
}
