//! Threads: a model takes none that are not its own, and may be called from many at once.

use std::sync::{Arc, Barrier};
use std::thread;

use perceiver::prelude::*;

perceiver! {
    /// Large enough for several threads.
    struct Model {
        input_shape: [64, 64, 3], num_freq_bands: 4, max_freq: 64.0, depth: 2, num_latents: 64, latent_dim: 64, latent_heads: 2,
        latent_dim_head: 32, cross_dim_head: 32, num_classes: 7,
    }
}

fn images(dev: &Cpu) -> Tensor<Rank4<1, 64, 64, 3>, f32, Cpu> {
    dev.tensor_from_vec(
        (0..64 * 64 * 3).map(|i| (i as f32 * 0.37).sin()).collect(),
        Rank4::default(),
    )
}

#[test]
fn jobs_that_wait_for_each_other_still_end_after_a_forward_pass() {
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<Model, f32>();
    model.forward(images(&dev));
    assert!(rayon::current_thread_index().is_none());

    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let barrier = Barrier::new(2);
    let wait = || {
        model.forward(images(&dev));
        barrier.wait();
    };
    pool.join(wait, wait);
    // All threads of the global pool are still there.
    let all = Barrier::new(rayon::current_num_threads());
    rayon::broadcast(|_| _ = all.wait());
    let all = Arc::new(Barrier::new(rayon::current_num_threads() + 1));
    rayon::spawn_broadcast({
        let all = Arc::clone(&all);
        move |_| _ = all.wait()
    });
    all.wait();
}

/// A model can be shared by the tasks of an async runtime, on threads that may block and on those that should not.
#[test]
fn async_tasks_share_a_model() {
    let dev = Cpu::seed_from_u64(1);
    let model = Arc::new(dev.build_module::<Model, f32>());
    let expected = model.forward(images(&dev)).as_vec();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks = (0..8).map(|i| {
            let model = Arc::clone(&model);
            let forward = move || model.forward(images(&Cpu::default())).as_vec();
            tokio::spawn(async move {
                match i % 2 {
                    0 => tokio::task::spawn_blocking(forward).await.unwrap(),
                    _ => forward(),
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap(), expected);
        }
    });
}

#[test]
fn many_callers_get_equal_results() {
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<Model, f32>();
    let expected = model.forward(images(&dev)).as_vec();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(model.forward(images(&dev)).as_vec(), expected);
                }
            });
        }
    });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let in_pool = pool.install(|| model.forward(images(&dev)).as_vec());
    for (x, y) in in_pool.iter().zip(&expected) {
        assert!((x - y).abs() < 1e-5);
    }
    perceiver::ops::free_memory();
    assert_eq!(model.forward(images(&dev)).as_vec(), expected);
}
