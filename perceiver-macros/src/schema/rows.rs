//! The rows.

use super::Default::{Absent, ByFamily, Required, RequiredUnless, Value};
use super::{Form, Key, Kind, Variant, key};

/// Bounds that no real model comes near, but a slip of the finger does.
pub const WIDTH: Kind = Kind::Count { min: 1, max: 1 << 20 };
const REPEATS: Kind = Kind::Count { min: 1, max: 1 << 12 };
/// For what there may be none of.
const REPEATS_OR_NONE: Kind = Kind::Count { min: 0, max: 1 << 12 };
const FLAG: Kind = Kind::Flag { literal: false };
const LITERAL_FLAG: Kind = Kind::Flag { literal: true };
const ENCODED: super::Default = RequiredUnless("`input` is given or `fourier_encode_data: false`");

/// Every key of a declaration, in the order in which the documentation lists them.
pub static ROOT: &[&Key] = &[
    &DEPTH,
    &NUM_FREQ_BANDS,
    &MAX_FREQ,
    &INPUT_CHANNELS,
    &INPUT_AXIS,
    &INPUT_SHAPE,
    &NUM_LATENTS,
    &LATENT_DIM,
    &CROSS_HEADS,
    &LATENT_HEADS,
    &CROSS_DIM_HEAD,
    &LATENT_DIM_HEAD,
    &NUM_CLASSES,
    &ATTN_DROPOUT,
    &FF_DROPOUT,
    &FREQ_BASE,
    &WEIGHT_TIE_LAYERS,
    &FOURIER_ENCODE_DATA,
    &SELF_PER_CROSS_ATTN,
    &FINAL_CLASSIFIER_HEAD,
    &INVERTED_CROSS_ATTN,
    &FAMILY,
    &INPUT,
    &OUTPUT,
    &LATENTS,
    &CROSS_ATTENDS,
    &SHARE,
    &QK_CHANNELS,
    &V_CHANNELS,
    &ATTN_BIAS,
    &FEED_FORWARD,
    &QUERIES_CONTRIBUTE_KV,
    &FINAL_NORM,
    &ATTN_RESIDUAL,
    &ATTN_RESIDUAL_RANK,
    &PREFIX_DROPOUT,
    &ROTARY_LAYERS,
    &INPUT_PADDING,
    &OUTPUT_PADDING,
    &OUTPUT_WIDTH,
];

/// What `input` says too.
pub static FLAT_INPUT: &[&Key] = &[
    &INPUT_CHANNELS,
    &INPUT_AXIS,
    &INPUT_SHAPE,
    &NUM_FREQ_BANDS,
    &MAX_FREQ,
    &FREQ_BASE,
    &FOURIER_ENCODE_DATA,
];
/// What `output` says too.
pub static FLAT_OUTPUT: &[&Key] = &[&NUM_CLASSES, &FINAL_CLASSIFIER_HEAD];

#[rustfmt::skip] // one key, one row
mod root {
    use super::*;

