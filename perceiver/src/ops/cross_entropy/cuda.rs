//! The kernel for `Cuda`.
#![allow(unsafe_code)]

use dfdx::prelude::*;

use crate::ops::cuda::{Array, Grid, Memory, Number, Source};
use crate::ops::{KernelDevice, Record, Rows};

const SOURCE: Source = Source { name: "cross_entropy", text: include_str!("cross_entropy.cu") };

pub(super) fn forward<E: Number>(
    record: &mut Record<E, Cuda>,
    logits: &Rows<E, Cuda>,
    targets: &[Option<usize>],
    smoothing: f64,
) -> Result<Tensor<(), E, Cuda>, CudaError>
where
    Cuda: KernelDevice<E>,
{
    let logits = Array::new(record, logits)?;
    let (batch, count, classes) = *logits.tensor.shape();
    let rows = batch * count;
    let (device, gpu) = (logits.tensor.device(), logits.gpu);
    let bytes = targets.iter().flat_map(|target| match target {
        Some(target) => (*target as i64).to_ne_bytes(),
        None => (-1_i64).to_ne_bytes(),
    });
    let targets_on_gpu = gpu.bytes(bytes.collect())?;
    let with_target = super::count(targets);
    let losses = Memory::<E>::new(device, rows)?;
    let log_sums = Memory::<E>::new(device, rows)?;
    let mean = Array::zeros(device, ())?;
    let addresses =
        [logits.address, targets_on_gpu.address(), losses.address(), log_sums.address()];
    let sizes = [rows as u64, classes as u64, smoothing.to_bits()];
    let of_mean = [losses.address(), mean.address, rows as u64, with_target.to_bits()];
    // SAFETY: there are a target, a loss and a sum for each row, and targets are classes.
    unsafe {
        let arguments = [&addresses[..], &sizes].concat();
        let grid = Grid::warps(rows);
        gpu.launch::<E>(&SOURCE, &[], "compare", grid, &arguments)?;
        gpu.launch::<E>(&SOURCE, &[], "average", Grid::blocks(1), &of_mean)?;
    }

    let result = mean.tensor.clone();
    record.add(move |gradients| {
        let d_mean = mean.gradient(gradients)?;
        let d_logits = logits.gradient(gradients)?;
        let addresses =
            [logits.address, targets_on_gpu.address(), log_sums.address(), d_mean, d_logits];
        let numbers = rows * classes;
        let sizes = [numbers as u64, classes as u64, smoothing.to_bits(), with_target.to_bits()];
        let arguments = [&addresses[..], &sizes].concat();
        // SAFETY: gradients are as large as what they belong to.
        unsafe { gpu.launch::<E>(&SOURCE, &[], "add_gradient", Grid::over(numbers), &arguments) }
    });
    Ok(result)
}
