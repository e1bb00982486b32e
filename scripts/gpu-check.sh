#!/usr/bin/env bash
# One call on a machine with a GPU: builds, checks every kernel, looks for memory errors and races, times the kernels
# and, where they are installed, compares the whole with Node's tests and with PyTorch. Within ten minutes.
#   scripts/gpu-check.sh [FOLDER]     results: FOLDER/summary.json, kernels.json, *.log; default gpu-check/
# Needs nvcc and a GPU; Node, compute-sanitizer and PyTorch are used where they are. Exit code 1 when a check failed.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-gpu-check}")
objects=$out/objects
mkdir -p "$objects"
nvcc=${NVCC:-nvcc}
jobs=$(nproc)
results=()
failed=0

# step NAME SECONDS COMMAND...: its output goes to NAME.log; what it came to, into the summary.
step() {
  local name=$1 limit=$2 begin=$SECONDS status
  shift 2
  printf '== %s ... ' "$name"
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  status=$?
  printf '%s (%d s)\n' "$([[ $status == 0 ]] && echo ok || echo "FAILED, exit code $status, see $name.log")" $((SECONDS - begin))
  results+=("\"$name\": {\"ok\": $([[ $status == 0 ]] && echo true || echo false), \"seconds\": $((SECONDS - begin))}")
  ((status == 0)) || failed=1
  return $status
}

left_out() {
  printf '== %s: left out, %s\n' "$1" "$2"
  results+=("\"$1\": {\"leftOut\": \"$2\"}")
}

list() { python3 -c "import json; print('\n'.join(json.load(open('native/sources.gypi'))['variables']['$1']))"; }

# The program of bench/cuda: all of the CUDA back end, and the CPU's kernels that need no library.
build_kernels() {
  local flags=(-std=c++20 -O3 -arch=native -I native -Xcompiler=-fopenmp)
  {
    list lxmert_cuda_sources
    list lxmert_cuda_toolkit_sources
    printf 'bench/cuda/%s.cu\n' main cases host tensors
  } | xargs -P "$jobs" -I{} sh -c '"$0" "${@:2}" -c "$1" -o "'"$objects"'/$(basename "$1").o"' "$nvcc" {} "${flags[@]}" || return 1
  list lxmert_sources | grep '^native/cpu/' | grep -v 'linear\|product\|device' |
    xargs -P "$jobs" -I{} sh -c 'g++ -std=c++20 -O3 -march=native -fno-math-errno -fno-trapping-math -fopenmp \
      -Wno-psabi -I native -c "$1" -o "'"$objects"'/$(basename "$1").o"' sh {} || return 1
  "$nvcc" "$objects"/*.o -o "$out/kernels" -Xcompiler=-fopenmp -ldl
}

build_instructions() {
  "$nvcc" -std=c++20 -O3 -arch=native -I native test/cuda/emulator/instructions.cu -o "$out/instructions"
}

command -v "$nvcc" >/dev/null || { echo "gpu-check: no nvcc; install the CUDA toolkit, or name it: NVCC=/usr/local/cuda/bin/nvcc" >&2; exit 1; }
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/device.log" ||
  { echo 'gpu-check: nvidia-smi finds no GPU' >&2; exit 1; }

if step build 240 build_kernels; then
  step check 120 "$out/kernels" --check
  # Small shapes only: the sanitizer makes kernels a hundred times slower.
  if command -v compute-sanitizer >/dev/null; then
    step memcheck 120 compute-sanitizer --tool memcheck --error-exitcode 1 "$out/kernels" --check
    step racecheck 120 compute-sanitizer --tool racecheck --error-exitcode 1 "$out/kernels" --check
  else
    left_out memcheck 'compute-sanitizer is not installed'
  fi
  step bench 150 "$out/kernels" --bench --json "$out/kernels.json" && cat "$out/bench.log"
fi
step build-instructions 60 build_instructions && step instructions 30 "$out/instructions"

if command -v npm >/dev/null; then
  step npm-setup 240 npm run setup && step npm-build-cuda 240 npm run build:cuda &&
    step npm-ops 180 npm test -- test/engine/ops/opTable.test.ts -t 'cuda '
  for fixture in test/fixtures/*/; do
    for precision in float32 bfloat16; do
      step "parity-$(basename "$fixture")-$precision" 60 npx lxmert parity "$fixture" --device cuda --precision "$precision"
    done
  done
else
  left_out npm 'Node is not installed: neither op table nor parity fixtures ran'
fi

if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
  step torch 150 python3 bench/cuda/torch_kernels.py "$out/torch.json" && cat "$out/torch.log"
else
  left_out torch 'PyTorch with CUDA is not installed'
fi

(
  IFS=,
  printf '{"device": "%s", "steps": {%s}}\n' "$(head -n 1 "$out/device.log")" "${results[*]}"
) >"$out/summary.json"
printf '\n%s\n' "$out/summary.json"
exit $failed
