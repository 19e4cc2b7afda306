//! What a masked token holds never matters, NaN and infinity neither.

#[macro_use]
#[path = "inputs/masks.rs"]
mod cases;
#[path = "inputs/numbers.rs"]
mod numbers;

use perceiver::prelude::*;

mask_tests!(in_f32, f32, f64::from(f32::MAX), 1e-5, &Cpu::default());
mask_tests!(in_f64, f64, f64::MAX, 1e-12, &Cpu::default());
#[cfg(feature = "f16")]
mask_tests!(in_f16, perceiver::dfdx::dtypes::f16, 65504.0, 1e-2, &Cpu::default());
