//! Tests for one data type, `E`.

use perceiver::dfdx::nn::ToDtype;
use perceiver::ops::{Attend, AttentionKernel, Mask, Record};
use perceiver::prelude::*;
use perceiver::spec::Heads;

use super::E;
use crate::compare::assert_close;

perceiver! {
    /// Some of everything, 32 latents of 64.
    struct Small {
        input_channels: 3,
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 2,
        num_latents: 32,
        latent_dim: 64,
        cross_dim_head: 32,
        latent_heads: 4,
        latent_dim_head: 16,
        num_classes: 10,
    }
}

perceiver! {
    struct Inverted {
        input_channels: 3,
        num_freq_bands: 6,
        max_freq: 10.0,
        depth: 2,
        num_latents: 32,
        latent_dim: 64,
        cross_dim_head: 32,
        latent_heads: 4,
        latent_dim_head: 16,
        num_classes: 10,
        inverted_cross_attn: true,
    }
}

/// What a number of half precision is in `f64`.
fn wide<S: Shape, E: Dtype>(x: &Tensor<S, E, Cpu>) -> Vec<f64> {
    x.as_vec().into_iter().map(|x| x.to_f64().expect("a number")).collect()
}

fn assert_finite(name: &str, numbers: &[f64]) {
    let finite = numbers.iter().filter(|x| x.is_finite()).count();
    assert_eq!(finite, numbers.len(), "finite numbers of {name}");
}

/// The gradients that are compared: those far from the logits, and the input's.
fn gradients<F: Dtype>(
    model: &Small<F, Cpu>,
    image: &Tensor<Rank4<2, 24, 20, 3>, F, Cpu>,
) -> Vec<(&'static str, Vec<f64>)>
where
    Cpu: Device<F>,
{
    let loss = model.forward(image.leaky_trace()).square().mean();
    let gradients = loss.backward();
    let layers = model.layers.view();
    let cross = layers[0].cross.as_ref().unwrap();
    let norm_context = cross.norm_context.as_ref().unwrap();
    let feed_forward = cross.feed_forward.as_ref().unwrap();
    vec![
        ("latents", wide(&gradients.get(&model.latents))),
        ("to_q", wide(&gradients.get(cross.attention.to_q.weight.tensor()))),
        ("to_kv", wide(&gradients.get(cross.attention.to_kv.weight.tensor()))),
        ("norm_context", wide(&gradients.get(norm_context.weight))),
        ("feed_forward", wide(&gradients.get(feed_forward.expand.weight.tensor()))),
        ("bias", wide(&gradients.get(feed_forward.expand.bias.unwrap()))),
        ("norm", wide(&gradients.get(model.output.view().norm.weight))),
        ("image", wide(&gradients.get(image))),
    ]
}

#[test]
fn logits_and_gradients_are_those_of_f32() {
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<Small, f32>().to_dtype::<E>();
    let image: Tensor<Rank4<2, 24, 20, 3>, f32, _> = dev.sample_normal();
    let image = image.to_dtype::<E>();
    // What half precision makes of parameters and input is not what is compared.
    let reference = model.to_dtype::<f32>();
    let reference_image = image.clone().to_dtype::<f32>();

    let found = wide(&model.forward(image.clone()));
    let expected = wide(&reference.forward(reference_image.clone()));
    assert_close("logits", &found, &expected, 1e-2);

    let found = gradients(&model, &image);
    let expected = gradients(&reference, &reference_image);
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        assert_close(name, found, expected, 3e-2);
    }
}

/// A model whose weights give scores of about ±10,000, and its gradients.
fn extreme(mask: bool) {
    let dev = Cpu::seed_from_u64(2);
    let mut model = dev.build_module::<Small, f32>();
    for layer in model.layers.view_mut() {
        for block in [layer.cross, layer.latent.into_iter().next()] {
            let attention = block.unwrap().attention;
            for weight in [attention.to_q.weight, attention.to_kv.weight] {
                *weight = weight.clone() * 150.0;
            }
        }
    }
    let model = model.to_dtype::<E>();
    let image: Tensor<Rank4<1, 224, 224, 3>, f32, _> = dev.sample_normal();
    let image = image.to_dtype::<E>();
    let known = dev.tensor_from_vec(vec![!mask; 224 * 224], (Const, Const, Const));

    let logits = model.forward((image.leaky_trace(), known));
    assert_finite("logits", &wide(&logits.with_empty_tape().split_tape().0));
    let gradients = logits.square().mean().backward();
    assert_finite("the image's gradient", &wide(&gradients.get(&image)));
    let weight = model.layers.view()[0].cross.as_ref().unwrap().attention.to_kv.weight;
    assert_finite("a weight's gradient", &wide(&gradients.get(weight.tensor())));
}