    pub static DEPTH: Key = key("depth", REPEATS, Required, "number of layers, each a cross attention and its self attentions")
        .also(&["layer", "layers", "num_layer", "num_layers", "n_layer", "n_layers", "block", "blocks", "num_blocks", "n_blocks"]);
    pub static NUM_FREQ_BANDS: Key = key("num_freq_bands", REPEATS, ENCODED, "number of frequency bands of the position encoding along each axis")
        .also(&["num_frequencies", "num_bands", "n_freq_bands", "bands"]);
    pub static MAX_FREQ: Key = key("max_freq", Kind::PerAxis, ENCODED, "sampling rate of the position encoding along every axis, or `[..]` with one for each; its highest frequency is half of this (Nyquist)");
    pub static INPUT_CHANNELS: Key = key("input_channels", WIDTH, Value("3"), "number of input channels")
        .also(&["channels", "in_channels", "num_channels", "in_chans", "input_dim"]);
    pub static INPUT_AXIS: Key = key("input_axis", Kind::Count { min: 1, max: 4 }, Value("2"), "number of input axes: 1 for a sequence, 2 for an image, 3 for a video; at most 4")
        .also(&["axes", "num_axes", "num_axis", "ndim"]);
    pub static INPUT_SHAPE: Key = key("input_shape", Kind::Shape, Absent(""), "sizes of all axes and the number of channels, such as `[224, 224, 3]`; replaces `input_axis` and `input_channels`")
        .also(&["image_size", "img_size", "image_shape", "input_size", "shape"]);
    pub static NUM_LATENTS: Key = key("num_latents", WIDTH, Value("512"), "number of latents")
        .also(&["n_latents"]);
    pub static LATENT_DIM: Key = key("latent_dim", WIDTH, Value("512"), "dimension of each latent")
        .also(&["dim", "d_model", "d_latents", "embed_dim", "hidden_dim", "hidden_size", "width"]);
    pub static CROSS_HEADS: Key = key("cross_heads", REPEATS, ByFamily("1", "8"), "number of cross-attention heads")
        .also(&["n_head", "n_heads", "num_heads"]);
    pub static LATENT_HEADS: Key = key("latent_heads", REPEATS, Value("8"), "number of self-attention heads")
        .also(&["n_head", "n_heads", "num_heads"]);
    pub static CROSS_DIM_HEAD: Key = key("cross_dim_head", WIDTH, Value("64"), "dimension of each cross-attention head")
        .also(&["head_dim", "dim_heads"]);
    pub static LATENT_DIM_HEAD: Key = key("latent_dim_head", WIDTH, Value("64"), "dimension of each self-attention head")
        .also(&["head_dim", "dim_heads"]);
    pub static NUM_CLASSES: Key = key("num_classes", Kind::Count { min: 1, max: 1 << 28 }, Value("1000"), "number of logits, or of any other numbers that the model returns, such as 1 for regression")
        .also(&["n_classes", "num_labels", "num_outputs", "out_features", "vocab_size"]);
    pub static ATTN_DROPOUT: Key = key("attn_dropout", Kind::Rate, ByFamily("0.0", "0.1"), "dropout rate of attention weights");
    pub static FF_DROPOUT: Key = key("ff_dropout", Kind::Rate, Value("0.0"), "dropout rate of feed-forward outputs");
    pub static FREQ_BASE: Key = key("freq_base", Kind::Base, Absent("bands are spaced linearly, as in the paper"), "base of logarithmically spaced frequency bands, as in the TensorFlow package")
        .also(&["log_base", "freq_bases", "base"]);
    pub static WEIGHT_TIE_LAYERS: Key = key("weight_tie_layers", FLAG, Value("false"), "whether all layers after the first share one set of weights")
        .also(&["tie_weights", "tied_weights", "weight_tying", "share_weights"]);
    pub static FOURIER_ENCODE_DATA: Key = key("fourier_encode_data", LITERAL_FLAG, Value("true"), "whether the position encoding is appended to the input channels")
        .also(&["fourier_encode", "encode_data", "position_encoding", "pos_encoding", "position"]);
    pub static SELF_PER_CROSS_ATTN: Key = key("self_per_cross_attn", REPEATS_OR_NONE, Value("1"), "number of self attentions in each layer, after its cross attention if it has one")
        .also(&["self_attn", "self_attns", "num_self_attns"]);
    pub static FINAL_CLASSIFIER_HEAD: Key = key("final_classifier_head", LITERAL_FLAG, Value("true"), "whether `forward` returns `num_classes` logits; otherwise it returns the latents, or what `output` says")
        .also(&["final_head", "classifier_head"]);
    pub static INVERTED_CROSS_ATTN: Key = key("inverted_cross_attn", Kind::PerLayer, Value("false"), "whether the latents compete for each token (softmax over the latents), in all layers or `[..]` in each");
    pub static FAMILY: Key = key("family", Kind::Choice(FAMILIES), Value("PerceiverPytorch"), "reference implementation whose defaults and checkpoint format the model has")
        .also(&["kind", "model_type", "variant"]);
    pub static INPUT: Key = key("input", Kind::Choice(INPUTS), Absent("the keys above"), "input, in place of the keys from `input_channels` to `input_shape` and those of the position encoding");
    pub static OUTPUT: Key = key("output", Kind::Choice(OUTPUTS), Absent("the keys above"), "output, in place of `num_classes` and `final_classifier_head`");
    pub static LATENTS: Key = key("latents", Kind::Choice(LATENT_SOURCES), Value("Learned"), "source of the latents");
    pub static PREFIX_DROPOUT: Key = key("prefix_dropout", Kind::Rate, Value("0.5"), "share of the tokens before the latents that is dropped in training, in the family `PerceiverAr`")
        .also(&["cross_attention_dropout", "cross_attn_dropout", "perceive_dropout"]);
    pub static ROTARY_LAYERS: Key = key("rotary_layers", Kind::CountOr { max: 1 << 12, variants: ALL_LAYERS }, Value("1"), "number of self attentions, from the first on, whose queries and keys are rotated, in the family `PerceiverAr`; those of the cross attention always are")
        .also(&["num_self_attention_rotary_layers", "rotary"]);
    pub static CROSS_ATTENDS: Key = key("cross_attends", REPEATS, Absent("all layers; 1 in the family `Transformers`"), "number of layers, from the first on, that begin with a cross attention");
    pub static SHARE: Key = key("share", Kind::Choice(SHARES), Absent("`None`; `All` in the family `Transformers`"), "layers that share their weights, in place of `weight_tie_layers`");
    pub static QK_CHANNELS: Key = key("qk_channels", WIDTH, Absent("heads × dimension of a head; in the family `Transformers` the width of what is attended to"), "width of the queries and keys of all heads together");
    pub static V_CHANNELS: Key = key("v_channels", WIDTH, Absent("that of queries and keys"), "width of the values of all heads together");
    pub static ATTN_BIAS: Key = key("attn_bias", FLAG, Absent("only in the output projection; everywhere in the family `Transformers`"), "whether the linear layers of the attentions have biases");
    pub static FEED_FORWARD: Key = key("feed_forward", Kind::Choice(FEED_FORWARDS), Absent("`Geglu(4)`; `Gelu(1)` in the family `Transformers`"), "feed-forward layer of each block");
    pub static QUERIES_CONTRIBUTE_KV: Key = key("queries_contribute_kv", FLAG, Value("false"), "whether the cross attentions attend to the latents as well as to the tokens, as in Flamingo's resampler");
    pub static ATTN_RESIDUAL: Key = key("attn_residual", FLAG, Value("false"), "whether each layer returns a weighted mean of its own result, those of all layers before it, and the initial latents, with weights computed from them");
    pub static ATTN_RESIDUAL_RANK: Key = key("attn_residual_rank", WIDTH, Value("64"), "rank of the linear map that computes the weights of `attn_residual`");
    pub static INPUT_PADDING: Key = key("input_padding", WIDTH, Value("2"), "number of learned values appended to each token of the widest of several inputs; narrower ones get more, so that all tokens are equally wide")
        .also(&["min_padding_size", "padding"]);
    pub static OUTPUT_PADDING: Key = key("output_padding", WIDTH, Value("2"), "number of learned values appended to each query of the widest of several outputs; narrower ones get more")
        .also(&["min_padding_size", "padding"]);
    pub static OUTPUT_WIDTH: Key = key("output_dim", WIDTH, Value("512"), "dimension to which a shared linear layer projects the rows of several outputs, before each output's own `project`")
        .also(&["output_num_channels", "decoder_dim"]);
    pub static FINAL_NORM: Key = key("final_norm", FLAG, Value("false"), "whether the latents are normalised after the last layer")
        .also(&["norm", "norm_out", "ln_post", "layer_norm"]);
}
pub use root::*;

