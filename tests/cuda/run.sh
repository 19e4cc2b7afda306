#!/usr/bin/env bash
# On the machine with the GPU: runs the device tests and then the benchmark against PyTorch.
#
#     run.sh [FOLDER [tests|bench]]       default: $OUT or ./results, and both
#
# FOLDER gets tests.txt, peers.md and peers.json. PyTorch has to be there for the benchmark.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-${OUT:-results}}
what=${2:-all}
mkdir -p "$out"

# dfdx reads these at the paths that they had where it was built.
tar -C / -xzf "$here/headers.tar.gz"

# CUDA's libraries, wherever they are: a toolkit's, or those that came with PyTorch.
folders=(/usr/local/cuda*/lib64 /usr/local/cuda*/targets/x86_64-linux/lib /usr/local/nvidia/lib64 /usr/local/nvidia/lib)
if nvcc=$(command -v nvcc); then
  folders+=("$(dirname "$(dirname "$(readlink -f "$nvcc")")")/lib64")
fi
if command -v python3 > /dev/null; then
  mapfile -t -O "${#folders[@]}" folders < <(python3 -c '
import glob, sys
for folder in sys.path:
    print(*glob.glob(f"{folder}/nvidia/*/lib"), sep="\n")')
fi
for folder in "${folders[@]}"; do
  [ -d "$folder" ] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
done
export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
export STAND_INS_VERBOSE=1

status=0
if [ "$what" != bench ]; then
  "$here/bin/cuda" 2>&1 | tee "$out/tests.txt" || status=$?
fi
if [ "$what" != tests ]; then
  # Weights and inputs are large and of no use afterwards.
  data=$(mktemp -d)
  trap 'rm -rf "$data"' EXIT
  PYTHONPATH=$here/python${PYTHONPATH:+:$PYTHONPATH} python3 "$here/peers/compare.py" --device cuda \
    --program "$here/bin/peers" --data "$data" --json "$out/peers.json" | tee "$out/peers.md" || status=$?
fi
exit "$status"
