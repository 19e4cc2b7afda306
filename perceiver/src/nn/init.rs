//! The initialisation of parameters.

use dfdx::prelude::*;
use rand_distr::{Distribution, StandardNormal, Uniform};

use crate::ops::{Matrix, Vector};

/// Fills a tensor with samples from N(0, 1): the initialisation of latents.
pub(crate) fn normal<S: Shape, E: Dtype, D: Device<E>>(
    tensor: &mut Tensor<S, E, D>,
) -> Result<(), D::Err> {
    fill(tensor, StandardNormal)
}

/// Fills a tensor with samples from N(0, 0.02²): how Hugging Face's Transformers initialise weights.
pub(crate) fn small_normal<S: Shape, E: Dtype, D: Device<E>>(
    tensor: &mut Tensor<S, E, D>,
) -> Result<(), D::Err> {
    fill(tensor, StandardNormal.map(|x: f64| 0.02 * x))
}

/// Fills a matrix uniformly within ±1/√columns, as PyTorch's `Linear` does.
pub(crate) fn uniform_matrix<E: Dtype, D: Device<E>>(
    matrix: &mut Matrix<E, D>,
) -> Result<(), D::Err> {
    let fan_in = matrix.shape().1.size();
    fill(matrix, uniform(fan_in))
}

/// Fills a vector uniformly within ±1/√fan-in, as PyTorch's `Linear` does.
pub(crate) fn uniform_vector<E: Dtype, D: Device<E>>(
    vector: &mut Vector<E, D>,
) -> Result<(), D::Err> {
    let fan_in = vector.shape().0.fan_in();
    fill(vector, uniform(fan_in))
}

pub(crate) fn zeros<E: Dtype, D: Device<E>>(vector: &mut Vector<E, D>) -> Result<(), D::Err> {
    vector.try_fill_with_zeros()
}

pub(crate) fn ones<E: Dtype, D: Device<E>>(vector: &mut Vector<E, D>) -> Result<(), D::Err> {
    vector.try_fill_with_ones()
}

fn uniform(fan_in: usize) -> Uniform<f64> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Uniform::new_inclusive(-bound, bound)
}

/// Samples in f64, so that `E` needs no bounds beyond dfdx's `Dtype`.
fn fill<S: Shape, E: Dtype, D: Device<E>>(
    tensor: &mut Tensor<S, E, D>,
    distribution: impl Distribution<f64>,
) -> Result<(), D::Err> {
    tensor.try_fill_with_distr(distribution.map(|x| E::from_f64(x).unwrap_or_default()))
}