pub static FAMILIES: &[Variant] = &[
    Variant { name: "PerceiverPytorch", form: Form::Unit, doc: "perceiver-pytorch 0.11" },
    Variant {
        name: "Transformers",
        form: Form::Unit,
        doc: "Hugging Face's Transformers: the published checkpoints of Perceiver IO",
    },
    Variant {
        name: "PerceiverAr",
        form: Form::Unit,
        doc: "a Perceiver AR, a language model, as in perceiver-io 0.11: the published checkpoints of `CausalSequenceModel`",
    },
];

pub static LATENT_SOURCES: &[Variant] = &[
    Variant { name: "Learned", form: Form::Unit, doc: "`num_latents` learned latents" },
    Variant {
        name: "Last",
        form: Form::Value(&LAST),
        doc: "the last tokens, at most this many, each of which attends to those before it, in the family `PerceiverAr`",
    },
];

pub static ALL_LAYERS: &[Variant] =
    &[Variant { name: "All", form: Form::Unit, doc: "all self attentions" }];

pub static TEXT_POSITIONS: &[Variant] = &[
    Variant {
        name: "Learned",
        form: Form::Unit,
        doc: "a learned row for each position, added to the embedding",
    },
    Variant {
        name: "Rotary",
        form: Form::Value(&ROTARY_SHARE),
        doc: "rotates this share of each head's queries and keys by their positions, in the family `PerceiverAr`",
    },
];

