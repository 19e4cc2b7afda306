//! The constants of models: what is declared, defaults, and what follows from them.

use perceiver::prelude::*;

use crate::{Small, small};

perceiver! {
    /// Every key that has a default is left out. Nothing is ever built of this one: it would be large.
    #[derive(Clone)]
    struct Never {
        depth: 1,
        num_freq_bands: 2,
        max_freq: 4.0,
    }
}

mod seed {
    //! The seed's README model, in the bare form.
    use perceiver::prelude::*;

    perceiver! {
        input_channels: 3,
        input_axis: 2,
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 6,
        num_latents: 256,
        latent_dim: 512,
        cross_heads: 1,
        latent_heads: 8,
        cross_dim_head: 64,
        latent_dim_head: 64,
        num_classes: 1000,
        attn_dropout: 0.0,
        ff_dropout: 0.0,
        weight_tie_layers: false,
        fourier_encode_data: true,
        self_per_cross_attn: 1
    }

    perceiver! {
        struct Deeper {
            num_freq_bands: 6, max_freq: 10, depth: 6, num_latents: 256, self_per_cross_attn: 2,
        }
    }

    perceiver! {
        struct Tied {
            num_freq_bands: 6, max_freq: 10., depth: 6, num_latents: 256, self_per_cross_attn: 2,
            weight_tie_layers: true,
        }
    }

    #[test]
    fn has_the_references_parameters() {
        assert_eq!(Perceiver::PARAMETERS, 45_187_140);
        assert_eq!(Deeper::PARAMETERS, 70_395_972);
        assert_eq!(Tied::PARAMETERS, 23_895_388);
    }
}

#[test]
fn every_key_is_a_constant_with_the_references_default() {
    assert_eq!(Never::DEPTH, 1);
    assert_eq!(Never::NUM_FREQ_BANDS, 2);
    assert_eq!(Never::MAX_FREQ, 4.0);
    assert_eq!(Never::INPUT_CHANNELS, 3);
    assert_eq!(Never::INPUT_AXIS, 2);
    assert_eq!(Never::INPUT_SHAPE, None);
    assert_eq!(Never::NUM_LATENTS, 512);
    assert_eq!(Never::LATENT_DIM, 512);
    assert_eq!(Never::CROSS_HEADS, 1);
    assert_eq!(Never::LATENT_HEADS, 8);
    assert_eq!(Never::CROSS_DIM_HEAD, 64);
    assert_eq!(Never::LATENT_DIM_HEAD, 64);
    assert_eq!(Never::NUM_CLASSES, 1000);
    assert_eq!(Never::ATTN_DROPOUT, 0.0);
    assert_eq!(Never::FF_DROPOUT, 0.0);
    assert_eq!(Never::FREQ_BASE, None);
    const { assert!(!Never::WEIGHT_TIE_LAYERS) };
    const { assert!(Never::FOURIER_ENCODE_DATA) };
    assert_eq!(Never::SELF_PER_CROSS_ATTN, 1);
    const { assert!(Never::FINAL_CLASSIFIER_HEAD) };
    const { assert!(!Never::INVERTED_CROSS_ATTN) };
    assert_eq!(Never::INPUT_DIM, 3 + 2 * (2 * 2 + 1));

    assert_eq!(Small::INPUT_CHANNELS, 2);
    assert_eq!(Small::MAX_FREQ, 8.0);
    assert_eq!(Small::NUM_CLASSES, 5);
}

/// What the constants of a model say of its heads, and which layers there are.
#[test]
fn widths_and_layers_are_as_declared() {
    perceiver! {
        struct Wide {
            family: Transformers, input: Tokens(6), num_latents: 4, latent_dim: 12, cross_heads: 2, latent_heads: 3,
            qk_channels: 6, v_channels: 12, depth: 3, self_per_cross_attn: 1, output: Latents,
        }

        struct Resampler {
            input: Tokens(6), num_latents: 4, latent_dim: 8, cross_dim_head: 4, depth: 3, self_per_cross_attn: 0,
            feed_forward: Gelu { mult: 2, bias: false }, attn_bias: false, share: All, cross_attends: 2,
            output: Latents,
        }
    }
    let dev = Cpu::default();
    let (wide, resampler) = (dev.build_module::<Wide, f32>(), dev.build_module::<Resampler, f32>());
    assert_eq!((Wide::CROSS_DIM_HEAD, Wide::LATENT_DIM_HEAD, Wide::CROSS_ATTENDS), (3, 2, 1));
    assert_eq!(wide.num_trainable_params(), Wide::PARAMETERS);
    let layers = wide.layers.view();
    assert_eq!((layers.len(), layers[0].latent.len()), (1, 1));
    assert_eq!(layers[0].cross.as_ref().unwrap().attention.to_kv.weight.as_vec().len(), 18 * 6);

    assert_eq!(resampler.num_trainable_params(), Resampler::PARAMETERS);
    let layers = resampler.layers.view();
    let cross = layers[0].cross.as_ref().unwrap();
    let feed_forward = cross.feed_forward.as_ref().unwrap();
    assert!(layers.len() == 1 && layers[0].latent.is_empty());
    assert!(cross.attention.to_out.bias.is_none() && feed_forward.expand.bias.is_none());
    assert_eq!(feed_forward.expand.weight.as_vec().len(), 16 * 8);
    let tokens: Tensor<Rank3<2, 5, 6>, f32, _> = dev.sample_normal();
    assert_eq!(resampler.forward(tokens).as_vec().len(), 2 * 4 * 8);
}

#[test]
fn parameters_are_what_dfdx_counts() {
    assert_eq!(small().1.num_trainable_params(), Small::PARAMETERS);
}

/// A literal in parentheses is a literal.
mod parentheses {
    use perceiver::prelude::*;

    perceiver! {
        struct Model {
            depth: (1),
            input_axis: (1),
            input_channels: (2),
            fourier_encode_data: (false),
            final_classifier_head: (false),
            num_latents: (3),
            latent_dim: (4),
            attn_dropout: ((0.5)),
        }
    }

    #[test]
    fn change_nothing() {
        let dev = Cpu::default();
        let model = dev.build_module::<Model, f32>();
        let x: Tensor<Rank3<1, 5, 2>, f32, _> = dev.sample_normal();
        let _: Tensor<Rank3<1, 3, 4>, f32, _> = model.forward(x);
        assert_eq!(Model::INPUT_DIM, 2);
    }
}