#[test]
fn large_scores_and_many_tokens_stay_numbers() {
    extreme(false);
}

#[test]
fn nothing_to_attend_to_is_no_division_by_zero() {
    extreme(true);
}

#[test]
fn scores_of_ten_thousand_choose_a_token() {
    const TOKENS: usize = 600;
    let dev = Cpu::default();
    // A score is 25 · 50 · 64 / √64 = 10,000, with the sign of the token.
    let sign = |token: usize| if token == 123 { 1.0 } else { -1.0 };
    let key_value: Vec<f32> = (0..TOKENS)
        .flat_map(|token| [[50.0 * sign(token); 64], [token as f32; 64]])
        .flatten()
        .collect();
    let query = dev.tensor_from_vec(vec![25.0; 3 * 64], (1, 3, 64)).to_dtype::<E>();
    let key_value = dev.tensor_from_vec(key_value, (1, TOKENS, 2 * 64)).to_dtype::<E>();
    let out = Cpu::try_attention(
        &mut Record::for_tape::<NoneTape>(),
        query,
        key_value,
        Heads::new(1, 64),
        &Mask::None,
        Attend::default(),
    );
    assert_eq!(wide(&out.unwrap()), [123.0; 3 * 64]);
}

#[test]
fn competing_latents_divide_by_small_sums() {
    let dev = Cpu::seed_from_u64(3);
    let model = dev.build_module::<Inverted, f32>().to_dtype::<E>();
    let image: Tensor<Rank4<1, 60, 60, 3>, f32, _> = dev.sample_normal();
    let image = image.to_dtype::<E>();
    let unknown = dev.tensor_from_vec(vec![false; 60 * 60], (Const, Const, Const));
    for input in [None, Some(unknown)] {
        let traced = image.leaky_trace();
        let logits = match input {
            None => model.forward(traced),
            Some(mask) => model.forward((traced, mask)),
        };
        assert_finite("logits", &wide(&logits.with_empty_tape().split_tape().0));
        let gradients = logits.square().mean().backward();
        assert_finite("the latents' gradient", &wide(&gradients.get(&model.latents)));
    }
}

perceiver! {
    /// Given queries, and latents that are a mean over the depth.
    struct Io {
        input: Tokens(8), num_latents: 16, latent_dim: 32, cross_dim_head: 16, latent_dim_head: 8, depth: 2,
        attn_residual: true, output: Queries { queries: Given(24), project: 5 },
    }

    /// Text, with the queries and the projection of a masked language model.
    struct Masked {
        family: Transformers, input: Text { vocab: 40, max_len: 12, dim: 16 }, num_latents: 8, latent_dim: 32, depth: 1,
        output: Queries { queries: Learned([12, 16]), project: Embedding },
    }

    struct Resampler {
        input: Tokens(32), num_latents: 8, latent_dim: 32, cross_dim_head: 16, depth: 2, self_per_cross_attn: 0,
        queries_contribute_kv: true, final_norm: true, output: Latents,
    }

    /// Patches, whose tokens are the queries.
    struct Flow {
        family: Transformers,
        input: Grid {
            shape: [2, 6, 4, 5], stem: [Patches([2, 1, 1]), Linear(12)],
            position: Fourier { bands: 3, max_freq: [6.0, 4.0] },
        },
        num_latents: 8, latent_dim: 32, cross_heads: 1, depth: 1, output: Queries { queries: Input, project: 2 },
    }

    /// A convolution whose batch norm has many positions, beside text, and two outputs.
    struct Film {
        family: Transformers,
        input: Modalities {
            image: Grid { shape: [120, 100, 3], stem: [ConvPool(8)], position: Fourier { bands: 4, max_freq: 30.0 } },
            text: Text { vocab: 40, max_len: 12, dim: 16 },
        },
        num_latents: 8, latent_dim: 32, cross_heads: 1, depth: 1, attn_dropout: 0.0,
        output: Modalities {
            class: Queries { queries: Learned([1, 16]), project: 5 },
            picture: Queries {
                queries: Grid { shape: [6, 4], position: Fourier { bands: 4, max_freq: 6.0 } }, project: 3,
            },
        },
        output_dim: 16,
    }
}