pub static SHARES: &[Variant] = &[
    Variant { name: "None", form: Form::Unit, doc: "every layer has its own weights" },
    Variant {
        name: "AllButFirst",
        form: Form::Unit,
        doc: "all layers after the first share one set of weights",
    },
    Variant { name: "All", form: Form::Unit, doc: "all layers share one set of weights" },
];

pub static FEED_FORWARDS: &[Variant] = &[GEGLU, GELU, TANH_GELU, RELU, SQUARED_RELU];
pub static DECODER_FEED_FORWARDS: &[Variant] =
    &[GEGLU, GELU, TANH_GELU, RELU, SQUARED_RELU, NO_FEED_FORWARD];

const GEGLU: Variant = Variant { name: "Geglu", form: MLP, doc: "GELU with a gate (GEGLU)" };
const GELU: Variant = Variant { name: "Gelu", form: MLP, doc: "GELU, computed exactly" };
const TANH_GELU: Variant =
    Variant { name: "TanhGelu", form: MLP, doc: "GELU, approximated with tanh" };
const RELU: Variant = Variant { name: "Relu", form: MLP, doc: "ReLU" };
const SQUARED_RELU: Variant = Variant { name: "SquaredRelu", form: MLP, doc: "squared ReLU" };
const NO_FEED_FORWARD: Variant =
    Variant { name: "None", form: Form::Unit, doc: "no feed-forward layer, only in `Queries`" };
const MLP: Form = Form::ValueOrKeys(&[&MULT, &BIAS]);

pub static INPUTS: &[Variant] = &[
    GRID,
    TEXT,
    TOKENS,
    ONE_HOT,
    Variant {
        name: "Modalities",
        form: Form::Named(&MODALITY_INPUT),
        doc: "several of these inputs, which `forward` takes as a struct with a field for each: `NameInput { .. }` for a model `Name`",
    },
];

/// What one of several inputs can be.
pub static MODALITY_INPUTS: &[Variant] = &[GRID, TEXT, TOKENS, ONE_HOT];

