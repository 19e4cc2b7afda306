//! The cross entropy of logits and the classes they should predict.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use dfdx::prelude::*;

use super::record::with_tape;
use super::{KernelDevice, Record, Rows, check, plain_in_f64};

/// The mean cross entropy, in nats.
pub trait CrossEntropyKernel<E: Dtype>: KernelDevice<E> {
    /// Computes the mean over the rows of `(batch, rows, classes)` that have a target: of `-Σ q·log p`, where `p` is the
    /// softmax of the row, and `q` is 1 for the target, mixed with the uniform distribution by `smoothing`, 0 to 1.
    ///
    /// # Errors
    /// If there is not one target for each row, one is not below the number of classes, or the device runs out of memory.
    fn try_cross_entropy(
        record: &mut Record<E, Self>,
        logits: Rows<E, Self>,
        targets: &[Option<usize>],
        smoothing: f64,
    ) -> Result<Tensor<(), E, Self>, Self::Err> {
        fits(&logits, targets)?;
        with_tape!(record, plain(logits, targets, smoothing))
    }
}

plain_in_f64!(CrossEntropyKernel);

#[cfg(feature = "cuda")]
impl<E: super::cuda::Number> CrossEntropyKernel<E> for Cuda
where
    Self: KernelDevice<E>,
{
    fn try_cross_entropy(
        record: &mut Record<E, Self>,
        logits: Rows<E, Self>,
        targets: &[Option<usize>],
        smoothing: f64,
    ) -> Result<Tensor<(), E, Self>, CudaError> {
        fits(&logits, targets)?;
        cuda::forward(record, &logits, targets, smoothing)
    }
}

impl CrossEntropyKernel<f32> for Cpu {
    fn try_cross_entropy(
        record: &mut Record<f32, Self>,
        logits: Rows<f32, Self>,
        targets: &[Option<usize>],
        smoothing: f64,
    ) -> Result<Tensor<(), f32, Self>, CpuError> {
        fits(&logits, targets)?;
        cpu::forward(record, logits, targets, smoothing)
    }
}

fn fits<E: Dtype, D: KernelDevice<E>>(
    logits: &Rows<E, D>,
    targets: &[Option<usize>],
) -> Result<(), D::Err> {
    let (batch, rows, classes) = *logits.shape();
    let are_classes = targets.iter().flatten().all(|target| *target < classes);
    check(targets.len() == batch * rows && are_classes)
}

/// The number of rows with a target, at least 1.
fn count(targets: &[Option<usize>]) -> f64 {
    targets.iter().flatten().count().max(1) as f64
}

/// The reference implementation, in dfdx's own operations.
fn plain<E: Dtype, D: KernelDevice<E>, T: Tape<E, D>>(
    logits: Rows<E, D, T>,
    targets: &[Option<usize>],
    smoothing: f64,
) -> Result<Tensor<(), E, D, T>, D::Err> {
    let shape @ (_, _, classes) = *logits.shape();
    let (others, count) = (smoothing / classes as f64, count(targets));
    let number = |x: f64| E::from_f64(x / count).unwrap_or_default();
    let row = |target: &Option<usize>| {
        let of_target = *target;
        (0..classes).map(move |class| match of_target {
            None => E::default(),
            Some(target) if target == class => number(1.0 - smoothing + others),
            Some(_) => number(others),
        })
    };
    let weights = targets.iter().flat_map(row).collect();
    let weights: Rows<E, D> = logits.device().try_tensor_from_vec(weights, shape)?;
    logits.try_log_softmax::<Axis<2>>()?.try_mul(weights)?.try_sum()?.try_negate()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::Device;
    use crate::ops::cpu::compare::{Outcome, assert_close, backward, numbers, samples, tensor};

    fn run<E: Dtype>(
        (seed, size): (u64, f64),
        shape: (usize, usize, usize),
        targets: &[Option<usize>],
        smoothing: f64,
    ) -> Outcome
    where
        Cpu: Device<E>,
    {
        let logits: Vec<f64> =
            samples(seed, shape.num_elements()).into_iter().map(|x| x * size).collect();
        let logits = tensor::<_, E>(shape, &logits);
        let mut record = Record::new();
        let loss = Cpu::try_cross_entropy(&mut record, logits.clone(), targets, smoothing).unwrap();
        let (loss, gradients) = backward(record, loss);
        vec![loss, numbers(&gradients.get(&logits))]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn kernel_matches_reference(
            seed: u32,
            shape in (1..3_usize, 1..200_usize, 1..70_usize),
            size in 0.1..30.0_f64,
            smoothing in prop_oneof![Just(0.0), 0.0..1.0_f64],
            ignored in 0..5_usize,
        ) {
            let target = |i: usize| (i % 5 >= ignored).then_some((i * 7919 + 3) % shape.2);
            let targets: Vec<_> = (0..shape.0 * shape.1).map(target).collect();
            let seed = (u64::from(seed), size);
            let found = run::<f32>(seed, shape, &targets, smoothing);
            assert_close(&found, &run::<f64>(seed, shape, &targets, smoothing), 2e-5);
        }
    }

    #[test]
    fn a_row_without_a_target_does_not_count() {
        for loss in [
            run::<f32>((1, 1.0), (1, 2, 5), &[Some(2), None], 0.0),
            run::<f64>((1, 1.0), (1, 2, 5), &[Some(2), None], 0.0),
        ] {
            let alone = run::<f64>((1, 1.0), (1, 1, 5), &[Some(2)], 0.0);
            assert!((loss[0][0] - alone[0][0]).abs() < 1e-5);
            assert_eq!(loss[1][5..], [0.0; 5]);
        }
        assert_eq!(run::<f32>((1, 1.0), (1, 1, 5), &[None], 0.1), [vec![0.0], vec![0.0; 5]]);
    }

    #[test]
    fn targets_that_do_not_fit_are_an_error() {
        let logits = tensor::<_, f32>((1, 2, 3), &[0.0; 6]);
        let fits = |targets: &[Option<usize>]| {
            Cpu::try_cross_entropy(&mut Record::new(), logits.clone(), targets, 0.0).is_ok()
        };
        assert!(fits(&[Some(2), None]));
        assert!(!fits(&[Some(2)]));
        assert!(!fits(&[Some(3), Some(0)]));
    }
}
