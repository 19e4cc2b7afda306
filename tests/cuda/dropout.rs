//! Dropout on the GPU, whose choices follow from a seed.

use perceiver::prelude::*;
use perceiver::train::with_dropout_seed;

use crate::gpu;

perceiver! {
    struct Dropped {
        input_shape: [6, 5, 2], num_freq_bands: 2, max_freq: 6.0, depth: 2, num_latents: 5, latent_dim: 16,
        cross_dim_head: 8, latent_heads: 2, latent_dim_head: 8, num_classes: 3, attn_dropout: 0.4, ff_dropout: 0.3,
    }
}

type Grid = Tensor<Rank4<2, 6, 5, 2>, f64, Cuda>;

#[test]
fn choices_follow_from_the_seed_and_gradients_from_the_choices() {
    let gpu = gpu();
    let mut model = gpu.build_module::<Dropped, f64>();
    let grid: Grid = gpu.sample_normal();
    let mut loss = |seed, grid: &Grid| {
        let logits = with_dropout_seed(seed, || model.forward_mut(grid.leaky_trace()));
        logits.square().sum::<Rank0, _>()
    };
    let number = |loss: &Tensor<Rank0, f64, Cuda, _>| loss.as_vec()[0];
    let first = loss(1, &grid);
    assert_eq!(number(&first), number(&loss(1, &grid)));
    assert_ne!(number(&first), number(&loss(2, &grid)));

    // The slope along the gradient is its square, for these choices.
    let gradient = first.backward().get(&grid);
    let square: f64 = gradient.as_vec().iter().map(|x| x * x).sum();
    let step = 1e-5 / square.sqrt();
    let mut at = |step: f64| number(&loss(1, &(grid.clone() + gradient.clone() * step)));
    let slope = (at(step) - at(-step)) / (2.0 * step);
    assert!((slope / square - 1.0).abs() < 1e-5, "{slope} is not {square}");
}

/// What is dropped is made up for: on average, nothing changes.
#[test]
fn rates_are_kept() {
    let gpu = gpu();
    let mut model = gpu.build_module::<Dropped, f64>();
    let grid: Grid = gpu.sample_normal();
    let expected = model.forward(grid.clone()).as_vec();
    let mut sums = vec![0.0; expected.len()];
    let mut zeros = 0;
    for seed in 0..200 {
        let logits = with_dropout_seed(seed, || model.forward_mut(grid.leaky_trace())).as_vec();
        zeros += usize::from(logits == expected);
        for (sum, logit) in sums.iter_mut().zip(logits) {
            *sum += logit / 200.0;
        }
    }
    assert_eq!(zeros, 0, "nothing was dropped");
    let distance = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    };
    let size = distance(&expected, &vec![0.0; expected.len()]);
    // A layer norm follows, so it is not the same.
    assert!(distance(&sums, &expected) < 0.3 * size, "{sums:?} is not near {expected:?}");
}
