//! What rust-analyzer sees in place of a declaration: its keys as fields.
//!
//! Generated from the schema in `perceiver-macros` by that crate's tests.

/// The keys of a declaration.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// The number of layers, each a cross attention and its self attentions.
    pub depth: (),
    /// The number of frequency bands of the position encoding along each axis.
    pub num_freq_bands: (),
    /// The sampling rate of the position encoding along every axis, or `[..]` with one for each; its highest frequency is half of this (Nyquist).
    pub max_freq: (),
    /// The number of input channels.
    pub input_channels: (),
    /// The number of input axes: 1 for a sequence, 2 for an image, 3 for a video; at most 4.
    pub input_axis: (),
    /// The sizes of all axes and the number of channels, such as `[224, 224, 3]`; replaces `input_axis` and `input_channels`.
    pub input_shape: (),
    /// The number of latents.
    pub num_latents: (),
    /// The dimension of each latent.
    pub latent_dim: (),
    /// The number of cross-attention heads.
    pub cross_heads: (),
    /// The number of self-attention heads.
    pub latent_heads: (),
    /// The dimension of each cross-attention head.
    pub cross_dim_head: (),
    /// The dimension of each self-attention head.
    pub latent_dim_head: (),
    /// The number of logits, or of any other numbers that the model returns, such as 1 for regression.
    pub num_classes: (),
    /// The dropout rate of attention weights.
    pub attn_dropout: (),
    /// The dropout rate of feed-forward outputs.
    pub ff_dropout: (),
    /// The base of logarithmically spaced frequency bands, as in the TensorFlow package.
    pub freq_base: (),
    /// Whether all layers after the first share one set of weights.
    pub weight_tie_layers: (),
    /// Whether the position encoding is appended to the input channels.
    pub fourier_encode_data: (),
    /// The number of self attentions in each layer, after its cross attention if it has one.
    pub self_per_cross_attn: (),
    /// Whether `forward` returns `num_classes` logits; otherwise it returns the latents, or what `output` says.
    pub final_classifier_head: (),
    /// Whether the latents compete for each token (softmax over the latents), in all layers or `[..]` in each.
    pub inverted_cross_attn: (),
    /// The reference implementation whose defaults and checkpoint format the model has.
    pub family: (),
    /// The input, in place of the keys from `input_channels` to `input_shape` and those of the position encoding.
    pub input: (),
    /// The output, in place of `num_classes` and `final_classifier_head`.
    pub output: (),
    /// The source of the latents.
    pub latents: (),
    /// The number of layers, from the first on, that begin with a cross attention.
    pub cross_attends: (),
    /// The layers that share their weights, in place of `weight_tie_layers`.
    pub share: (),
    /// The width of the queries and keys of all heads together.
    pub qk_channels: (),
    /// The width of the values of all heads together.
    pub v_channels: (),
    /// Whether the linear layers of the attentions have biases.
    pub attn_bias: (),
    /// The feed-forward layer of each block.
    pub feed_forward: (),
    /// Whether the cross attentions attend to the latents as well as to the tokens, as in Flamingo's resampler.
    pub queries_contribute_kv: (),
    /// Whether the latents are normalised after the last layer.
    pub final_norm: (),
    /// Whether each layer returns a weighted mean of its own result, those of all layers before it, and the initial latents, with weights computed from them.
    pub attn_residual: (),
    /// The rank of the linear map that computes the weights of `attn_residual`.
    pub attn_residual_rank: (),
    /// The share of the tokens before the latents that is dropped in training, in the family `PerceiverAr`.
    pub prefix_dropout: (),
    /// The number of self attentions, from the first on, whose queries and keys are rotated, in the family `PerceiverAr`; those of the cross attention always are.
    pub rotary_layers: (),
    /// The number of learned values appended to each token of the widest of several inputs; narrower ones get more, so that all tokens are equally wide.
    pub input_padding: (),
    /// The number of learned values appended to each query of the widest of several outputs; narrower ones get more.
    pub output_padding: (),
    /// The dimension to which a shared linear layer projects the rows of several outputs, before each output's own `project`.
    pub output_dim: (),
}

