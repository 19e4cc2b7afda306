//! The layers a Perceiver is made of, to be used by hand where the declaration is not enough.
//!
//! Those with parameters are dfdx modules that hold tensors and nothing else, made by `Type::build(&device)`; what
//! changes from call to call (masks, dropout) is an argument. Shapes are written `(batch, tokens, width)`, and widths
//! are part of the types: a layer that is handed another width does not compile.

mod attention;
mod context;
#[doc(hidden)]
pub mod declared;
mod feed_forward;
mod fourier;
mod layer;
mod linear;
mod norm;
mod to_logits;
mod tokens;

pub use attention::Attention;
pub use context::Context;
pub use feed_forward::{FeedForward, Gated, Hidden};
pub use fourier::FourierFeatures;
pub use layer::{CrossAttention, Dropout, Layer, SelfAttention, try_iterate};
pub use linear::{Linear, UnbiasedLinear};
pub use norm::{CrossPreNorm, LayerNorm, PreNorm};
pub use to_logits::ToLogits;
pub use tokens::{Input, Mask, Sizes, Tokens, Unmasked};

// One by one: rust-analyzer takes a name that a glob import has too for that one.
use dfdx::prelude::{ConstShape, Device, Dtype, Tensor};

/// A learned array that starts as samples of N(0, 1), as the latents of a declared model do.
#[doc(hidden)]
pub fn reset_to_normal<S: ConstShape, E: Dtype, D: Device<E>>(
    tensor: &mut Tensor<S, E, D>,
) -> Result<(), D::Err> {
    use rand_distr::{Distribution, StandardNormal};
    // Sampled as f64, so that this asks no more of `E` than dfdx's `Dtype` gives.
    tensor.try_fill_with_distr(StandardNormal.map(|x: f64| E::from_f64(x).unwrap_or_default()))
}
