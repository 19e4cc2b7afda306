//! The number of parameters. Numbers that are out of range are reported where they are declared, so sums saturate here
//! instead of causing another error.

use crate::input::InputKind;
use crate::model::{FinalNorm, Output};
use crate::nn::{Part, block, residual};
use crate::spec::{Numbers, Spec};

/// The number of parameters of all layers that have their own weights.
pub(crate) const fn of_layers<S: Spec>() -> usize {
    let n = Numbers::of::<S>();
    let cross = block::parameters(n.cross);
    let latent = block::parameters(n.latent);
    let with_cross =
        if n.cross_attends < n.stored_layers { n.cross_attends } else { n.stored_layers };
    let latent_blocks = n.stored_layers.saturating_mul(n.self_per_cross_attn);
    let cross = cross.saturating_mul(with_cross);
    let mix = match n.attn_residual_rank {
        Some(rank) => residual::parameters(n.latent_dim, rank).saturating_mul(n.stored_layers),
        None => 0,
    };
    let blocks = latent_blocks.saturating_mul(latent).saturating_add(cross);
    blocks.saturating_add(mix)
}

/// The number of parameters of a model.
pub(crate) const fn of_model<S: Spec>() -> usize {
    let n = Numbers::of::<S>();
    let latents = n.num_latents.saturating_mul(n.latent_dim);
    let input = <S::Input as InputKind>::Part::<S>::PARAMETERS;
    let output = <S::Output as Output>::Part::<S>::PARAMETERS;
    let norm = FinalNorm::<S>::PARAMETERS;
    let ends = latents.saturating_add(input).saturating_add(norm).saturating_add(output);
    ends.saturating_add(of_layers::<S>())
}
