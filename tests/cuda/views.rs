//! Inputs that are views of other tensors, as on the CPU and as copies of them; and the latents, which are one for all
//! items of a batch.

#[path = "../inputs/views.rs"]
mod cases;

use perceiver::prelude::*;

use crate::gpu;
use crate::numbers::Failures;
use cases::{assert_as_copies, assert_same, latents, model, views};

/// Of numbers of `E` on the GPU, by those of `R` for the same model on the CPU.
macro_rules! tests {
    ($name:ident, $E:ty, $R:ty, $tolerance:literal) => {
        mod $name {
            use super::*;

            #[test]
            fn are_as_copies() {
                let gpu = gpu();
                let model = model::<$E>().to_device(&*gpu);
                assert_as_copies(&views(&model), $tolerance);
            }

            #[test]
            fn are_as_on_the_cpu() {
                let gpu = gpu();
                let reference = model::<$E>().to_dtype::<$R>();
                let model = model::<$E>().to_device(&*gpu);
                assert_same(&views(&model), &views(&reference), $tolerance);
            }

            #[test]
            fn latents_of_a_batch() {
                let gpu = gpu();
                let reference = model::<$E>().to_dtype::<$R>();
                let model = model::<$E>().to_device(&*gpu);
                let mut failures = Failures::default();
                for batch in [1, 2, 8] {
                    let found = latents(&model, batch);
                    let expected = latents(&reference, batch);
                    failures.apart(&format!("{batch} items"), &found, &expected, $tolerance);
                }
                failures.assert_none();
            }
        }
    };
}

tests!(in_f32, f32, f32, 1e-4);
tests!(in_f64, f64, f64, 1e-10);
#[cfg(feature = "f16")]
tests!(in_f16, perceiver::dfdx::dtypes::f16, f32, 1e-2);
#[cfg(feature = "f16")]
tests!(in_amp_f16, perceiver::dfdx::dtypes::AMP<perceiver::dfdx::dtypes::f16>, f32, 1e-2);
