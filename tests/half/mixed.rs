//! `AMP<f16>`.

type E = perceiver::dfdx::dtypes::AMP<perceiver::dfdx::dtypes::f16>;

#[path = "cases.rs"]
mod cases;
