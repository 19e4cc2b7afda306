//! Code shared by the kernels for dfdx's `Cpu` in `f32`.
//!
//! dfdx 0.13 does not expose a tensor's elements as a slice: it copies them out ([`read`]), and takes a `Vec` without
//! copying. It does expose a pointer to the first element, through which the others could be reached, but Rust does not
//! yet guarantee that this is sound, so kernels copy what they read, into reused memory, except for [`Panels`]. That costs about 70 µs per
//! million elements, some of which the product that follows recovers by finding them in the cache: about 5 % of a
//! forward pass, where every weight is read once. Gradients are views ([`gradient`]).

#[cfg(test)]
pub(crate) mod compare;
pub(super) mod flash;
pub(super) mod math;
pub(super) mod matrix;
pub(crate) mod product;
pub(crate) mod scratch;
mod threads;

use dfdx::prelude::*;
use pulp::{Arch, Simd, WithSimd};

use super::record::with_tape;
use super::{Matrix, Record, WeightPrecision};
use crate::spec::Width;
use math::update;
use matrix::MatRef;
pub(super) use product::Panels;
pub(super) use scratch::Scratch;
pub(super) use threads::{for_each, map, parts};

/// Frees the memory that the calling thread, and the threads that help it, have computed with on a `Cpu` and keep for the
/// next time: up to 128 MiB each. The next forward pass allocates it again.
///
/// ```
/// perceiver::ops::free_memory();
/// ```
pub fn free_memory() {
    threads::on_each(scratch::free);
}

/// A tensor on the device these kernels are for.
pub(super) type Array<S, T = NoneTape> = Tensor<S, f32, Cpu, T>;

/// Copies the elements of a contiguous tensor, row by row.
pub(super) fn read<S: Shape, T>(tensor: &Array<S, T>) -> Scratch {
    let mut numbers = Scratch::new(tensor.shape().num_elements());
    tensor.copy_into(&mut numbers);
    numbers
}

/// Copies the elements of a contiguous tensor, to become those of another. dfdx's `as_vec` takes them one by one.
pub(super) fn to_vec<S: Shape, T>(tensor: &Array<S, T>) -> Vec<f32> {
    let mut numbers = vec![0.0; tensor.shape().num_elements()];
    tensor.copy_into(&mut numbers);
    numbers
}

/// Lays out the transposed of a weight.
pub(super) fn panels_of(weight: &Matrix<f32, Cpu>, precision: WeightPrecision) -> Panels {
    let (outputs, inputs) = *weight.shape();
    // Not into memory that is kept, since it happens once.
    let numbers = weight.as_vec();
    Panels::new(MatRef::new(&numbers, outputs.size(), inputs.size()).t(), precision)
}

/// Returns the weight that was laid out.
pub(super) fn tensor_of(panels: &Panels, shape: (Width, Width), device: &Cpu) -> Matrix<f32, Cpu> {
    device.tensor_from_vec(panels.transposed(), shape)
}

/// Copies the elements of two contiguous tensors, in parallel if that is worth a second thread.
pub(super) fn read_both<S: Shape>(first: &Array<S>, second: &Array<S>) -> (Scratch, Scratch) {
    let numbers = first.shape().num_elements() + second.shape().num_elements();
    if parts(numbers) == 1 {
        return (read(first), read(second));
    }
    // Allocated here, since memory goes back to the thread that drops it.
    let mut copies =
        (Scratch::new(first.shape().num_elements()), Scratch::new(second.shape().num_elements()));
    for_each([(first, &mut copies.0), (second, &mut copies.1)].into_iter(), |(from, to)| {
        from.copy_into(to)
    });
    copies
}

/// Returns a contiguous tensor: `tensor` itself, unless it was permuted or broadcast.
pub(super) fn contiguous<S: Shape>(
    record: &mut Record<f32, Cpu>,
    tensor: &Array<S>,
) -> Result<Array<S>, CpuError> {
    fn plain<S: Shape, T: Tape<f32, Cpu>>(x: Array<S, T>) -> Result<Array<S, T>, CpuError> {
        x.try_contiguous()
    }
    with_tape!(record, plain(tensor.clone()))
}

/// Returns the gradient of a tensor, to be added to.
pub(super) fn gradient<'g, S: Shape>(
    gradients: &'g mut Gradients<f32, Cpu>,
    tensor: &Array<S>,
) -> Result<&'g mut [f32], CpuError> {
    Ok(gradients.get_or_alloc_mut(tensor)?)
}

/// Calls `backward` with the gradient of `output` and all other gradients.
pub(super) fn with_gradient_of<S: Shape>(
    gradients: &mut Gradients<f32, Cpu>,
    output: &Array<S>,
    backward: impl FnOnce(&[f32], &mut Gradients<f32, Cpu>) -> Result<(), CpuError>,
) -> Result<(), CpuError> {
    let taken = std::mem::take(&mut **gradients.get_or_alloc_mut(output)?);
    let result = backward(&taken, gradients);
    **gradients.get_or_alloc_mut(output)? = taken;
    result
}

/// Adds numbers to as many others, on all threads.
pub(super) fn add(sums: &mut [f32], terms: &[f32]) {
    // A number takes about as long as two operations.
    let part = sums.len().div_ceil(parts(2 * sums.len())).max(1);
    for_each(sums.chunks_mut(part).zip(terms.chunks(part)), |(sums, terms)| {
        Arch::new().dispatch(Add { sums, terms });
    });
}

/// Adds a row to each row of a matrix, on all threads.
pub(super) fn add_to_rows(matrix: &mut [f32], row: &[f32]) {
    let rows = (matrix.len() / row.len()).div_ceil(parts(2 * matrix.len())).max(1);
    for_each(matrix.chunks_mut(rows * row.len()), |rows| {
        for sums in rows.chunks_mut(row.len()) {
            Arch::new().dispatch(Add { sums, terms: row });
        }
    });
}

struct Add<'a> {
    sums: &'a mut [f32],
    terms: &'a [f32],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        update(
            simd,
            self.sums,
            [self.terms],
            #[inline(always)]
            |sum, [term]| simd.add_f32s(sum, term),
        );
    }
}
