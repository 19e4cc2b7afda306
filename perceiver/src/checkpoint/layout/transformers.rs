//! Hugging Face's Transformers, 4 and 5.

use super::{Layout, Rule, rule};

/// The names in a `state_dict` of `PerceiverForImageClassificationFourier` and its siblings.
pub(super) static TRANSFORMERS: Layout = Layout {
    kind: "a Perceiver of Transformers (`family: Transformers`)",
    rules: &[ENCODER, DECODER],
    prefix: "",
    older: &[],
};

/// Those of `PerceiverForMaskedLM`.
pub(super) static TRANSFORMERS_LANGUAGE: Layout = Layout {
    kind: "PerceiverForMaskedLM of Transformers (`family: Transformers`, `project: Embedding`)",
    rules: &[ENCODER, LANGUAGE_DECODER],
    prefix: "",
    older: &[],
};

#[rustfmt::skip] // one name, one row
const ENCODER: &[Rule] = &[
    rule("latents", &["perceiver.embeddings.latents"]),
    rule("input.embeddings", &["perceiver.input_preprocessor.embeddings"]),
    rule("input.positions", &["perceiver.input_preprocessor.position_embeddings"]),
    rule("input.stem.0.conv", &["perceiver.input_preprocessor.convnet.conv"]),
    rule("input.stem.0.norm", &["perceiver.input_preprocessor.convnet.batchnorm"]),
    rule("input.stem.0", &["perceiver.input_preprocessor.convnet_1x1"]),
    rule("input.stem.1", &["perceiver.input_preprocessor.conv_after_patches"]),
    rule("input.position_rows", &["perceiver.input_preprocessor.position_embeddings.position_embeddings"]),
    rule("input.{name}.padding", &["perceiver.input_preprocessor.padding.{name}"]),
    rule("input.{name}.mask", &["perceiver.input_preprocessor.mask.{name}"]),
    rule("input.{name}.embeddings", &["perceiver.input_preprocessor.modalities.{name}.embeddings"]),
    rule("input.{name}.positions", &["perceiver.input_preprocessor.modalities.{name}.position_embeddings"]),
    rule("input.{name}.stem.0.conv", &["perceiver.input_preprocessor.modalities.{name}.convnet.conv"]),
    rule("input.{name}.stem.0.norm", &["perceiver.input_preprocessor.modalities.{name}.convnet.batchnorm"]),
    rule("input.{name}.stem.0", &["perceiver.input_preprocessor.modalities.{name}.convnet_1x1"]),
    rule("input.{name}.stem.1", &["perceiver.input_preprocessor.modalities.{name}.conv_after_patches"]),
    rule("input.{name}.position_rows", &["perceiver.input_preprocessor.modalities.{name}.position_embeddings.position_embeddings"]),
    rule("input.{name}.project", &["perceiver.input_preprocessor.modalities.{name}.positions_projection"]),
    rule("input.project", &["perceiver.input_preprocessor.positions_projection"]),
    rule("layers.0.cross.norm", &["perceiver.encoder.cross_attention.attention.self.layernorm1"]),
    rule("layers.0.cross.norm_context", &["perceiver.encoder.cross_attention.attention.self.layernorm2"]),
    rule("layers.0.cross.attention.to_q", &["perceiver.encoder.cross_attention.attention.self.query"]),
    rule("layers.0.cross.attention.to_kv", &["perceiver.encoder.cross_attention.attention.self.key", "perceiver.encoder.cross_attention.attention.self.value"]),
    rule("layers.0.cross.attention.to_out", &["perceiver.encoder.cross_attention.attention.output.dense"]),
    rule("layers.0.cross.feed_forward_norm", &["perceiver.encoder.cross_attention.layernorm"]),
    rule("layers.0.cross.feed_forward.expand", &["perceiver.encoder.cross_attention.mlp.dense1"]),
    rule("layers.0.cross.feed_forward.contract", &["perceiver.encoder.cross_attention.mlp.dense2"]),
    rule("layers.0.latent.{}.norm", &["perceiver.encoder.self_attends.{}.attention.self.layernorm1"]),
    rule("layers.0.latent.{}.attention.to_q", &["perceiver.encoder.self_attends.{}.attention.self.query"]),
    rule("layers.0.latent.{}.attention.to_kv", &["perceiver.encoder.self_attends.{}.attention.self.key", "perceiver.encoder.self_attends.{}.attention.self.value"]),
    rule("layers.0.latent.{}.attention.to_out", &["perceiver.encoder.self_attends.{}.attention.output.dense"]),
    rule("layers.0.latent.{}.feed_forward_norm", &["perceiver.encoder.self_attends.{}.layernorm"]),
    rule("layers.0.latent.{}.feed_forward.expand", &["perceiver.encoder.self_attends.{}.mlp.dense1"]),
    rule("layers.0.latent.{}.feed_forward.contract", &["perceiver.encoder.self_attends.{}.mlp.dense2"]),
];

