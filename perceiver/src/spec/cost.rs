//! What a model costs, as constants. Numbers that are out of range are reported where they are declared, so sums
//! saturate here in place of being one more error.

use super::{Numbers, Spec};
use crate::nn::{Part, block};

/// What a part of a model costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// The number of trainable parameters.
    pub parameters: usize,
}

impl Cost {
    /// Of all layers with weights of their own.
    pub(crate) const fn of_layers<S: Spec>() -> Self {
        let n = Numbers::of::<S>();
        let cross = block::parameters(n.latent_dim, Some(n.token_dim), n.cross_heads);
        let latent = block::parameters(n.latent_dim, None, n.latent_heads);
        Self {
            parameters: n
                .self_per_cross_attn
                .saturating_mul(latent)
                .saturating_add(cross)
                .saturating_mul(n.stored_layers),
        }
    }

    /// Of a model.
    pub(crate) const fn of_model<S: Spec>() -> Self {
        let n = Numbers::of::<S>();
        let latents = n.num_latents.saturating_mul(n.latent_dim);
        let layers = Self::of_layers::<S>().parameters;
        Self { parameters: latents.saturating_add(layers).saturating_add(S::Output::PARAMETERS) }
    }
}
