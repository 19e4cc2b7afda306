//! What a masked token holds never matters, NaN and infinity neither.

#[macro_use]
#[path = "../inputs/masks.rs"]
mod cases;

use perceiver::prelude::*;

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