const GRID: Variant = Variant {
    name: "Grid",
    form: Form::Keys(&[&SHAPE, &AXES, &CHANNELS, &STEM, &POSITION]),
    doc: "a tensor `(batch, axis 1, .., channels)` with one to four axes: a sequence, an image, a video",
};
const TEXT: Variant = Variant {
    name: "Text",
    form: Form::Keys(&[&VOCAB, &MAX_LEN, &TEXT_DIM, &TEXT_POSITION]),
    doc: "token ids, a tensor `(batch, tokens)` of `usize`, which are embedded",
};
const TOKENS: Variant = Variant {
    name: "Tokens",
    form: Form::Value(&TOKEN_DIM),
    doc: "vectors without positions, a tensor `(batch, tokens, dim)`: neither their order nor their number is visible to the model; for positions use `Grid { axes: 1, channels, position: .. }`",
};
const ONE_HOT: Variant = Variant {
    name: "OneHot",
    form: Form::Keys(&[&ONE_HOT_CLASSES, &MASK]),
    doc: "a tensor `(batch, classes)`, which becomes a single token: a class as a one-hot vector, or any other numbers",
};

const FOURIER: Form = Form::Keys(&[&BANDS, &GRID_MAX_FREQ, &BASE, &ENDPOINT]);

pub static POSITIONS: &[Variant] = &[
    Variant {
        name: "Fourier",
        form: FOURIER,
        doc: "Fourier features, appended to the channels: positions span each axis from its first to its last, padding included, so padding an input of any size (`axes`) changes the result; with `shape` they are fixed",
    },
    Variant {
        name: "Learned",
        form: Form::Keys(&[&POSITION_CHANNELS, &POSITION_PROJECT]),
        doc: "a learned row for each position of an input of a fixed `shape`, appended to the channels",
    },
    Variant {
        name: "Given",
        form: Form::Value(&POSITION_WIDTH),
        doc: "numbers for each position, such as the coordinates of points, which are passed with the input and appended to the channels: `forward((input, positions))`",
    },
    Variant { name: "None", form: Form::Unit, doc: "no position encoding" },
];

pub static STEMS: &[Variant] = &[
    Variant {
        name: "Patches",
        form: Form::Value(&PATCH),
        doc: "joins the channels of each patch of this size into those of one token; an axis that has a single patch is dropped",
    },
    Variant {
        name: "Linear",
        form: Form::Value(&STEM_WIDTH),
        doc: "a linear layer to this number of channels",
    },
    Variant {
        name: "ConvPool",
        form: Form::Value(&STEM_WIDTH),
        doc: "a convolution of an image to this number of channels, batch normalisation, ReLU and max pooling: 224 × 224 pixels become 55 × 55",
    },
];

pub static OUTPUTS: &[Variant] = &[
    Variant {
        name: "MeanPool",
        form: Form::Value(&CLASSES),
        doc: "logits, or any other numbers, such as 1 for regression, from the mean of the latents",
    },
    Variant {
        name: "ClassQuery",
        form: Form::Value(&CLASSES),
        doc: "logits, or any other numbers, from a learned query that attends to the latents",
    },
    Variant {
        name: "Queries",
        form: Form::Keys(&[
            &QUERIES,
            &HEADS,
            &DIM_HEAD,
            &OUTPUT_QK_CHANNELS,
            &OUTPUT_V_CHANNELS,
            &QUERY_RESIDUAL,
            &OUTPUT_FEED_FORWARD,
            &PROJECT,
            &SCALE,
        ]),
        doc: "a row for each of several queries, which attend to the latents",
    },
    Variant {
        name: "Latents",
        form: Form::Unit,
        doc: "the latents themselves, `(batch, num_latents, latent_dim)`",
    },
    Variant {
        name: "Embedding",
        form: Form::UnitOrKeys(&[&LOGIT_BIAS]),
        doc: "logits for the ids of `Text`, computed with its embedding, in the family `PerceiverAr`",
    },
    Variant {
        name: "Modalities",
        form: Form::Named(&MODALITY_OUTPUT),
        doc: "several outputs, which share a decoder; `forward` returns a struct with a field for each: `NameOutput { .. }` for a model `Name`",
    },
];

