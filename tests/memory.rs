//! How keys and values are made is chosen from the declaration, for each model the way that makes less. Numbers do not
//! show which way was taken; memory does.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use perceiver::WeightPrecision;
use perceiver::prelude::*;
use perceiver::train::{AdamW, AdamWConfig, cross_entropy};

/// The system's allocator, which counts bytes.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn add(bytes: usize) {
    let now = NOW.fetch_add(bytes, SeqCst) + bytes;
    MOST.fetch_max(now, SeqCst);
}

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most bytes that `run` had allocated at a time. Runs alone.
fn most_bytes<T>(run: impl FnOnce() -> T) -> usize {
    let before = NOW.load(SeqCst);
    MOST.store(before, SeqCst);
    drop(run());
    MOST.load(SeqCst) - before
}

/// One test at a time: memory is counted for all threads together.
static TURN: Mutex<()> = Mutex::new(());

const MB: usize = 1_000_000;

perceiver! {
    /// Few latents and many narrow tokens: keys and values would be 512 wide for each token of 13.
    struct FewLatents {
        input_channels: 8,
        input_axis: 1,
        num_freq_bands: 2,
        max_freq: 8.0,
        depth: 1,
        num_latents: 8,
        latent_dim: 16,
        cross_heads: 4,
        cross_dim_head: 64,
        latent_heads: 1,
        latent_dim_head: 4,
        num_classes: 2,
    }
}

#[test]
fn keys_of_many_tokens_are_not_made_for_few_latents() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    const TOKENS: usize = 20_000;
    let dev = Cpu::seed_from_u64(1);
    let model = dev.build_module::<FewLatents, f32>();
    let x: Tensor<Rank3<1, TOKENS, 8>, f32, _> = dev.sample_normal();
    let keys_and_values = 4 * TOKENS * 2 * 4 * 64;
    assert!(keys_and_values > 40 * MB);
    let most = most_bytes(|| model.forward(x));
    assert!(most < 20 * MB, "{most} bytes");
}

perceiver! {
    /// Many latents and few wide tokens: queries would be as wide as a token, for each head.
    struct ManyLatents {
        input_channels: 512,
        input_axis: 1,
        fourier_encode_data: false,
        depth: 1,
        num_latents: 4096,
        latent_dim: 8,
        cross_heads: 4,
        cross_dim_head: 8,
        latent_heads: 1,
        latent_dim_head: 4,
        num_classes: 2,
    }
}

#[test]
fn queries_of_many_latents_are_not_widened_for_few_tokens() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dev = Cpu::seed_from_u64(2);
    let model = dev.build_module::<ManyLatents, f32>();
    let x: Tensor<Rank3<1, 16, 512>, f32, _> = dev.sample_normal();
    let widened = 4 * 4096 * 4 * 512;
    assert!(widened > 32 * MB);
    let most = most_bytes(|| model.forward(x));
    assert!(most < 16 * MB, "{most} bytes");
}

perceiver! {
    /// Seventeen million parameters, nearly all of them weights.
    struct Wide {
        input_axis: 1,
        num_freq_bands: 2,
        max_freq: 8.0,
        depth: 4,
        num_latents: 4,
        latent_dim: 384,
        num_classes: 2,
    }
}

/// Laid out, the weights take the same memory; they are not stored twice at any time, nor when the model runs.
#[test]
fn a_prepared_model_has_its_weights_once() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dev = Cpu::seed_from_u64(3);
    let x: Tensor<Rank3<1, 16, 3>, f32, _> = dev.sample_normal();
    let before = NOW.load(SeqCst);
    let mut model = dev.build_module::<Wide, f32>();
    let weights = 4 * Wide::<f32, Cpu>::PARAMETERS;
    assert!(weights > 30 * MB);
    MOST.store(before, SeqCst);
    model.prepare_for_inference();
    drop(model.forward(x));
    let most = MOST.load(SeqCst) - before;
    assert!(most < weights + weights / 5, "{most} bytes, where the weights take {weights}");
    let now = NOW.load(SeqCst) - before;
    assert!(now < weights + weights / 10, "{now} bytes, where the weights take {weights}");
}

