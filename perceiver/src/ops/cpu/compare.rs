//! Comparison of kernels in f32 with the reference implementation in f64.

use dfdx::prelude::*;

use crate::ops::{Matrix, Record, Vector};
use crate::spec::Width;

/// The result of an operation, and the gradients of its inputs, all as f64.
pub(crate) type Outcome = Vec<Vec<f64>>;

/// `len` samples of N(0, 1), the same in both data types.
pub(crate) fn samples(seed: u64, len: usize) -> Vec<f64> {
    let samples: Tensor<(usize,), f32, _> =
        Cpu::seed_from_u64(seed).sample_like(&(len,), rand_distr::StandardNormal);
    samples.as_vec().into_iter().map(f64::from).collect()
}

/// Creates a tensor from `numbers`.
pub(crate) fn tensor<S: Shape, E: Dtype>(shape: S, numbers: &[f64]) -> Tensor<S, E, Cpu>
where
    Cpu: Storage<E> + TensorFromVec<E>,
{
    let numbers = numbers.iter().map(|&x| E::from_f64(x).unwrap()).collect();
    Cpu::default().tensor_from_vec(numbers, shape)
}

/// Creates a parameter from `numbers`.
pub(crate) fn matrix<E: Dtype>(rows: usize, columns: usize, numbers: &[f64]) -> Matrix<E, Cpu>
where
    Cpu: Storage<E> + TensorFromVec<E>,
{
    tensor((Width::new(rows), Width::new(columns)), numbers)
}

/// Creates a parameter from `numbers`.
pub(crate) fn vector<E: Dtype>(numbers: &[f64]) -> Vector<E, Cpu>
where
    Cpu: Storage<E> + TensorFromVec<E>,
{
    tensor((Width::new(numbers.len()),), numbers)
}

pub(crate) fn numbers<S: Shape, E: Dtype>(tensor: &Tensor<S, E, Cpu>) -> Vec<f64>
where
    Cpu: Storage<E>,
{
    let numbers = tensor.as_vec().into_iter();
    numbers.map(|x| x.to_f64().unwrap()).collect()
}

/// Returns the elements of `out`, and the gradients of their sum, with each element multiplied by a different factor.
pub(crate) fn backward<S, E: Dtype>(
    record: Record<E, Cpu>,
    out: Tensor<S, E, Cpu>,
) -> (Vec<f64>, Gradients<E, Cpu>)
where
    Cpu: dfdx::tensor_ops::Device<E>,
    S: Shape + HasAxes<S::AllAxes> + ReduceShape<S::AllAxes> + ReduceShapeTo<(), S::AllAxes>,
{
    let found = numbers(&out);
    let factors = samples(99, found.len());
    let factors = tensor(*out.shape(), &factors);
    let mut tape = OwnedTape::default();
    record.put_on(&mut tape);
    let gradients = out.put_tape(tape).try_mul(factors).unwrap().sum::<(), _>().backward();
    (found, gradients)
}

/// Asserts that the outcome of a kernel is close to that of the reference implementation.
#[track_caller]
pub(crate) fn assert_close(found: &Outcome, expected: &Outcome, tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (which, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "outcome {which}");
        let largest = expected.iter().fold(1.0_f64, |x, y| x.max(y.abs()));
        for (i, (x, y)) in found.iter().zip(expected).enumerate() {
            // Written so that NaN fails.
            assert!(
                (x - y).abs() <= tolerance * largest,
                "outcome {which}, number {i}: {x} is not {y} (the largest is {largest})"
            );
        }
    }
}
