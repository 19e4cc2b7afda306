#!/usr/bin/env bash
# What a declaration costs: the time to check and to rebuild a crate with no model, one, two, and a deep one, each with a
# training step (forward and backward pass, Adam), in release and in dev; medians of five, dependencies built before.
# Then the time of a training step in dev and in release, with the profile that README.md gives.
#
#     benches/declaration.sh
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$folder/target"
mkdir "$folder/src"
cp "$root/Cargo.lock" "$folder/"
cat >"$folder/Cargo.toml" <<TOML
[package]
name = "cost"
edition = "2024"
[dependencies]
perceiver = { path = "$root/perceiver" }
[profile.dev.package."*"]
opt-level = 3
debug-assertions = false
TOML

# A crate with a model for each depth given, each built and trained for a step.
crate() {
    {
        echo 'use perceiver::dfdx::optim::{Adam, Optimizer};'
        echo 'use perceiver::prelude::*;'
        for depth in "$@"; do
            echo "mod m$depth { use perceiver::prelude::*; perceiver! { pub struct Model {"
            echo "    num_freq_bands: 6, max_freq: 10.0, depth: $depth, num_latents: $((depth + 1)), latent_dim: 64,"
            echo "    num_classes: 10,"
            echo '} } }'
        done
        echo 'fn main() { let dev = Cpu::default();'
        echo 'let images: Tensor<Rank4<2, 8, 8, 3>, f32, _> = dev.sample_normal();'
        echo 'let targets: Tensor<Rank2<2, 10>, f32, _> = dev.zeros();'
        for depth in "$@"; do
            echo "{ let mut model = dev.build_module::<m$depth::Model, f32>();"
            echo 'let mut optimizer = Adam::new(&model, Default::default());'
            echo 'let logits = model.forward_mut(images.clone().traced(model.alloc_grads()));'
            echo 'let grads = cross_entropy_with_logits_loss(logits, targets.clone()).backward();'
            echo 'optimizer.update(&mut model, &grads).unwrap(); }'
        done
        echo 'let (_, _) = (images, targets); }'
    } | if (($#)); then cat; else grep -v optim; fi >"$folder/src/main.rs"
}

# The median time in milliseconds of five runs of a cargo command on the crate alone.
median() {
    (cd "$folder" && cargo "$@" --quiet)
    for _ in 1 2 3 4 5; do
        touch "$folder/src/main.rs"
        start=$(date +%s%N)
        (cd "$folder" && cargo "$@" --quiet)
        echo $((($(date +%s%N) - start) / 1000000))
    done | sort -n | sed -n 3p
}

printf '%-16s %10s %12s %10s %12s\n' models check/ms release/ms dev/ms binary/KiB
for depths in '' 6 '6 7' '6 7 8' 48; do
    crate $depths
    check=$(median check)
    release=$(median build --release)
    dev=$(median build)
    size=$(($(stat -c %s "$folder/target/release/cost") / 1024))
    printf '%-16s %10s %12s %10s %12s\n' "depth ${depths:-none}" "$check" "$release" "$dev" "$size"
done

# The step of a small model, 32 images of 28 x 28, in milliseconds.
cat >"$folder/src/main.rs" <<'RUST'
use perceiver::dfdx::optim::{Adam, Optimizer};
use perceiver::prelude::*;

perceiver! {
    struct Small {
        input_channels: 1, num_freq_bands: 6, max_freq: 28.0, depth: 3, num_latents: 32, latent_dim: 128,
        num_classes: 10,
    }
}

fn main() {
    let dev = Cpu::default();
    let mut model = dev.build_module::<Small, f32>();
    let mut optimizer = Adam::new(&model, Default::default());
    let mut grads = model.alloc_grads();
    let images: Tensor<Rank4<32, 28, 28, 1>, f32, _> = dev.sample_normal();
    let targets: Tensor<Rank2<32, 10>, f32, _> = dev.zeros();
    let mut times = Vec::new();
    for _ in 0..12 {
        let start = std::time::Instant::now();
        let logits = model.forward_mut(images.clone().traced(grads));
        grads = cross_entropy_with_logits_loss(logits, targets.clone()).backward();
        optimizer.update(&mut model, &grads).unwrap();
        model.zero_grads(&mut grads);
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{:.1}", times[times.len() / 2]);
}
RUST
cd "$folder"
cargo build --quiet
cargo build --quiet --release
echo "training step: dev $(./target/debug/cost) ms, release $(./target/release/cost) ms"