/// Two bytes or one for each weight, which is never stored in full beside them but for the one that is being rounded.
#[test]
fn rounded_weights_take_fewer_bytes() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dev = Cpu::seed_from_u64(3);
    let x: Tensor<Rank3<1, 16, 3>, f32, _> = dev.sample_normal();
    let parameters = Wide::<f32, Cpu>::PARAMETERS;
    for (weights, bytes) in
        [(WeightPrecision::Bf16, 2), (WeightPrecision::Int8, 1), (WeightPrecision::Int8Dynamic, 1)]
    {
        let before = NOW.load(SeqCst);
        let mut model = dev.build_module::<Wide, f32>();
        MOST.store(before, SeqCst);
        model.prepare_for_inference_in(weights);
        drop(model.forward(x.clone()));
        let most = MOST.load(SeqCst) - before;
        assert!(most < 5 * parameters, "{weights:?}: {most} bytes for {parameters} weights");
        let now = NOW.load(SeqCst) - before;
        let expected = bytes * parameters;
        assert!(now < expected + expected / 8, "{weights:?}: {now} bytes, not {expected}");
    }
}

perceiver! {
    struct Small {
        input_axis: 1, input_channels: 4, num_freq_bands: 2, max_freq: 8.0, depth: 2, num_latents: 4, latent_dim: 8,
        latent_heads: 2, latent_dim_head: 4, cross_dim_head: 8, num_classes: 3, attn_dropout: 0.1, ff_dropout: 0.1,
    }
}

/// Trains for so many steps, after a few until all caches are filled.
fn train(steps: usize) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dev = Cpu::seed_from_u64(4);
    let mut model = dev.build_module::<Small, f32>();
    let mut optimizer = AdamW::new(&model, AdamWConfig::default()).unwrap();
    let mut grads = model.alloc_grads();
    let mut before = 0;
    for step in 0..100 + steps {
        if step == 100 {
            before = NOW.load(SeqCst);
        }
        let x: Tensor<Rank3<2, 9, 4>, f32, _> = dev.sample_normal();
        let logits = model.forward_mut(x.traced(grads));
        let loss = cross_entropy(logits, &dev.tensor([step % 3, 1])).unwrap();
        grads = optimizer.step(&mut model, loss.backward()).unwrap();
    }
    let now = NOW.load(SeqCst);
    assert!(now <= before + 1000, "{before} bytes after 100 steps, {now} after {steps} more");
}

#[test]
fn a_training_loop_keeps_its_memory() {
    train(300);
}

#[test]
#[ignore = "takes ten seconds"]
fn a_long_training_loop_keeps_its_memory() {
    train(20_000);
}

mod bounds {
    //! `forward_memory` is an upper bound, and near what is measured.

    use std::sync::PoisonError;

    use perceiver::prelude::*;

    use super::{TURN, most_bytes};

    perceiver! {
        /// The README's.
        struct ImageNet {
            input_channels: 3, input_axis: 2, num_freq_bands: 6, max_freq: 10.0, depth: 6, num_latents: 256,
            latent_dim: 512, num_classes: 1000,
        }
        /// Tokens that are stored with their features, and keys and values that are made.
        struct Sequence {
            input_channels: 8, input_axis: 1, num_freq_bands: 30, max_freq: 100.0, depth: 2, num_latents: 128,
            latent_dim: 256, latent_heads: 4, num_classes: 10,
        }
        struct Inverted {
            input: Tokens(64), depth: 2, num_latents: 64, latent_dim: 128, inverted_cross_attn: true,
            output: MeanPool(10),
        }
        struct Patches {
            family: Transformers, cross_heads: 1,
            input: Grid {
                shape: [64, 64, 3], stem: [Patches([2, 2]), Linear(32)], position: Learned { channels: 32, project: 48 },
            },
            num_latents: 128, latent_dim: 256, depth: 2, self_per_cross_attn: 2, output: ClassQuery(10),
        }
        struct Convolved {
            family: Transformers, cross_heads: 1,
            input: Grid {
                shape: [128, 128, 3], stem: [ConvPool(64)], position: Fourier { bands: 16, max_freq: [32.0, 32.0] },
            },
            num_latents: 64, latent_dim: 256, depth: 2, self_per_cross_attn: 1, output: ClassQuery(10),
        }
        struct Letters {
            family: Transformers, cross_heads: 1,
            input: Text { vocab: 262, max_len: 1024, dim: 256 }, num_latents: 128, latent_dim: 256, depth: 1,
            self_per_cross_attn: 4,
            output: Queries { queries: Learned([1024, 256]), heads: 8, qk_channels: 256, v_channels: 256, project: Embedding },
        }
        struct Dense {
            family: Transformers, cross_heads: 1,
            input: Grid { shape: [2, 96, 96, 12], stem: [Patches([2, 1, 1]), Linear(32)], position: Fourier { bands: 16, max_freq: 96.0 } },
            num_latents: 128, latent_dim: 256, depth: 1, self_per_cross_attn: 2,
            output: Queries { queries: Input, heads: 1, qk_channels: 256, v_channels: 256, project: 2, scale: 0.01 },
        }
        struct Io {
            input: Tokens(64), depth: 2, cross_attends: 1, num_latents: 128, latent_dim: 256,
            output: Queries { queries: Given(64), query_residual: false, feed_forward: None, project: 100 },
        }
        struct Resampler {
            input: Tokens(256), queries_contribute_kv: true, depth: 2, self_per_cross_attn: 0, num_latents: 64,
            latent_dim: 256, cross_heads: 4, cross_dim_head: 64, feed_forward: Gelu { mult: 4, bias: false },
            attn_bias: false, final_norm: true, output: Latents,
        }
        struct Bytes {
            family: PerceiverAr,
            input: Text { vocab: 262, max_len: 2048, dim: 256, position: [Learned, Rotary(0.5)] },
            latents: Last(256), depth: 1, self_per_cross_attn: 4, output: Embedding,
        }
        struct Both {
            family: Transformers, cross_heads: 1,
            input: Modalities {
                sound: Grid { shape: [4096, 1], stem: [Patches([16])], position: Fourier { bands: 32, max_freq: 4096.0 } },
                image: Grid { shape: [96, 96, 3], position: Fourier { bands: 16, max_freq: 96.0 } },
            },
            num_latents: 128, latent_dim: 256, depth: 1, self_per_cross_attn: 2,
            output: Modalities {
                sound: Queries { queries: Grid { shape: [256], position: Fourier { bands: 32, max_freq: 256.0 } }, project: 16 },
                image: Queries { queries: Grid { shape: [96, 96], position: Fourier { bands: 16, max_freq: 96.0 } }, project: 3 },
            },
            output_dim: 128,
        }
    }