#[rustfmt::skip]
const DECODER: &[Rule] = &[
    rule("output.query", &["perceiver.decoder.decoder.output_position_encodings.position_embeddings"]),
    rule("output.block.norm", &["perceiver.decoder.decoder.decoding_cross_attention.attention.self.layernorm1"]),
    rule("output.block.norm_context", &["perceiver.decoder.decoder.decoding_cross_attention.attention.self.layernorm2"]),
    rule("output.block.attention.to_q", &["perceiver.decoder.decoder.decoding_cross_attention.attention.self.query"]),
    rule("output.block.attention.to_kv", &["perceiver.decoder.decoder.decoding_cross_attention.attention.self.key", "perceiver.decoder.decoder.decoding_cross_attention.attention.self.value"]),
    rule("output.block.attention.to_out", &["perceiver.decoder.decoder.decoding_cross_attention.attention.output.dense"]),
    rule("output.block.feed_forward_norm", &["perceiver.decoder.decoder.decoding_cross_attention.layernorm"]),
    rule("output.block.feed_forward.expand", &["perceiver.decoder.decoder.decoding_cross_attention.mlp.dense1"]),
    rule("output.block.feed_forward.contract", &["perceiver.decoder.decoder.decoding_cross_attention.mlp.dense2"]),
    rule("output.linear", &["perceiver.decoder.decoder.final_layer"]),
    rule("output.{name}.padding", &["perceiver.decoder.padding.{name}"]),
    rule("output.{name}.class_query", &["perceiver.decoder.modalities.{name}.decoder.output_position_encodings.position_embeddings"]),
    rule("output.{name}.query", &["perceiver.decoder.modalities.{name}.output_position_encodings.position_embeddings"]),
    rule("output.{name}.project", &["perceiver.output_postprocessor.modalities.{name}.classifier"]),
];

#[rustfmt::skip]
const LANGUAGE_DECODER: &[Rule] = &[
    rule("output.query", &["perceiver.decoder.output_position_encodings.position_embeddings"]),
    rule("output.block.norm", &["perceiver.decoder.decoding_cross_attention.attention.self.layernorm1"]),
    rule("output.block.norm_context", &["perceiver.decoder.decoding_cross_attention.attention.self.layernorm2"]),
    rule("output.block.attention.to_q", &["perceiver.decoder.decoding_cross_attention.attention.self.query"]),
    rule("output.block.attention.to_kv", &["perceiver.decoder.decoding_cross_attention.attention.self.key", "perceiver.decoder.decoding_cross_attention.attention.self.value"]),
    rule("output.block.attention.to_out", &["perceiver.decoder.decoding_cross_attention.attention.output.dense"]),
    rule("output.block.feed_forward_norm", &["perceiver.decoder.decoding_cross_attention.layernorm"]),
    rule("output.block.feed_forward.expand", &["perceiver.decoder.decoding_cross_attention.mlp.dense1"]),
    rule("output.block.feed_forward.contract", &["perceiver.decoder.decoding_cross_attention.mlp.dense2"]),
    rule("output.embedding_bias", &["embedding_decoder.bias"]),
];
