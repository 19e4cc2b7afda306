//! Models of the rest of the family agree with their references, whose numbers are in `tests/family/`.

#[path = "../compare/mod.rs"]
mod compare;
mod hf_modalities;
mod published;
mod queries;
#[macro_use]
mod reference;

use ::safetensors::SafeTensors;
use perceiver::dfdx::nn::BuildModule;
use perceiver::dfdx::optim::{Optimizer, Sgd, SgdConfig};
use perceiver::prelude::*;

use reference::{File, assert_close, shapes};

case!(
    hf_fourier, 151_840,
    {
        family: Transformers,
        input: Grid { axes: 2, channels: 3, position: Fourier { bands: 64, max_freq: [224.0, 224.0] } },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 2, self_per_cross_attn: 2,
        output: ClassQuery(5),
    },
    IO.tensor::<_, E>("x", (2, 6, 7, Const::<3>)),
    |x| x,
    x.leaky_trace(),
    d_x: x
);

case!(
    hf_text_class, 28_403,
    {
        family: Transformers, input: Text { vocab: 30, max_len: 11, dim: 16 }, num_latents: 6, latent_dim: 32,
        cross_heads: 2, latent_heads: 4, qk_channels: 16, v_channels: 32, depth: 1, self_per_cross_attn: 3,
        output: ClassQuery(3),
    },
    IO.ids((2, Const::<11>)),
    |x| (x, IO.mask((2, Const::<11>))),
    (x.leaky_trace(), IO.mask((2, Const::<11>)))
);

case!(
    hf_mlm, 36_222,
    {
        family: Transformers, input: Text { vocab: 30, max_len: 11, dim: 16 }, num_latents: 6, latent_dim: 32,
        cross_heads: 2, latent_heads: 4, qk_channels: 16, v_channels: 32, depth: 1, self_per_cross_attn: 3,
        output: Queries {
            queries: Learned([11, 16]), heads: 8, qk_channels: 256, v_channels: 16, query_residual: false,
            project: Embedding,
        },
    },
    IO.ids((2, Const::<11>)),
    |x| (x, IO.mask((2, Const::<11>))),
    (x.leaky_trace(), IO.mask((2, Const::<11>)))
);

case!(
    pp_io, 12_869,
    {
        input: Tokens(8), num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, cross_dim_head: 8,
        latent_dim_head: 8, depth: 2, cross_attends: 1, self_per_cross_attn: 1,
        output: Queries { queries: Given(6), query_residual: false, feed_forward: None, project: 5 },
    },
    (IO.tensor::<_, E>("x", (2, 13, Const::<8>)), IO.tensor::<_, E>("queries", (2, 5, Const::<6>))),
    |x| x,
    (x.0.leaky_trace(), x.1.leaky_trace()),
    d_x: x.0,
    d_queries: x.1
);

case!(
    pp_lm, 13_902,
    {
        input: Text { vocab: 30, max_len: 11, dim: 12 }, num_latents: 6, latent_dim: 16, cross_heads: 1,
        latent_heads: 2, cross_dim_head: 8, latent_dim_head: 8, depth: 2, cross_attends: 1, self_per_cross_attn: 1,
        output: Queries { queries: Input, query_residual: false, feed_forward: None, project: 30 },
    },
    IO.ids((2, 11)),
    |x| (x, IO.mask((2, 11))),
    (x.leaky_trace(), IO.mask((2, 11)))
);

case!(
    hf_learned, 622_389,
    {
        family: Transformers,
        input: Grid { shape: [5, 5, 3], stem: [Linear(256)], position: Learned { channels: 256, project: 256 } },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 2, self_per_cross_attn: 2,
        output: ClassQuery(5),
    },
    IO.tensor::<_, E>("x", (2, Const::<5>, Const::<5>, Const::<3>)),
    |x| x,
    x.leaky_trace(),
    d_x: x
);

case!(
    hf_flow, 448_078,
    {
        family: Transformers,
        input: Grid {
            shape: [2, 6, 4, 27], stem: [Patches([2, 1, 1]), Linear(64)],
            position: Fourier { bands: 64, max_freq: [6.0, 4.0] },
        },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 1, self_per_cross_attn: 2,
        output: Queries {
            queries: Input, heads: 1, qk_channels: 16, v_channels: 16, query_residual: false, project: 2, scale: 0.01,
        },
    },
    IO.tensor::<_, E>("x", (2, Const::<2>, Const::<6>, Const::<4>, Const::<27>)),
    |x| x,
    x.leaky_trace(),
    d_x: x
);

