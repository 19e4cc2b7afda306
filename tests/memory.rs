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
#[ignore = "takes a minute in a debug build"]
fn a_long_training_loop_keeps_its_memory() {
    train(20_000);
}