impl Keys {
    /// No key.
    pub const NONE: Self = Self {
        depth: (),
        num_freq_bands: (),
        max_freq: (),
        input_channels: (),
        input_axis: (),
        input_shape: (),
        num_latents: (),
        latent_dim: (),
        cross_heads: (),
        latent_heads: (),
        cross_dim_head: (),
        latent_dim_head: (),
        num_classes: (),
        attn_dropout: (),
        ff_dropout: (),
        freq_base: (),
        weight_tie_layers: (),
        fourier_encode_data: (),
        self_per_cross_attn: (),
        final_classifier_head: (),
        inverted_cross_attn: (),
        family: (),
        input: (),
        output: (),
        latents: (),
        cross_attends: (),
        share: (),
        qk_channels: (),
        v_channels: (),
        attn_bias: (),
        feed_forward: (),
        queries_contribute_kv: (),
        final_norm: (),
        attn_residual: (),
        attn_residual_rank: (),
        prefix_dropout: (),
        rotary_layers: (),
        input_padding: (),
        output_padding: (),
        output_dim: (),
    };
}

/// The keys of `Grid`: a tensor `(batch, axis 1, .., channels)` with one to four axes: a sequence, an image, a video.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// The sizes of all axes and the number of channels, such as `[224, 224, 3]`; replaces `axes` and `channels`.
    pub shape: (),
    /// The number of axes of inputs of any size: 1 for a sequence, 2 for an image, 3 for a video; at most 4.
    pub axes: (),
    /// The number of input channels.
    pub channels: (),
    /// The steps, in order, that turn the input into tokens before their positions are encoded.
    pub stem: (),
    /// The position encoding.
    pub position: (),
}

impl Grid {
    /// No key.
    pub const NONE: Self = Self {
        shape: (),
        axes: (),
        channels: (),
        stem: (),
        position: (),
    };
}

/// The keys of `Fourier`: Fourier features, appended to the channels: positions span each axis from its first to its last, padding included, so padding an input of any size (`axes`) changes the result; with `shape` they are fixed.
#[derive(Clone, Copy, Debug)]
pub struct Fourier {
    /// The number of frequency bands along each axis.
    pub bands: (),
    /// The sampling rate of the encoding along every axis, or `[..]` with one for each; its highest frequency is half of this (Nyquist).
    pub max_freq: (),
    /// The base of logarithmically spaced frequency bands, as in the TensorFlow package.
    pub base: (),
    /// Whether the last of `n` positions along an axis is 1, as in `linspace(-1, 1, n)`; otherwise position `i` is `-1 + 2·i/n`.
    pub endpoint: (),
}

impl Fourier {
    /// No key.
    pub const NONE: Self = Self {
        bands: (),
        max_freq: (),
        base: (),
        endpoint: (),
    };
}

/// The keys of `Learned`: a learned row for each position of an input of a fixed `shape`, appended to the channels.
#[derive(Clone, Copy, Debug)]
pub struct Learned {
    /// The width of a learned row.
    pub channels: (),
    /// The width to which a linear layer projects the rows before they are appended.
    pub project: (),
}

impl Learned {
    /// No key.
    pub const NONE: Self = Self {
        channels: (),
        project: (),
    };
}

/// The keys of `Text`: token ids, a tensor `(batch, tokens)` of `usize`, which are embedded.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The size of the vocabulary; ids must be below it.
    pub vocab: (),
    /// The largest number of tokens of an input.
    pub max_len: (),
    /// The dimension of the embedding.
    pub dim: (),
    /// The position encoding of the tokens.
    pub position: (),
}

impl Text {
    /// No key.
    pub const NONE: Self = Self {
        vocab: (),
        max_len: (),
        dim: (),
        position: (),
    };
}