case!(
    hf_conv, 9_447,
    {
        family: Transformers,
        input: Grid {
            shape: [13, 11, 3], stem: [ConvPool(8)], position: Fourier { bands: 4, max_freq: [7.0, 6.0] },
        },
        num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 1, self_per_cross_attn: 2,
        attn_dropout: 0.0, output: ClassQuery(5),
    },
    IO.tensor::<_, E>("x", (2, Const::<13>, Const::<11>, Const::<3>)),
    |x| x,
    x.leaky_trace(),
    d_x: x
);

/// In training a batch norm has the statistics of the batch, and keeps some of them.
#[test]
fn a_batch_norm_is_trained() {
    use perceiver::input::StemView;
    perceiver! {
        struct Model {
            family: Transformers,
            input: Grid {
                shape: [13, 11, 3], stem: [ConvPool(8)], position: Fourier { bands: 4, max_freq: [7.0, 6.0] },
            },
            num_latents: 6, latent_dim: 16, cross_heads: 1, latent_heads: 2, depth: 1, self_per_cross_attn: 2,
            attn_dropout: 0.0, output: ClassQuery(5),
        }
    }
    const IO: File = File(include_bytes!("hf_conv.io.safetensors"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), include_bytes!("hf_conv.safetensors")).unwrap();
    let mut model = Model::<f32, Cpu>::build(&Cpu::default());
    model.load_checkpoint(file.path()).unwrap();
    let x: Tensor<Rank4<2, 13, 11, 3>, f32, _> = IO.tensor("x", Default::default());
    let gradients = model.alloc_grads();
    let out = model.forward_mut(x.clone().traced(gradients));
    assert_close(&IO, "out_training", &out.retaped::<NoneTape>(), 1e-4);
    let gradients = out.square().mean().backward();
    Sgd::new(&model, SgdConfig::default()).update(&mut model, &gradients).unwrap();
    {
        let view = model.input.view();
        let [StemView::ConvPool(stem)] = &view.stem[..] else {
            panic!("{view:?}");
        };
        let kept =
            |vector: &Tensor<(perceiver::spec::Width,), f32, Cpu>| -> Tensor<(usize,), f32, _> {
                vector.clone().realize()
            };
        assert_close(&IO, "running_mean", &kept(stem.norm.running_mean), 1e-5);
        assert_close(&IO, "running_var", &kept(stem.norm.running_var), 1e-5);
    }
    assert_eq!(model.num_trainable_params(), Model::PARAMETERS);
    assert_eq!(model.summary().parameters(), Model::PARAMETERS);

    // A pass that is no training changes nothing.
    let before = model.forward(x.clone()).as_vec();
    _ = model.forward_mut(x.clone());
    assert_eq!(model.forward(x).as_vec(), before);
}

case!(
    resampler, 4_056,
    {
        input: Tokens(12), queries_contribute_kv: true, depth: 2, self_per_cross_attn: 0, num_latents: 4, latent_dim: 12,
        cross_heads: 2, cross_dim_head: 8, feed_forward: Gelu { mult: 4, bias: false }, attn_bias: false,
        final_norm: true, output: Latents,
    },
    IO.tensor::<_, E>("x", (2, 9, Const::<12>)),
    |x| (x, IO.mask((2, 9))),
    (x.leaky_trace(), IO.mask((2, 9))),
    d_x: x
);

case!(
    ar, 13_422,
    {
        family: PerceiverAr, input: Text { vocab: 30, max_len: 20, dim: 16, position: [Learned, Rotary(0.5)] },
        latents: Last(6), cross_heads: 2, latent_heads: 2, depth: 1, self_per_cross_attn: 3, prefix_dropout: 0.5,
        rotary_layers: 1, output: Embedding,
    },
    IO.ids((2, 16)),
    |x| (x, 10),
    (x.leaky_trace(), 10)
);

case!(
    ar_rotary, 21_864,
    {
        family: PerceiverAr, input: Text { vocab: 30, max_len: 18, dim: 24, position: [Rotary(1.0)] },
        latents: Last(8), cross_heads: 3, latent_heads: 3, depth: 1, self_per_cross_attn: 2, prefix_dropout: 0.5,
        rotary_layers: All, final_norm: true, output: Embedding { bias: false },
    },
    IO.ids((2, 14)),
    |x| (x, 6),
    (x.leaky_trace(), 6)
);
