//! perceiver-io 0.11, whose `CausalSequenceModel` is a Perceiver AR.

use super::{Layout, Rule, rule};

/// The names in a `state_dict` of `CausalSequenceModel`.
pub(super) static PERCEIVER_AR: Layout = Layout {
    kind: "a Perceiver AR of perceiver-io (`family: PerceiverAr`)",
    rules: &[NAMES],
    prefix: "",
    older: &[],
};

/// The buffer of the frequencies of rotations.
pub(in crate::checkpoint) const FREQUENCIES: &str = "input_adapter.frq_pos_encoding.inv_freq";

#[rustfmt::skip] // one name, one row
const NAMES: &[Rule] = &[
    rule("input.embeddings", &["input_adapter.txt_embedding"]),
    rule("input.positions", &["input_adapter.pos_embedding"]),
    rule("layers.0.cross.norm", &["cross_attention.0.module.q_norm"]),
    rule("layers.0.cross.norm_context", &["cross_attention.0.module.kv_norm"]),
    rule("layers.0.cross.attention.to_q", &["cross_attention.0.module.attention.q_proj"]),
    rule("layers.0.cross.attention.to_kv", &["cross_attention.0.module.attention.k_proj", "cross_attention.0.module.attention.v_proj"]),
    rule("layers.0.cross.attention.to_out", &["cross_attention.0.module.attention.o_proj"]),
    rule("layers.0.cross.feed_forward_norm", &["cross_attention.1.module.0"]),
    rule("layers.0.cross.feed_forward.expand", &["cross_attention.1.module.1"]),
    rule("layers.0.cross.feed_forward.contract", &["cross_attention.1.module.3"]),
    rule("layers.0.latent.{}.norm", &["self_attention.{}.0.module.norm"]),
    rule("layers.0.latent.{}.attention.to_q", &["self_attention.{}.0.module.attention.q_proj"]),
    rule("layers.0.latent.{}.attention.to_kv", &["self_attention.{}.0.module.attention.k_proj", "self_attention.{}.0.module.attention.v_proj"]),
    rule("layers.0.latent.{}.attention.to_out", &["self_attention.{}.0.module.attention.o_proj"]),
    rule("layers.0.latent.{}.feed_forward_norm", &["self_attention.{}.1.module.0"]),
    rule("layers.0.latent.{}.feed_forward.expand", &["self_attention.{}.1.module.1"]),
    rule("layers.0.latent.{}.feed_forward.contract", &["self_attention.{}.1.module.3"]),
    rule("norm", &["out_norm"]),
    rule("output.bias", &["output_adapter.bias"]),
];
