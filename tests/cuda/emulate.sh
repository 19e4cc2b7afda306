#!/usr/bin/env bash
# Runs the device tests on an emulated GPU, which is the CPU:
#
#     tests/cuda/emulate.sh [FILTER ..] [-- ARGUMENTS OF THE TEST PROGRAM]
#
# A filter is a part of a test's name; without one all tests run. README.md beside this file says what that shows, and
# has the settings. NO_RUN=1 only builds.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
filters=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  filters+=("$1")
  shift
done
[ $# = 0 ] || shift

if ! command -v g++ > /dev/null || [ "$(g++ -dumpversion | cut -d. -f1)" -lt 12 ]; then
  echo "the emulator needs g++ 12 or later, which compiles its kernels: apt-get install g++" >&2
  exit 1
fi

# A target folder of its own: dfdx's build script does not notice another toolkit.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/emulated}
mkdir -p "$CARGO_TARGET_DIR"
CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd)
cuda=$CARGO_TARGET_DIR/cuda
export CUDA_PATH=$cuda PATH=$cuda/bin:$PATH LD_LIBRARY_PATH=$cuda/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
unset CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR CUDA_COMPUTE_CAP

# The toolkit: what nvcc's kernels include is in the emulator's headers, which come before every kernel.
mkdir -p "$cuda"/{bin,include,include-nvcc,lib,kernels}
touch -a "$cuda"/include/{cuda.h,cuda_fp16.h} "$cuda"/include-nvcc/{cstdint,math.h}
ln -sfn "$here/emulator" "$cuda/source"
ln -sf ../source/nvcc "$cuda/bin/nvcc"
printf '#!/bin/sh\nprintf "compute_cap\\n9.0\\n"\n' > "$cuda/bin/nvidia-smi"
chmod +x "$cuda/bin/nvidia-smi"

# The driver, cuBLAS and NVRTC are one library under their names; it is checked by itself before anything relies on it.
if [ -n "$(find "$here/emulator" -type f -newer "$cuda/checked" 2>&1)" ]; then
  rm -f "$cuda/checked"
  g++ -std=c++17 -O3 -march=native -ffp-contract=fast -Wall -Wextra -Wno-cast-function-type -shared -fPIC \
    -o "$cuda/lib/libcuda.so.1" "$here"/emulator/src/*.cpp -ldl -lpthread
  for name in cublas cublasLt nvrtc; do
    ln -sf libcuda.so.1 "$cuda/lib/lib$name.so.13"
  done
  g++ -std=c++17 -o "$cuda/selftest" "$here/emulator/selftest.cpp" "$cuda/lib/libcuda.so.1"
  "$cuda/selftest"
  EMULATOR_ORDER=reverse "$cuda/selftest"
  EMULATOR_ORDER=random:7 EMULATOR_GUARD=1 EMULATOR_STREAMS=default-late "$cuda/selftest"
  touch "$cuda/checked"
fi
if [ ! -e "$cuda/lib64/stubs/libcuda.a" ]; then
  python3 "$here/stand_ins.py" "$("$here/cudarc.sh")" "$cuda/lib64/stubs"
fi

build=(test --locked --features "cuda,f16" --test cuda --manifest-path "$root/Cargo.toml")
cargo "${build[@]}" --no-run
[ -z "${NO_RUN:-}" ] || exit 0
cd "$root"
exec cargo "${build[@]}" -- "${filters[@]}" "$@"