/// The keys of `OneHot`: a tensor `(batch, classes)`, which becomes a single token: a class as a one-hot vector, or any other numbers.
#[derive(Clone, Copy, Debug)]
pub struct OneHot {
    /// The number of classes.
    pub classes: (),
    /// The rate at which the token is replaced by a learned one: always at `1.0`, otherwise only in training.
    pub mask: (),
}

impl OneHot {
    /// No key.
    pub const NONE: Self = Self {
        classes: (),
        mask: (),
    };
}

/// The keys of `Queries`: a row for each of several queries, which attend to the latents.
#[derive(Clone, Copy, Debug)]
pub struct Queries {
    /// The queries that attend to the latents, one for each row of the output.
    pub queries: (),
    /// The number of heads with which queries attend to the latents.
    pub heads: (),
    /// The dimension of each of these heads.
    pub dim_head: (),
    /// The width of these queries and keys of all heads together.
    pub qk_channels: (),
    /// The width of these values of all heads together.
    pub v_channels: (),
    /// Whether each query is added to what it attends to.
    pub query_residual: (),
    /// The feed-forward layer after this attention.
    pub feed_forward: (),
    /// The dimension to which a linear layer projects each row, or `None` for rows as they are.
    pub project: (),
    /// The factor that the output is multiplied by.
    pub scale: (),
}

impl Queries {
    /// No key.
    pub const NONE: Self = Self {
        queries: (),
        heads: (),
        dim_head: (),
        qk_channels: (),
        v_channels: (),
        query_residual: (),
        feed_forward: (),
        project: (),
        scale: (),
    };
}

/// The keys of `Geglu`: GELU with a gate (GEGLU).
#[derive(Clone, Copy, Debug)]
pub struct Geglu {
    /// The width of the hidden layer, as a multiple of the input's.
    pub mult: (),
    /// Whether the linear layers have biases.
    pub bias: (),
}

impl Geglu {
    /// No key.
    pub const NONE: Self = Self {
        mult: (),
        bias: (),
    };
}

/// The keys of `Gelu`: GELU, computed exactly.
#[derive(Clone, Copy, Debug)]
pub struct Gelu {
    /// The width of the hidden layer, as a multiple of the input's.
    pub mult: (),
    /// Whether the linear layers have biases.
    pub bias: (),
}

impl Gelu {
    /// No key.
    pub const NONE: Self = Self {
        mult: (),
        bias: (),
    };
}

/// The keys of `TanhGelu`: GELU, approximated with tanh.
#[derive(Clone, Copy, Debug)]
pub struct TanhGelu {
    /// The width of the hidden layer, as a multiple of the input's.
    pub mult: (),
    /// Whether the linear layers have biases.
    pub bias: (),
}

impl TanhGelu {
    /// No key.
    pub const NONE: Self = Self {
        mult: (),
        bias: (),
    };
}

/// The keys of `Relu`: ReLU.
#[derive(Clone, Copy, Debug)]
pub struct Relu {
    /// The width of the hidden layer, as a multiple of the input's.
    pub mult: (),
    /// Whether the linear layers have biases.
    pub bias: (),
}

impl Relu {
    /// No key.
    pub const NONE: Self = Self {
        mult: (),
        bias: (),
    };
}

/// The keys of `SquaredRelu`: squared ReLU.
#[derive(Clone, Copy, Debug)]
pub struct SquaredRelu {
    /// The width of the hidden layer, as a multiple of the input's.
    pub mult: (),
    /// Whether the linear layers have biases.
    pub bias: (),
}

impl SquaredRelu {
    /// No key.
    pub const NONE: Self = Self {
        mult: (),
        bias: (),
    };
}

/// The keys of `Embedding`: logits for the ids of `Text`, computed with its embedding, in the family `PerceiverAr`.
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    /// Whether the logits have a bias.
    pub bias: (),
}

impl Embedding {
    /// No key.
    pub const NONE: Self = Self {
        bias: (),
    };
}
