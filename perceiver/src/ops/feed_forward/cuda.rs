//! The kernel for `Cuda`: two products, with bias and activation in one pass between them.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use super::FeedForwardParameters;
use crate::ops::cuda::{Array, Grid, Number, Source};
use crate::ops::linear::{Linear, Start, add_to_residual};
use crate::ops::{KernelDevice, Record, Rows};
use crate::spec::Activation;

const SOURCE: Source = Source { name: "feed_forward", text: include_str!("feed_forward.cu") };

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    x: &Rows<E, Cuda>,
    parameters: &FeedForwardParameters<'_, E, Cuda>,
    residual: Option<&Rows<E, Cuda>>,
) -> Result<Rows<E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let x = Array::new(record, x)?;
    let expand = Linear::new(record, parameters.expand, parameters.expand_bias)?;
    let contract = Linear::new(record, parameters.contract, parameters.contract_bias)?;
    let residual = residual.map(|x| Array::new(record, x)).transpose()?;
    let constants = [("ACTIVATION", number_of(parameters.activation))];
    let hidden_width = parameters.contract.shape().1.size();

    let expanded = expand.forward(&x, Start::Nothing)?;
    let (batch, rows, _) = *expanded.tensor.shape();
    let count = batch * rows * hidden_width;
    let (grid, sizes) = (Grid::over(count), [count as u64, hidden_width as u64]);
    let device = x.tensor.device();
    let hidden = Array::zeros(device, (batch, rows, hidden_width))?;
    let arguments = [expanded.address, expand.bias_address(), hidden.address, sizes[0], sizes[1]];
    // SAFETY: `hidden` has `count` numbers, and `expanded` as many for each as the activation reads.
    unsafe { x.gpu.launch::<E>(&SOURCE, &constants, "activate", grid, &arguments)? };
    let y = contract.forward(&hidden, Start::Bias(residual.as_ref()))?;

    let result = y.tensor.clone();
    record.add(move |gradients| {
        let d_y = y.gradient(gradients)?;
        add_to_residual(gradients, residual.as_ref(), d_y)?;
        let device = x.tensor.device();
        // Not the gradient that dfdx would keep until the backward pass ends.
        let d_hidden = Array::<_, E>::zeros(device, *hidden.tensor.shape())?;
        contract.add_gradients(gradients, &hidden, d_y, d_hidden.address)?;
        let d_expanded = Array::<_, E>::zeros(device, *expanded.tensor.shape())?;
        let arguments = [
            expanded.address,
            expand.bias_address(),
            d_hidden.address,
            d_expanded.address,
            sizes[0],
            sizes[1],
        ];
        // SAFETY: as above.
        unsafe { x.gpu.launch::<E>(&SOURCE, &constants, "activation_gradient", grid, &arguments)? };
        let d_x = x.gradient(gradients)?;
        expand.add_gradients(gradients, &x, d_expanded.address, d_x)
    });
    Ok(result)
}

/// The number of an activation in `feed_forward.cu`.
fn number_of(activation: Activation) -> usize {
    match activation {
        Activation::Geglu => 0,
        Activation::Gelu => 1,
        Activation::TanhGelu => 2,
        Activation::Relu => 3,
        Activation::SquaredRelu => 4,
    }
}
