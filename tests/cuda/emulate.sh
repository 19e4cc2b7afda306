#!/usr/bin/env bash
# Runs the device tests on an emulated GPU, which is the CPU:
#
#     tests/cuda/emulate.sh [FILTER ..] [-- ARGUMENTS OF THE TEST PROGRAM]
#
# A filter is a part of a test's name; without one, all tests run but those below. README.md beside this file says what
# that shows, and has the settings. BUILD_ONLY=1 runs nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# Tests that need a GPU's speed or memory have this in their names. Each has a smaller one beside it.
too_large=full_size

filters=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  filters+=("$1")
  shift
done
[ $# = 0 ] || shift
case "${filters[*]-}" in
  *$too_large*) arguments=("$@") ;;
  *) arguments=(--skip "$too_large" "$@") ;;
esac

if ! command -v g++ > /dev/null || [ "$(g++ -dumpversion | cut -d. -f1)" -lt 12 ]; then
  echo "the emulator needs g++ 12 or later, also to compile kernels: apt-get install g++" >&2
  exit 1
fi

# A target folder of its own: dfdx's build script does not notice another toolkit.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/emulated}
mkdir -p "$CARGO_TARGET_DIR/cuda"
cuda=$(cd "$CARGO_TARGET_DIR/cuda" && pwd)
export CUDA_PATH=$cuda PATH=$cuda/bin:$PATH LD_LIBRARY_PATH=$cuda/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
unset CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR CUDA_COMPUTE_CAP

# The toolkit. CUDA's headers are empty, since the emulator's come before every kernel.
mkdir -p "$cuda"/{bin,include,include-nvcc,lib,kernels}
for header in include/cuda.h include/cuda_fp16.h include-nvcc/cstdint include-nvcc/math.h; do
  [ -e "$cuda/$header" ] || touch "$cuda/$header"
done
ln -sfn "$here/emulator" "$cuda/source"
ln -sf ../source/nvcc "$cuda/bin/nvcc"
printf '#!/bin/sh\nprintf "compute_cap\\n9.0\\n"\n' > "$cuda/bin/nvidia-smi"
chmod +x "$cuda/bin/nvidia-smi"
[ -e "$cuda/lib64/stubs/libcublasLt.a" ] || python3 "$here/stand_ins.py" "$cuda/lib64/stubs"

# The driver, cuBLAS and NVRTC are one library under their names, which is checked before anything relies on it.
if [ ! -e "$cuda/checked" ] || [ -n "$(find "$here/emulator" -newer "$cuda/checked")" ]; then
  rm -f "$cuda/checked"
  echo "building the emulator"
  g++ -std=c++17 -O3 -march=native -ffp-contract=fast -Wall -Wextra -Wno-cast-function-type -shared -fPIC \
    -o "$cuda/lib/libcuda.so.1" "$here"/emulator/src/*.cpp -ldl -lpthread
  for name in cublas cublasLt nvrtc; do
    ln -sf libcuda.so.1 "$cuda/lib/lib$name.so.13"
  done
  g++ -std=c++17 -o "$cuda/selftest" "$here"/emulator/selftest/*.cpp "$cuda/lib/libcuda.so.1"
  # What is refused on purpose is said on stderr.
  "$cuda/selftest" 2> /dev/null
  EMULATOR_ORDER=reverse EMULATOR_STREAMS=others-late "$cuda/selftest" 2> /dev/null
  EMULATOR_ORDER=random:7 EMULATOR_STREAMS=default-late EMULATOR_GUARD=1 "$cuda/selftest" 2> /dev/null
  touch "$cuda/checked"
fi

build=(test --locked --features "cuda,f16" --test cuda --manifest-path "$root/Cargo.toml")
cargo "${build[@]}" --no-run
[ -z "${BUILD_ONLY:-}" ] || exit 0
cargo "${build[@]}" --quiet -- "${filters[@]}" "${arguments[@]}"
