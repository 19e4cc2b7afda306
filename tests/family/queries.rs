//! Rows that an output decodes at queries.

use perceiver::prelude::*;

/// Many queries are decoded in chunks when gradients are not tracked.
#[test]
fn chunks_of_queries_are_all_queries() {
    perceiver! {
        struct Model { input: Tokens(3), num_latents: 2, latent_dim: 4, depth: 1, output: Queries { queries: Given(2), project: 3 } }
    }
    let dev = Cpu::seed_from_u64(5);
    let model = dev.build_module::<Model, f32>();
    let x: Tensor<Rank3<2, 5, 3>, f32, _> = dev.sample_normal();
    let queries: Tensor<Rank3<2, 9000, 2>, f32, _> = dev.sample_normal();
    let in_chunks = model.forward((x.clone(), queries.clone()));
    let at_once = model.forward((x.leaky_trace(), queries)).split_tape().0;
    for (a, b) in in_chunks.as_vec().into_iter().zip(at_once.as_vec()) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

/// Queries that do not fit the input are errors that say so.
#[test]
fn queries_that_do_not_fit_are_errors() {
    use perceiver::ForwardError;
    perceiver! {
        struct Model { input: Tokens(3), num_latents: 2, latent_dim: 4, depth: 1, output: Queries { queries: Given(2) } }
    }
    let dev = Cpu::default();
    let model = dev.build_module::<Model, f32>();
    let run = |batch, queries| {
        let x: Tensor<_, f32, _> = dev.ones_like(&(2, 5, Const::<3>));
        let queries: Tensor<_, f32, _> = dev.ones_like(&(batch, queries, Const::<2>));
        model.try_forward((x, queries)).map(|out| *out.shape())
    };
    assert_eq!(run(2, 3).unwrap(), (2, 3, Const));
    assert!(matches!(run(1, 3), Err(ForwardError::QueryBatch { queries: 1, input: 2 })));
    assert!(matches!(run(2, 0), Err(ForwardError::NoQueries)));
}
