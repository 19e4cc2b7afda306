//! Attention weights, and outputs at some points.

mod compare;

use perceiver::ForwardError;
use perceiver::prelude::*;
use perceiver::spec::Width;

perceiver! {
    struct Image {
        input: Grid { axes: 2, channels: 3, position: Fourier { bands: 2, max_freq: 8.0 } },
        depth: 3, cross_attends: 2, num_latents: 4, latent_dim: 8, cross_heads: 2, cross_dim_head: 4, latent_heads: 2,
        latent_dim_head: 4, output: Latents,
    }

    struct Sequence { input: Tokens(5), depth: 1, num_latents: 3, latent_dim: 6, cross_heads: 2, cross_dim_head: 4, output: Latents }

    struct Inverted { input: Tokens(6), depth: 1, num_latents: 3, latent_dim: 6, inverted_cross_attn: true, output: Latents }

    struct Resampler { input: Tokens(6), queries_contribute_kv: true, depth: 1, num_latents: 3, latent_dim: 6, output: Latents }

    struct Flow {
        input: Grid {
            shape: [2, 4, 6, 3], stem: [Patches([2, 1, 2]), Linear(5)],
            position: Fourier { bands: 2, max_freq: [4.0, 3.0] },
        },
        depth: 1, num_latents: 4, latent_dim: 8, output: Queries { queries: Input, project: 2 },
    }

    struct Both {
        input: Tokens(6), depth: 1, num_latents: 4, latent_dim: 8,
        output: Modalities {
            class: Queries { queries: Learned([2, 4]), project: 10 },
            picture: Queries {
                queries: Grid { shape: [5, 1000], position: Fourier { bands: 3, max_freq: 8.0 } }, project: 3,
            },
        },
        output_dim: 12,
    }
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn weights_have_the_axes_of_the_input() {
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<Image, f32>();
    let x: Tensor<(Const<2>, usize, usize, Const<3>), f32, _> =
        dev.sample_normal_like(&(Const, 3, 5, Const));
    type Map = Tensor<(Const<2>, Const<2>, Const<4>, usize, usize), f32, Cpu>;
    let maps: Vec<Map> = model.attention(x.clone(), &[1, 0, 1]);
    assert_eq!(maps.len(), 3);
    assert_eq!(
        (maps[0].as_vec(), *maps[1].shape()),
        (maps[2].as_vec(), (Const, Const, Const, 3, 5))
    );
    assert!(maps[0].as_vec() != maps[1].as_vec());
    for weights in maps[0].as_vec().chunks(15) {
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }

    let mask = (0..30).map(|place| place % 5 != 4).collect();
    let mask: Tensor<(Const<2>, usize, usize), bool, _> = dev.tensor_from_vec(mask, (Const, 3, 5));
    let masked: Vec<Map> = model.attention((x.clone().leaky_trace(), mask), &[0]);
    for (place, weight) in masked[0].as_vec().into_iter().enumerate() {
        assert_eq!(weight == 0.0, place % 5 == 4);
    }

    let layer = model.try_attention(x.clone(), &[0, 2]);
    assert!(matches!(layer, Err(ForwardError::Layer { layer: 2, attends: 2 })));
    assert!(model.attention(x, &[]).is_empty());
}

/// The weights of the first layer, computed from its parameters.
#[test]
fn weights_are_those_of_the_formula() {
    let dev = Cpu::seed_from_u64(2);
    let model = dev.build_module::<Sequence, f32>();
    let x: Tensor<Rank3<1, 7, 5>, f32, _> = dev.sample_normal();
    let layers = model.layers.view();
    let attention = &layers[0].cross.as_ref().unwrap().attention;
    let normalised = |rows: Vec<f32>, width: usize| -> Vec<Vec<f64>> {
        let row = |row: &[f32]| {
            let mean = row.iter().sum::<f32>() / width as f32;
            let var = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / width as f32;
            row.iter().map(|x| f64::from((x - mean) / (var + 1e-5).sqrt())).collect()
        };
        rows.chunks(width).map(row).collect()
    };
    let projected =
        |rows: &[Vec<f64>], weight: &Tensor<(Width, Width), f32, Cpu>| -> Vec<Vec<f64>> {
            let (weight, width) = (weight.as_vec(), rows[0].len());
            let dot = |row: &Vec<f64>, column: &[f32]| {
                row.iter().zip(column).map(|(a, b)| a * f64::from(*b)).sum()
            };
            rows.iter()
                .map(|row| weight.chunks(width).map(|column| dot(row, column)).collect())
                .collect()
        };
    let query = projected(&normalised(model.latents.as_vec(), 6), attention.to_q.weight);
    let key = projected(&normalised(x.as_vec(), 5), attention.to_kv.weight);
    let mut expected = Vec::new();
    for head in 0..2 {
        for query in &query {
            let score = |key: &Vec<f64>| -> f64 {
                let along = head * 4..head * 4 + 4;
                along.map(|i| query[i] * key[i]).sum::<f64>() / 2.0
            };
            let weights: Vec<_> = key.iter().map(|key| score(key).exp()).collect();
            let sum: f64 = weights.iter().sum();
            expected.extend(weights.iter().map(|weight| weight / sum));
        }
    }
    let found: Tensor<(Const<1>, Const<2>, Const<3>, usize), f32, _> =
        model.attention(x, &[0]).pop().unwrap();
    let found: Vec<_> = found.as_vec().into_iter().map(f64::from).collect();
    compare::assert_close("the weights", &found, &expected, 1e-4);
}

#[test]
fn inverted_and_resampling_attention_have_weights() {
    let dev = Cpu::seed_from_u64(3);
    let x: Tensor<Rank3<1, 7, 6>, f32, _> = dev.sample_normal();
    let inverted = dev.build_module::<Inverted, f32>().attention(x.clone(), &[0]);
    for weights in inverted[0].as_vec().chunks(7) {
        assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    // The latents get the rest.
    let resampler = dev.build_module::<Resampler, f32>().attention(x, &[0]);
    for weights in resampler[0].as_vec().chunks(7) {
        assert!(weights.iter().sum::<f32>() < 1.0);
    }
}

#[test]
fn rows_at_points_are_those_of_the_whole() {
    let dev = Cpu::seed_from_u64(4);
    let mut model = dev.build_module::<Flow, f32>();
    let x: Tensor<Rank5<2, 2, 4, 6, 3>, f32, _> = dev.sample_normal();
    let whole: Tensor<Rank4<2, 4, 3, 2>, f32, _> = model.forward(x.clone());
    let points = [[3, 2], [0, 0], [3, 2], [1, 1]];
    let rows: Tensor<(Const<2>, usize, Const<2>), f32, _> = model.forward_at(x.clone(), &points);
    let whole = whole.as_vec();
    let at = |item: usize, [y, x]: [usize; 2]| &whole[((item * 4 + y) * 3 + x) * 2..][..2];
    let expected: Vec<_> = (0..2)
        .flat_map(|item| points.iter().flat_map(move |point| at(item, *point)))
        .copied()
        .collect();
    assert!(close(&rows.as_vec(), &expected));

    // With gradients, too, of which the points that are given twice have twice.
    let traced = model.forward_at_mut(x.clone().leaky_trace(), &points);
    assert!(close(&traced.as_vec(), &expected));
    let gradients = traced.square().sum().backward();
    assert!(gradients.get(&x).as_vec().iter().any(|x| *x != 0.0));

    let beyond = model.try_forward_at(x.clone(), &[[4, 0]]).err().unwrap().to_string();
    assert_eq!(beyond, "the point [4, 0] is not on the output's grid, whose sizes are [4, 3]");
    let none: &[[usize; 2]] = &[];
    assert!(matches!(model.try_forward_at(x.clone(), none), Err(ForwardError::NoPoints)));

    let maps: Vec<Tensor<Rank5<2, 1, 4, 4, 3>, f32, _>> = model.attention(x, &[0]);
    assert_eq!(maps[0].as_vec().len(), 96);
}

#[test]
fn several_outputs_have_points_of_their_own() {
    let dev = Cpu::seed_from_u64(5);
    let model = dev.build_module::<Both, f32>();
    let x: Tensor<Rank3<2, 9, 6>, f32, _> = dev.sample_normal();
    let whole = model.forward(x.clone());
    let some = model.forward_at(x, BothPoints { picture: &[[4, 999], [0, 7]] });
    let class: Tensor<Rank3<2, 2, 10>, f32, _> = some.class;
    let picture: Tensor<(Const<2>, usize, Const<3>), f32, _> = some.picture;
    assert!(close(&class.as_vec(), &whole.class.as_vec()));
    let whole = whole.picture.as_vec();
    let expected: Vec<_> =
        [4999, 7, 9999, 5007].into_iter().flat_map(|i| &whole[i * 3..][..3]).copied().collect();
    assert!(close(&picture.as_vec(), &expected));
}
