#!/usr/bin/env bash
# What a declaration costs: the time of `cargo check` and of a release build of a crate with no, one and two models,
# and with one that is 6 and 48 layers deep; medians of five, dependencies built before.
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
TOML

# A crate with a model for each depth given, each built and run.
crate() {
    {
        echo 'use perceiver::prelude::*;'
        for depth in "$@"; do
            echo "mod m$depth { use perceiver::prelude::*; perceiver! { pub struct Model {"
            echo "    num_freq_bands: 6, max_freq: 10.0, depth: $depth, num_latents: $((depth + 1)), latent_dim: 64,"
            echo '} } }'
        done
        echo 'fn main() { let dev = Cpu::default();'
        echo 'let image: Tensor<Rank4<1, 8, 8, 3>, f32, _> = dev.sample_normal();'
        for depth in "$@"; do
            echo "println!(\"{:?}\", dev.build_module::<m$depth::Model, f32>().forward(image.clone()).array());"
        done
        echo 'let _ = image; }'
    } >"$folder/src/main.rs"
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

printf '%-28s %10s %12s %12s\n' models check/ms release/ms binary/KiB
for depths in '' 6 '6 7' 48; do
    crate $depths
    check=$(median check)
    release=$(median build --release)
    size=$(($(stat -c %s "$folder/target/release/cost") / 1024))
    printf '%-28s %10s %12s %12s\n' "depth ${depths:-none}" "$check" "$release" "$size"
done