/// What one of several outputs can be.
pub static MODALITY_OUTPUTS: &[Variant] = &[Variant {
    name: "Queries",
    form: Form::Keys(&[&MODALITY_QUERIES, &MODALITY_PROJECT]),
    doc: "a row for each of several queries; all outputs share the block in which they attend to the latents",
}];

const LEARNED_QUERIES: Variant = Variant {
    name: "Learned",
    form: Form::Value(&LEARNED),
    doc: "learned queries; the output is `(batch, rows, ..)`",
};
const GRID_QUERIES: Variant = Variant {
    name: "Grid",
    form: Form::Keys(&[&QUERY_SHAPE, &QUERY_POSITION]),
    doc: "the position encodings of a grid, one query for each of its positions; the output is `(batch, axis 1, .., ..)`",
};

/// The queries that one of several outputs can have.
pub static MODALITY_QUERY_SOURCES: &[Variant] = &[LEARNED_QUERIES, GRID_QUERIES];

/// The position encodings that queries can have.
pub static QUERY_POSITIONS: &[Variant] =
    &[Variant { name: "Fourier", form: FOURIER, doc: "Fourier features" }];

pub static QUERY_SOURCES: &[Variant] = &[
    LEARNED_QUERIES,
    GRID_QUERIES,
    Variant {
        name: "Given",
        form: Form::Value(&GIVEN),
        doc: "queries of this dimension, which are passed with the input: `forward((input, queries))`",
    },
    Variant {
        name: "Input",
        form: Form::Unit,
        doc: "the tokens of the input, which must be `Text`, have a single axis, or have a fixed `shape`; the output has the same axes",
    },
];

/// How the rows of one of several outputs can be projected.
pub static MODALITY_PROJECTIONS: &[Variant] = &[NO_PROJECTION];
const NO_PROJECTION: Variant =
    Variant { name: "None", form: Form::Unit, doc: "rows are returned as they are" };

pub static PROJECTIONS: &[Variant] = &[
    Variant {
        name: "Embedding",
        form: Form::Unit,
        doc: "logits for the ids of `Text`, computed with its embedding",
    },
    NO_PROJECTION,
];

#[rustfmt::skip] // one key, one row
mod nested {
    use super::*;

