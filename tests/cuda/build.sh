#!/usr/bin/env bash
# Builds the device tests and the benchmark for a GPU, on a machine that needs none, and packs them with what they need:
#
#     tests/cuda/build.sh [FOLDER]        default: target/cuda
#
# FOLDER/perceiver-cuda.tar.gz is to be unpacked on the machine with the GPU; README.md beside this file says more.
# COMPUTE_CAP is the GPU's compute capability (9.0), CUDA the toolkit's version if none is installed (13.0).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "${1:-$root/target/cuda}"
out=$(cd "${1:-$root/target/cuda}" && pwd)
# dfdx has the paths of its headers compiled in, and reads them where the program runs: a path that anybody can write.
work=${PERCEIVER_CUDA_WORK:-/tmp/perceiver-cuda}
compute_cap=${COMPUTE_CAP:-9.0}
mkdir -p "$work/bin" "$work/cuda/include"

# nvcc: the installed one, or the one of the packages for Python.
if nvcc=$(command -v nvcc); then
  toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
else
  toolkit=$work/packages/nvidia/cu13
  if [ ! -x "$toolkit/bin/nvcc" ]; then
    packages=()
    for name in nvidia-cuda-nvcc nvidia-cuda-crt nvidia-nvvm nvidia-cuda-runtime nvidia-cuda-cccl; do
      packages+=("$name==${CUDA:-13.0}.*")
    done
    python3 -m pip install --quiet --no-deps --only-binary=:all: --target "$work/packages" "${packages[@]}"
    chmod -R u+x "$toolkit/bin" "$toolkit/nvvm/bin"
  fi
fi
cp "$toolkit"/include/{cuda.h,cuda_fp16.h,cuda_fp16.hpp} "$work/cuda/include/"
printf '#!/bin/sh\nexec "%s/bin/nvcc" "$@"\n' "$toolkit" > "$work/bin/nvcc"
# dfdx's build script asks nvidia-smi what to compile for.
printf '#!/bin/sh\nprintf "compute_cap\\n%s\\n"\n' "$compute_cap" > "$work/bin/nvidia-smi"
chmod +x "$work/bin/nvcc" "$work/bin/nvidia-smi"

python3 "$here/stand_ins.py" "$work/cuda/lib64/stubs"

# A target folder of its own: dfdx's build script does not notice another toolkit.
build=(build --release --locked --features "cuda,f16" --test cuda --bench peers)
CUDA_PATH=$work/cuda PATH=$work/bin:$PATH CARGO_TARGET_DIR=$work/target \
  cargo "${build[@]}" --manifest-path "$root/Cargo.toml" --message-format=json-render-diagnostics > "$work/messages"

bundle=$out/perceiver-cuda
rm -rf "$bundle"
mkdir -p "$bundle/peers" "$bundle/python"
python3 "$here/pack.py" "$work/messages" "$work/cuda/include" "$bundle"
strip "$bundle"/bin/*
cp "$here/run.sh" "$bundle/"
cp "$root"/benches/peers/*.py "$bundle/peers/"
# PyTorch itself is the GPU machine's.
python3 -m pip install --quiet --no-deps --target "$bundle/python" perceiver-pytorch==0.11.0 einops==0.8.2
find "$bundle/python" -name __pycache__ -prune -exec rm -r {} +
tar -C "$out" -czf "$out/perceiver-cuda.tar.gz" perceiver-cuda
du -h "$bundle"/bin/* "$out/perceiver-cuda.tar.gz"