    /// Measures a forward pass in which all memory is new.
    fn assert_bound<T>(name: &str, bound: u64, run: impl FnOnce() -> T) {
        perceiver::ops::free_memory();
        let most = most_bytes(run);
        let ratio = bound as f64 / most as f64;
        assert!((1.0..1.2).contains(&ratio), "{name}: {most} bytes, at most {bound}: {ratio:.3}");
    }

    #[test]
    fn hold() {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // Two threads, whatever the machine has.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        pool.install(|| {
            let dev = Cpu::seed_from_u64(1);
            macro_rules! check {
                ($Model:ident, ($($size:expr),*), $($input:expr),+) => {{
                    let model = dev.build_module::<$Model, f32>();
                    let input = ($($input),+);
                    let copy = input.clone();
                    assert_bound(stringify!($Model), $Model::forward_memory($($size),*), || model.forward(copy));
                    drop(input);
                }};
            }
            let image = dev.sample_normal_like(&(1, 224, 224, Const::<3>));
            // dfdx's matrix products keep a buffer for each thread.
            drop(dev.build_module::<ImageNet, f32>().forward(image.clone()));
            check!(ImageNet, (1, [224, 224]), image.clone());
            let images = dev.sample_normal_like(&(4, 224, 224, Const::<3>));
            check!(ImageNet, (4, [224, 224]), images.clone());
            let large = dev.sample_normal_like(&(1, 700, 900, Const::<3>));
            check!(ImageNet, (1, [700, 900]), large.clone());
            check!(Sequence, (2, [20_000]), dev.sample_normal_like(&(2, 20_000, Const::<8>)));
            check!(Inverted, (2, [8000]), dev.sample_normal_like(&(2, 8000, Const::<64>)));
            check!(Patches, (4), dev.sample_normal_like(&(4, Const::<64>, Const::<64>, Const::<3>)));
            check!(Convolved, (2), dev.sample_normal_like(&(2, Const::<128>, Const::<128>, Const::<3>)));
            let ids: Tensor<(usize, usize), usize, Cpu> = dev.zeros_like(&(4, 1024));
            check!(Letters, (4, [1024]), ids.clone());
            check!(Dense, (1), dev.sample_normal_like(&(1, Const::<2>, Const::<96>, Const::<96>, Const::<12>)));
            let queries = dev.sample_normal_like(&(1, 20_000, Const::<64>));
            check!(Io, (1, [10_000], 20_000), dev.sample_normal_like(&(1, 10_000, Const::<64>)), queries.clone());
            check!(Resampler, (4, [4000]), dev.sample_normal_like(&(4, 4000, Const::<256>)));
            let ids: Tensor<(usize, usize), usize, Cpu> = dev.zeros_like(&(4, 2048));
            check!(Bytes, (4, [2048], 1792), ids.clone());
            let sound = dev.sample_normal_like(&(1, Const::<4096>, Const::<1>));
            let image = dev.sample_normal_like(&(1, Const::<96>, Const::<96>, Const::<3>));
            check!(Both, (1), BothInput { sound: sound.clone(), image: image.clone() });
        });
    }
}