    pub static SHAPE: Key = key("shape", Kind::Shape, Absent(""), "sizes of all axes and the number of channels, such as `[224, 224, 3]`; replaces `axes` and `channels`")
        .also(&["input_shape", "image_size", "img_size", "size", "sizes"]);
    pub static AXES: Key = key("axes", Kind::Count { min: 1, max: 4 }, RequiredUnless("`shape` is given"), "number of axes of inputs of any size: 1 for a sequence, 2 for an image, 3 for a video; at most 4")
        .also(&["input_axis", "axis", "num_axes", "ndim"]);
    pub static CHANNELS: Key = key("channels", WIDTH, RequiredUnless("`shape` is given"), "number of input channels")
        .also(&["input_channels", "in_channels", "num_channels", "dim", "input_dim"]);
    pub static STEM: Key = key("stem", Kind::List(STEMS), Absent("each position is a token"), "steps, in order, that turn the input into tokens before their positions are encoded")
        .also(&["patch", "patches", "patch_size", "prep_type", "conv"]);
    pub static PATCH: Key = key("[size, ..]", Kind::Sizes, Required, "size of a patch along each axis");
    pub static STEM_WIDTH: Key = key("width", WIDTH, Required, "number of channels after the step");
    pub static POSITION_CHANNELS: Key = key("channels", WIDTH, Required, "width of a learned row")
        .also(&["dim", "width", "num_channels", "trainable"]);
    pub static POSITION_PROJECT: Key = key("project", WIDTH, Absent("rows are appended as they are"), "width to which a linear layer projects the rows before they are appended")
        .also(&["project_pos_dim", "projection"]);
    pub static POSITION_WIDTH: Key = key("width", WIDTH, Required, "width of the positions");
    pub static POSITION: Key = key("position", Kind::Choice(POSITIONS), Value("None"), "position encoding")
        .also(&["pos", "position_encoding", "fourier_encode_data", "fourier", "encoding"]);
    pub static BANDS: Key = key("bands", REPEATS, Required, "number of frequency bands along each axis")
        .also(&["num_freq_bands", "num_bands", "n_bands", "frequencies"]);
    pub static GRID_MAX_FREQ: Key = key("max_freq", Kind::PerAxis, Required, "sampling rate of the encoding along every axis, or `[..]` with one for each; its highest frequency is half of this (Nyquist)")
        .also(&["max_resolution", "freq"]);
    pub static BASE: Key = key("base", Kind::Base, Absent("bands are spaced linearly, as in the paper"), "base of logarithmically spaced frequency bands, as in the TensorFlow package")
        .also(&["freq_base", "log_base"]);
    pub static ENDPOINT: Key = key("endpoint", FLAG, Value("true"), "whether the last of `n` positions along an axis is 1, as in `linspace(-1, 1, n)`; otherwise position `i` is `-1 + 2·i/n`");
    pub static ONE_HOT_CLASSES: Key = key("classes", WIDTH, Required, "number of classes")
        .also(&["num_classes", "num_labels", "channels"]);
    pub static MASK: Key = key("mask", Kind::Probability, Absent("never"), "rate at which the token is replaced by a learned one: always at `1.0`, otherwise only in training")
        .also(&["mask_prob", "mask_probs", "dropout"]);
    pub static MODALITY_INPUT: Key = key("input", Kind::Choice(MODALITY_INPUTS), Required, "input");
    pub static MODALITY_OUTPUT: Key = key("output", Kind::Choice(MODALITY_OUTPUTS), Required, "output");
    pub static MODALITY_QUERIES: Key = key("queries", Kind::Choice(MODALITY_QUERY_SOURCES), Required, QUERIES.doc)
        .also(QUERIES.also);
    pub static MODALITY_PROJECT: Key = key("project", Kind::CountOr { max: 1 << 28, variants: MODALITY_PROJECTIONS }, Value("None"), PROJECT.doc)
        .also(PROJECT.also);
    pub static QUERY_SHAPE: Key = key("shape", Kind::Sizes, Required, "sizes of the axes, such as `[16, 224, 224]`")
        .also(&["axes", "size", "sizes", "output_shape"]);
    pub static QUERY_POSITION: Key = key("position", Kind::Choice(QUERY_POSITIONS), Required, "position encoding that makes up the queries")
        .also(POSITION.also);
    pub static TOKEN_DIM: Key = key("dim", WIDTH, Required, "dimension of each token");
    pub static VOCAB: Key = key("vocab", Kind::Count { min: 1, max: 1 << 28 }, Required, "size of the vocabulary; ids must be below it")
        .also(&["vocab_size", "num_tokens", "num_embeddings"]);
    pub static MAX_LEN: Key = key("max_len", WIDTH, Required, "largest number of tokens of an input")
        .also(&["max_seq_len", "max_length", "len", "max_position_embeddings"]);
    pub static TEXT_DIM: Key = key("dim", WIDTH, Required, "dimension of the embedding")
        .also(&["d_model", "embed_dim", "channels", "width"]);
    pub static TEXT_POSITION: Key = key("position", Kind::OneOrList(TEXT_POSITIONS), Absent("`Learned`; `[Learned, Rotary(0.5)]` in the family `PerceiverAr`"), "position encoding of the tokens")
        .also(POSITION.also);
    pub static ROTARY_SHARE: Key = key("share", Kind::Probability, Required, "share of the channels of each head that is rotated");
    pub static LAST: Key = key("n", WIDTH, Required, "largest number of latents");
    pub static LOGIT_BIAS: Key = key("bias", FLAG, Value("true"), "whether the logits have a bias");
    pub static MULT: Key = key("mult", Kind::Count { min: 1, max: 64 }, Required, "width of the hidden layer, as a multiple of the input's");
    pub static BIAS: Key = key("bias", FLAG, Value("true"), "whether the linear layers have biases");
    pub static QUERIES: Key = key("queries", Kind::Choice(QUERY_SOURCES), Required, "queries that attend to the latents, one for each row of the output")
        .also(&["query", "num_queries", "latents"]);
    pub static LEARNED: Key = key("[rows, dim]", Kind::Rows, Required, "learned queries");
    pub static GIVEN: Key = key("dim", WIDTH, Required, "dimension of each query");
    pub static HEADS: Key = key("heads", REPEATS, Absent("that of the cross attentions; 1 in the family `Transformers`"), "number of heads with which queries attend to the latents")
        .also(&["num_heads", "n_heads", "cross_heads", "decoder_heads"]);
    pub static DIM_HEAD: Key = key("dim_head", WIDTH, Absent("that of the cross attentions; `latent_dim` / `heads` in the family `Transformers`"), "dimension of each of these heads")
        .also(&["head_dim", "dim_heads", "cross_dim_head"]);
    pub static OUTPUT_QK_CHANNELS: Key = key("qk_channels", WIDTH, Absent("heads × dimension of a head"), "width of these queries and keys of all heads together");
    pub static OUTPUT_V_CHANNELS: Key = key("v_channels", WIDTH, Absent("that of queries and keys"), "width of these values of all heads together");
    pub static QUERY_RESIDUAL: Key = key("query_residual", FLAG, Value("false"), "whether each query is added to what it attends to")
        .also(&["use_query_residual", "residual"]);
    pub static OUTPUT_FEED_FORWARD: Key = key("feed_forward", Kind::Choice(DECODER_FEED_FORWARDS), Absent("that of the other blocks"), "feed-forward layer after this attention")
        .also(&["decoder_ff", "mlp", "ff"]);
    pub static SCALE: Key = key("scale", Kind::Positive, Value("1.0"), "factor that the output is multiplied by")
        .also(&["rescale_factor", "factor"]);
    pub static PROJECT: Key = key("project", Kind::CountOr { max: 1 << 28, variants: PROJECTIONS }, Value("None"), "dimension to which a linear layer projects each row, or `None` for rows as they are")
        .also(&["num_classes", "logits_dim", "output_dim", "dim", "vocab", "projection"]);
    pub static CLASSES: Key = key("num_classes", Kind::Count { min: 1, max: 1 << 28 }, Required, "number of logits, or of any other numbers that the model returns, such as 1 for regression");
}
pub use nested::*;

/// Keys of constants that are written under another name, or follow from others.
#[rustfmt::skip] // one key, one row
mod constants {
    use super::*;
    use crate::schema::constant;

    pub static NUM_QUERIES: Key = key("num_queries", WIDTH, Required, "number of queries");
    pub static NUM_ROTARY_LAYERS: Key = key("rotary_layers", REPEATS, Required, "number of self attentions whose queries and keys are rotated");
    pub static MAX_LATENTS: Key = constant("num_latents", &LAST);
    pub static QUERY_DIM: Key = key("query_dim", WIDTH, Required, "dimension of each query");
    pub static OUTPUT_DIM: Key = key("output_dim", Kind::Count { min: 1, max: 1 << 28 }, Required, "dimension of each row of the output");
    pub static DECODER_HEADS: Key = constant("decoder_heads", &HEADS);
    pub static DECODER_DIM_HEAD: Key = constant("decoder_dim_head", &DIM_HEAD);
    pub static DECODER_QK_CHANNELS: Key = constant("decoder_qk_channels", &OUTPUT_QK_CHANNELS);
    pub static DECODER_V_CHANNELS: Key = constant("decoder_v_channels", &OUTPUT_V_CHANNELS);
}
pub use constants::*;