#[test]
fn the_rest_of_the_family_is_that_of_f32() {
    let dev = Cpu::seed_from_u64(4);
    macro_rules! check {
        ($Model:ident, $input:expr, |$x:ident| $wide:expr) => {
            let model = dev.build_module::<$Model, f32>().to_dtype::<E>();
            let $x = $input;
            let expected = wide(&model.to_dtype::<f32>().forward($wide));
            let found = wide(&model.forward($x));
            assert_close(stringify!($Model), &found, &expected, 2e-2);
        };
    }
    let rows = |rows: usize, width: usize| {
        let rows: Tensor<(usize, usize, usize), f32, Cpu> =
            dev.sample_normal_like(&(2, rows, width));
        rows.to_dtype::<E>()
    };
    let tokens = rows(9, 8).realize::<(usize, usize, Const<8>)>();
    let queries = rows(7, 24).realize::<(usize, usize, Const<24>)>();
    check!(Io, (tokens, queries), |x| (
        x.0.clone().to_dtype::<f32>(),
        x.1.clone().to_dtype::<f32>()
    ));
    let ids: Tensor<Rank2<2, 12>, usize, Cpu> =
        dev.tensor_from_vec((0..24).collect(), (Const, Const));
    check!(Masked, ids, |x| x.clone());
    let tokens = rows(9, 32).realize::<(usize, usize, Const<32>)>();
    check!(Resampler, tokens, |x| x.clone().to_dtype::<f32>());
    let frames: Tensor<Rank5<2, 2, 6, 4, 5>, f32, Cpu> = dev.sample_normal();
    check!(Flow, frames.to_dtype::<E>(), |x| x.clone().to_dtype::<f32>());
}

#[test]
fn several_inputs_and_outputs_are_those_of_f32() {
    let dev = Cpu::seed_from_u64(5);
    let mut model = dev.build_module::<Film, f32>().to_dtype::<E>();
    let image: Tensor<Rank4<2, 120, 100, 3>, f32, Cpu> = dev.sample_normal();
    let ids: Tensor<Rank2<2, 12>, usize, Cpu> =
        dev.tensor_from_vec((0..24).collect(), (Const, Const));
    let image = image.to_dtype::<E>();
    let mut exact = model.to_dtype::<f32>();
    let wide_input = FilmInput { image: image.clone().to_dtype::<f32>(), text: ids.clone() };
    let input = FilmInput { image: image.clone(), text: ids };

    let (found, expected) = (model.forward(input.clone()), exact.forward(wide_input.clone()));
    assert_close("class", &wide(&found.class), &wide(&expected.class), 2e-2);
    assert_close("picture", &wide(&found.picture), &wide(&expected.picture), 2e-2);
    let points = FilmPoints { picture: &[[5, 3], [0, 0]] };
    let (found, expected) =
        (model.forward_at(input.clone(), points), exact.forward_at(wide_input.clone(), points));
    assert_close("points", &wide(&found.picture), &wide(&expected.picture), 2e-2);

    // Training has the statistics of 6,000 positions.
    let traced = FilmInput { image: image.leaky_trace(), text: input.text };
    let trained = model.forward_mut(traced);
    let traced = FilmInput { image: wide_input.image.leaky_trace(), text: wide_input.text };
    let expected = exact.forward_mut(traced);
    let found = wide(&trained.picture.with_empty_tape().split_tape().0);
    assert_close("training", &found, &wide(&expected.picture.split_tape().0), 3e-2);
    let gradients = (trained.class.square().sum() + trained.picture.square().sum()).backward();
    assert_finite("the latents' gradient", &wide(&gradients.get(&model.latents)));
}
