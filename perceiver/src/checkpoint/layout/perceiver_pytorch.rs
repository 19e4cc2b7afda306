//! perceiver-pytorch 0.11.

use super::{Layout, Rule, rule};

/// The names in perceiver-pytorch's `state_dict`.
pub(super) static PERCEIVER_PYTORCH: Layout = Layout {
    kind: "perceiver-pytorch's Perceiver",
    rules: &[
        SHARED,
        &[
            rule("layers.{}.cross.norm", &["layers.{}.cross_attn.norm"]),
            rule("layers.{}.cross.norm_context", &["layers.{}.cross_attn.norm_context"]),
            rule("layers.{}.cross.attention", &["layers.{}.cross_attn.fn"]),
            rule("layers.{}.cross.feed_forward_norm", &["layers.{}.cross_ff.norm"]),
            rule("layers.{}.cross.feed_forward.expand", &["layers.{}.cross_ff.fn.net.0"]),
            rule("layers.{}.cross.feed_forward.contract", &["layers.{}.cross_ff.fn.net.2"]),
            rule("output.norm", &["to_logits.1"]),
            rule("output.linear", &["to_logits.2"]),
        ],
    ],
    prefix: "",
    // Releases 0.8 to 0.10 name the parts of a layer by number.
    older: &[
        ("layers.{}.0", "layers.{}.cross_attn"),
        ("layers.{}.1", "layers.{}.cross_ff"),
        ("layers.{}.2", "layers.{}.self_attns"),
    ],
};

/// What both name alike: self attentions, and residual connections over the depth.
const SHARED: &[Rule] = &[
    rule("layers.{}.latent.{}.norm", &["layers.{}.self_attns.{}.0.norm"]),
    rule("layers.{}.latent.{}.attention", &["layers.{}.self_attns.{}.0.fn"]),
    rule("layers.{}.latent.{}.feed_forward_norm", &["layers.{}.self_attns.{}.1.norm"]),
    rule("layers.{}.latent.{}.feed_forward.expand", &["layers.{}.self_attns.{}.1.fn.net.0"]),
    rule("layers.{}.latent.{}.feed_forward.contract", &["layers.{}.self_attns.{}.1.fn.net.2"]),
    rule("layers.{}.residual.norm", &["attn_residuals.{}.to_attn_logits.0"]),
    rule("layers.{}.residual.down", &["attn_residuals.{}.to_attn_logits.1"]),
    rule("layers.{}.residual.up", &["attn_residuals.{}.to_attn_logits.2"]),
];

/// The names in the `state_dict` of `PerceiverIO`.
pub(super) static PERCEIVER_IO: Layout = Layout {
    kind: "perceiver-pytorch's PerceiverIO (`cross_attends: 1`)",
    rules: &[SHARED, IO],
    prefix: "",
    older: &[],
};

/// The names in the `state_dict` of `PerceiverLM`.
pub(super) static PERCEIVER_LM: Layout = Layout {
    kind: "perceiver-pytorch's PerceiverLM (`input: Text { .. }`)",
    rules: &[TEXT, SHARED, IO],
    prefix: "perceiver_io.",
    older: &[],
};

const TEXT: &[Rule] =
    &[rule("input.embeddings", &["token_emb"]), rule("input.positions", &["pos_emb"])];

const IO: &[Rule] = &[
    rule("layers.0.cross.norm", &["cross_attend_block.cross_attn.norm"]),
    rule("layers.0.cross.norm_context", &["cross_attend_block.cross_attn.norm_context"]),
    rule("layers.0.cross.attention", &["cross_attend_block.cross_attn.fn"]),
    rule("layers.0.cross.feed_forward_norm", &["cross_attend_block.cross_ff.norm"]),
    rule("layers.0.cross.feed_forward.expand", &["cross_attend_block.cross_ff.fn.net.0"]),
    rule("layers.0.cross.feed_forward.contract", &["cross_attend_block.cross_ff.fn.net.2"]),
    rule("output.block.norm", &["decoder_cross_attn.norm"]),
    rule("output.block.norm_context", &["decoder_cross_attn.norm_context"]),
    rule("output.block.attention", &["decoder_cross_attn.fn"]),
    rule("output.block.feed_forward_norm", &["decoder_ff.norm"]),
    rule("output.block.feed_forward.expand", &["decoder_ff.fn.net.0"]),
    rule("output.block.feed_forward.contract", &["decoder_ff.fn.net.2"]),
    rule("output.linear", &["to_logits"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_older_releases_and_of_dfdx_files_are_read() {
        let names = [
            ("latents", "latents"),
            ("layers.3.0.norm.weight", "layers.3.cross_attn.norm.weight"),
            ("layers.10.1.fn.net.0.bias", "layers.10.cross_ff.fn.net.0.bias"),
            ("layers.0.2.1.0.fn.to_kv.weight", "layers.0.self_attns.1.0.fn.to_kv.weight"),
            ("layers.0.self_attns.1.0.norm.bias", "layers.0.self_attns.1.0.norm.bias"),
            ("to_logits.2.bias", "to_logits.2.bias"),
            ("layers.0.latent.1.attention.to_kv.weight", "layers.0.self_attns.1.0.fn.to_kv.weight"),
            ("output.linear.bias", "to_logits.2.bias"),
        ];
        for (name, expected) in names {
            assert_eq!(PERCEIVER_PYTORCH.current(name), expected);
        }
    }
}
