//! Written by the tests of `perceiver-macros`, from the table of keys.

/// What rust-analyzer sees in place of a declaration's keys.
pub struct Keys {
    /// The number of layers, each a cross attention and its self attentions.
    pub depth: (),
    /// The number of frequency bands of the position encoding, for each axis.
    pub num_freq_bands: (),
    /// The number of positions along an axis that the position encoding tells apart: its highest frequency is half of it.
    pub max_freq: (),
    /// The number of channels of a position of the input.
    pub input_channels: (),
    /// The number of axes of the input: 1 for a sequence, 2 for an image, 3 for a video; at most 4.
    pub input_axis: (),
    /// The sizes of all axes and the channels, `[224, 224, 3]`, in place of `input_axis` and `input_channels`.
    pub input_shape: (),
    /// The number of latents.
    pub num_latents: (),
    /// The width of a latent.
    pub latent_dim: (),
    /// The number of heads of the cross attentions.
    pub cross_heads: (),
    /// The number of heads of the self attentions.
    pub latent_heads: (),
    /// The width of a head of the cross attentions.
    pub cross_dim_head: (),
    /// The width of a head of the self attentions.
    pub latent_dim_head: (),
    /// The number of logits.
    pub num_classes: (),
    /// The probability with which training drops an attention weight.
    pub attn_dropout: (),
    /// The probability with which training drops a value of a feed-forward.
    pub ff_dropout: (),
    /// The base of logarithmically spaced frequency bands, as in the TensorFlow package; absent, the bands are linearly spaced, as in the paper.
    pub freq_base: (),
    /// Whether all layers but the first share one set of weights.
    pub weight_tie_layers: (),
    /// Whether the position encoding is appended to the input.
    pub fourier_encode_data: (),
    /// The number of self attentions after each cross attention.
    pub self_per_cross_attn: (),
    /// Whether `forward` gives logits; without, it gives the latents.
    pub final_classifier_head: (),
    /// Whether the latents compete for each token (softmax over the latents).
    pub inverted_cross_attn: (),
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
    };
}

/// What the compiler says about constants.
pub mod ranges {
    pub use crate::declare::ranges::*;

    range! { Depth<WHOLE>, "`depth` has to be a whole number from 1 to 4096, found `{WHOLE}`" }
    range! { NumFreqBands<WHOLE>, "`num_freq_bands` has to be a whole number from 1 to 4096, found `{WHOLE}`" }
    range! { MaxFreq<WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS>, "`max_freq` has to be a number above 0, found `{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`" }
    range! { NegativeMaxFreq<WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS>, "`max_freq` has to be a number above 0, found `-{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`" }
    range! { EndlessMaxFreq<>, "`max_freq` has to be a number above 0, found `NaN` or an infinite number" }
    range! { InputChannels<WHOLE>, "`input_channels` has to be a whole number from 1 to 1048576, found `{WHOLE}`" }
    range! { InputAxis<WHOLE>, "`input_axis` has to be a whole number from 1 to 4, found `{WHOLE}`" }
    range! { InputShape<WHOLE>, "each size of `input_shape` has to be a whole number from 1 to 1048576, found `{WHOLE}`" }
    range! { NumLatents<WHOLE>, "`num_latents` has to be a whole number from 1 to 1048576, found `{WHOLE}`" }
    range! { LatentDim<WHOLE>, "`latent_dim` has to be a whole number from 1 to 1048576, found `{WHOLE}`" }
    range! { CrossHeads<WHOLE>, "`cross_heads` has to be a whole number from 1 to 4096, found `{WHOLE}`" }
    range! { LatentHeads<WHOLE>, "`latent_heads` has to be a whole number from 1 to 4096, found `{WHOLE}`" }
    range! { CrossDimHead<WHOLE>, "`cross_dim_head` has to be a whole number from 1 to 1048576, found `{WHOLE}`" }
    range! { LatentDimHead<WHOLE>, "`latent_dim_head` has to be a whole number from 1 to 1048576, found `{WHOLE}`" }
    range! { NumClasses<WHOLE>, "`num_classes` has to be a whole number from 1 to 268435456, found `{WHOLE}`" }
    range! { AttnDropout<WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS>, "`attn_dropout` has to be a number of at least 0 and below 1, found `{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`" }
    range! { NegativeAttnDropout<WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS>, "`attn_dropout` has to be a number of at least 0 and below 1, found `-{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`" }
    range! { EndlessAttnDropout<>, "`attn_dropout` has to be a number of at least 0 and below 1, found `NaN` or an infinite number" }
    range! { FfDropout<WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS>, "`ff_dropout` has to be a number of at least 0 and below 1, found `{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`" }
    range! { NegativeFfDropout<WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS>, "`ff_dropout` has to be a number of at least 0 and below 1, found `-{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`" }
    range! { EndlessFfDropout<>, "`ff_dropout` has to be a number of at least 0 and below 1, found `NaN` or an infinite number" }
    range! { FreqBase<WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS>, "`freq_base` has to be a number above 0 other than 1, found `{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`" }
    range! { NegativeFreqBase<WHOLE, TENTHS, HUNDREDTHS, THOUSANDTHS>, "`freq_base` has to be a number above 0 other than 1, found `-{WHOLE}.{TENTHS}{HUNDREDTHS}{THOUSANDTHS}`" }
    range! { EndlessFreqBase<>, "`freq_base` has to be a number above 0 other than 1, found `NaN` or an infinite number" }
    range! { SelfPerCrossAttn<WHOLE>, "`self_per_cross_attn` has to be a whole number from 1 to 4096, found `{WHOLE}`" }
}
