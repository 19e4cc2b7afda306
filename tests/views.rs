//! An input that is a view of another tensor gives what a copy of it gives, and so does its gradient.

#[path = "inputs/views.rs"]
mod cases;
#[allow(dead_code)] // of which the masks need more
#[path = "inputs/numbers.rs"]
mod numbers;

use perceiver::prelude::*;

use cases::{assert_as_copies, assert_same, latents, model, views};
use numbers::Failures;

/// Of numbers of `E`, by those of `R` for the same model.
macro_rules! tests {
    ($name:ident, $E:ty, $R:ty, $tolerance:literal) => {
        mod $name {
            use super::*;

            #[test]
            fn are_as_copies() {
                assert_as_copies(&views(&model::<$E>()), $tolerance);
            }

            #[test]
            fn are_as_in_a_wider_type() {
                let reference = model::<$E>().to_dtype::<$R>();
                assert_same(&views(&model::<$E>()), &views(&reference), $tolerance);
            }

            #[test]
            fn latents_of_a_batch() {
                let reference = model::<$E>().to_dtype::<$R>();
                let mut failures = Failures::default();
                for batch in [1, 2, 8] {
                    let found = latents(&model::<$E>(), batch);
                    let expected = latents(&reference, batch);
                    failures.apart(&format!("{batch} items"), &found, &expected, $tolerance);
                }
                failures.assert_none();
            }
        }
    };
}

tests!(in_f32, f32, f64, 1e-4);
#[cfg(feature = "f16")]
tests!(in_f16, perceiver::dfdx::dtypes::f16, f32, 1e-2);
#[cfg(feature = "f16")]
tests!(in_amp_f16, perceiver::dfdx::dtypes::AMP<perceiver::dfdx::dtypes::f16>, f32, 1e-2);

#[test]
fn in_f64_they_are_as_copies() {
    assert_as_copies(&views(&model::<f64>()), 1e-10);
}
