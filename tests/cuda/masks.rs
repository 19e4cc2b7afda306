//! What a masked token holds never matters, NaN and infinity neither.

#[macro_use]
#[path = "../inputs/masks.rs"]
mod cases;

use perceiver::dfdx::nn::BuildModule;
use perceiver::nn::Attention;
use perceiver::ops::{Attend, Mask};
use perceiver::prelude::*;

use crate::compare::assert_close;
use crate::gpu;

mask_tests!(in_f32, f32, f64::from(f32::MAX), 1e-5, gpu());
mask_tests!(in_f64, f64, f64::MAX, 1e-12, gpu());
#[cfg(feature = "f16")]
mask_tests!(in_f16, perceiver::dfdx::dtypes::f16, 65504.0, 1e-2, gpu());
#[cfg(feature = "f16")]
mask_tests!(
    in_amp_f16,
    perceiver::dfdx::dtypes::AMP<perceiver::dfdx::dtypes::f16>,
    65504.0,
    1e-2,
    gpu()
);

/// A layer takes masks that are permuted or broadcast.
#[test]
fn masks_that_are_views_are_read_as_they_are_meant() {
    fn outcome<D: Device<f32> + TensorFromVec<bool>>(dev: &D, layer: &Layer<D>) -> Vec<Vec<f32>> {
        let numbers = |count: usize| (0..count).map(|i| (i as f32).sin()).collect();
        let queries = dev.tensor_from_vec(numbers(2 * 4 * 8), (2, 4, Const::<8>));
        let context = dev.tensor_from_vec(numbers(2 * 3 * 8), (2, 3, Const::<8>));
        let flags = vec![true, false, false, true, true, true];
        let permuted: Tensor<(usize, usize), bool, D> =
            dev.tensor_from_vec(flags, (3, 2)).permute();
        let row: Tensor<(usize,), bool, D> = dev.tensor_from_vec(vec![true, false, true], (3,));
        let attend = |mask| {
            let (queries, context) = (queries.clone(), context.clone());
            layer.try_attend(queries, context, &mask, Attend::default()).unwrap().as_vec()
        };
        let pairs = row.clone().broadcast_like::<_, Axes2<0, 1>>(&(2, 4, 3));
        vec![
            attend(Mask::Keys(permuted)),
            attend(Mask::Keys(row.broadcast_like::<_, Axis<0>>(&(2, 3)))),
            attend(Mask::Pairs(pairs)),
        ]
    }
    type Layer<D> = Attention<8, 8, 2, 4, f32, D>;
    let (cpu, gpu) = (Cpu::seed_from_u64(4), gpu());
    let on_cpu = Layer::<Cpu>::build(&cpu);
    let on_gpu = on_cpu.to_device(&*gpu);
    let (expected, found) = (outcome(&cpu, &on_cpu), outcome(&*gpu, &on_gpu));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let [found, expected] = [found, expected]
            .map(|numbers| numbers.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
        assert_close(&format!("view {i}"), &found, &expected, 1e-4);
    }
}
