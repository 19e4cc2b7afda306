#!/usr/bin/env bash
# Runs what build.sh made as far as it goes without a GPU:
#
#     tests/cuda/dry-run.sh [FOLDER]      the folder that build.sh was given
#
# Without a driver, with a driver and no GPU, and with a fake GPU that loads kernels, keeps memory and checks the
# arguments of matrix products, but computes nothing: of the device tests only numbers may then be wrong. What NVRTC and
# nvcc made of dfdx's kernels is assembled for the GPU at the end.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bundle=$(cd "${1:-$here/../../target/cuda}/perceiver-cuda" && pwd)
work=${PERCEIVER_CUDA_WORK:-/tmp/perceiver-cuda}
tests=$bundle/bin/cuda
log=$work/dry-run.txt
mkdir -p "$work/fake/ptx"
gcc -w -O1 -shared -fPIC -o "$work/fake/libcuda.so.1" "$here/fake.c"
ln -sf libcuda.so.1 "$work/fake/libcublas.so.13"

# Prints a line of the log that contains a text, or says that there is none.
expect() {
  grep -m1 -F -- "$1" "$log" || { echo "missing: $1"; exit 1; }
}

# Runs a few tests that have to fail.
fails() {
  if "$tests" cpu_and_gpu > "$log" 2>&1; then
    echo "they pass"
    exit 1
  fi
}

echo "== no driver"
fails
expect "there is no NVIDIA driver on this machine"

nvrtc=$work/nvrtc/nvidia/cu13/lib
if [ ! -e "$nvrtc/libnvrtc.so.13" ]; then
  python3 -m pip install --quiet --no-deps --only-binary=:all: --target "$work/nvrtc" 'nvidia-cuda-nvrtc==13.0.*'
fi
export LD_LIBRARY_PATH=$work/fake FAKE_PTX=$work/fake/ptx

echo "== a driver, but no GPU"
FAKE_GPUS=0 fails
expect "the NVIDIA driver has no GPU to use"

echo "== a GPU, but no NVRTC"
fails
expect "dfdx cannot compile kernels for it"

echo "== a GPU that computes nothing"
export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$nvrtc
rm -f "$FAKE_PTX"/*
OUT=$work/results "$bundle/run.sh" "$work/results" tests > "$log" 2>&1 || true
expect "fake GPU:"
expect "test result:"
# A number that is wrong is the GPU's doing; anything else is not.
wrong='apart$|is not -?[0-9]|^\[0\.0'
panics=$(grep -c ' panicked at ' "$log" || true)
numbers=$(grep -A1 ' panicked at ' "$log" | grep -cE "$wrong" || true)
echo "$panics tests failed, $numbers of them for their numbers"
[ "$panics" = "$numbers" ]

echo "== kernels for the GPU"
ptxas=$(command -v ptxas || echo "$work/packages/nvidia/cu13/bin/ptxas")
for ptx in "$FAKE_PTX"/*; do
  "$ptxas" -arch=sm_90 -o /dev/null "$ptx"
done
echo "$(find "$FAKE_PTX" -type f | wc -l) modules assemble"
