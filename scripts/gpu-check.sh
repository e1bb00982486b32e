#!/usr/bin/env bash
# One call on a machine with a GPU: builds, checks every kernel and the whole model against references, times the kernels and
# a whole step beside PyTorch, and looks for memory errors and races.
#   scripts/gpu-check.sh [FOLDER]     results: FOLDER/summary.json, kernels.json, step.json, *.log; default gpu-check/
# All of it takes at most GPU_CHECK_SECONDS (570): what is worth most comes first, a step gets what is left, and those for
# which nothing is left are named. Needs nvcc and a GPU; Node, PyTorch (PEER_PYTHON, python3 by default) and compute-sanitizer
# are used where they are. Exit code 1 when a check failed.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-gpu-check}")
objects=$out/objects
mkdir -p "$objects"
nvcc=${NVCC:-nvcc}
python=${PEER_PYTHON:-python3}
jobs=$(nproc)
deadline=$((SECONDS + ${GPU_CHECK_SECONDS:-570}))
results=()
rows=()
failed=0

# note NAME TEXT JSON: a line of the table, and of the summary.
note() {
  printf '%s\n' "$2"
  rows+=("$(printf '%-28s %s' "$1" "$2")")
  results+=("\"$1\": $3")
}

left_out() {
  printf '== %s: ' "$1"
  note "$1" "left out, $2" "{\"leftOut\": \"$2\"}"
}

# step NAME SECONDS COMMAND...: its output goes to NAME.log. It gets so many seconds, or what is left of all.
step() {
  local name=$1 limit=$2 begin=$SECONDS left=$((deadline - SECONDS)) status
  shift 2
  if ((left < 5)); then
    left_out "$name" 'no time was left'
    return 1
  fi
  printf '== %s ... ' "$name"
  timeout -k 5 "$((left < limit ? left : limit))" bash -c '"$@"' bash "$@" >"$out/$name.log" 2>&1
  status=$?
  case $status in
    0) note "$name" "ok ($((SECONDS - begin)) s)" "{\"ok\": true, \"seconds\": $((SECONDS - begin))}" ;;
    124 | 137) note "$name" "ran out of time ($((SECONDS - begin)) s)" "{\"outOfTime\": true, \"seconds\": $((SECONDS - begin))}" ;;
    *)
      note "$name" "FAILED, exit code $status, see $name.log" "{\"ok\": false, \"seconds\": $((SECONDS - begin))}"
      failed=1
      ;;
  esac
  return $status
}

list() { "$python" -c "import json; print('\n'.join(json.load(open('native/sources.gypi'))['variables']['$1']))"; }

# The program of bench/cuda: all of the CUDA back end, and the CPU's kernels that need no library.
build_kernels() {
  local flags=(-std=c++20 -O3 -arch=native -I native -Xcompiler=-fopenmp)
  {
    list lxmert_cuda_sources
    list lxmert_cuda_toolkit_sources
    ls bench/cuda/*.cu
  } | xargs -P "$jobs" -I{} bash -c '"$0" "${@:2}" -c "$1" -o "'"$objects"'/$(basename "$1").o"' "$nvcc" {} "${flags[@]}" || return 1
  list lxmert_sources | grep '^native/cpu/' | grep -v 'linear\|product\|device' |
    xargs -P "$jobs" -I{} sh -c 'g++ -std=c++20 -O3 -march=native -fno-math-errno -fno-trapping-math -fopenmp \
      -Wno-psabi -I native -c "$1" -o "'"$objects"'/$(basename "$1").o"' sh {} || return 1
  "$nvcc" "$objects"/*.o -o "$out/kernels" -Xcompiler=-fopenmp -ldl
}

build_instructions() {
  "$nvcc" -std=c++20 -O3 -arch=native -I native test/cuda/emulator/instructions.cu -o "$out/instructions"
}

# Only for the GPU at hand: four targets would take four times as long.
build_node() { npm run setup && LXMERT_CUDA_TARGETS=$capability npm run build:cuda; }

step_beside_pytorch() {
  local peer=()
  "$python" -c 'import torch, transformers; assert torch.cuda.is_available()' 2>/dev/null && peer=(--peer-python "$python")
  npx lxmert bench step --device cuda --precision bfloat16 --batch 256 --steps 10 --warmup 5 "${peer[@]}" --json >"$out/step.json" || return 1
  cat "$out/step.json"
}

# The same step, its streams one after the other.
step_without_lanes() {
  npx lxmert bench step --device cuda --precision bfloat16 --batch 256 --steps 10 --warmup 5 --no-lanes --json >"$out/step-no-lanes.json" || return 1
  cat "$out/step-no-lanes.json"
}

# A row of the table with the result of a step: samples a second, ours and PyTorch's.
step_line() {
  local line
  line=$("$python" - "$1" <<'PYTHON'
import json, sys
r = json.load(open(sys.argv[1]))
peer = r.get("peer")
beside = f"; {peer['name']}: {peer['samplesPerSecond']:.0f} samples/s, ours is {peer['ratio']:.2f} times as fast" if peer else ""
print(f"{r['stepMilliseconds']['median']:.2f} ms, {r['samplesPerSecond']:.0f} samples/s{beside}")
PYTHON
  )
  printf '%s\n' "$line"
  rows+=("$(printf '%-28s %s' '' "$line")")
}

command -v "$nvcc" >/dev/null || { echo "gpu-check: no nvcc; install the CUDA toolkit, or name it: NVCC=/usr/local/cuda/bin/nvcc" >&2; exit 1; }
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/device.log" ||
  { echo 'gpu-check: nvidia-smi finds no GPU' >&2; exit 1; }
capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)

# The library of matrix products may have come with PyTorch alone.
wheel=$("$python" -c 'import glob, nvidia; print(*sorted(f for p in nvidia.__path__ for f in glob.glob(p + "/**/libcublasLt.so.1*", recursive=True))[-1:])' 2>/dev/null)
if [[ -z ${LXMERT_CUBLASLT:-} && -f $wheel ]] && ! ldconfig -p | grep -q libcublasLt; then export LXMERT_CUBLASLT=$wheel; fi

# Functions of this file as steps: timeout runs programs only.
export -f list build_kernels build_instructions build_node step_beside_pytorch step_without_lanes
export out objects nvcc python jobs capability

step build 240 build_kernels
built=$?
if ((built == 0)); then step check 60 "$out/kernels" --check; fi
node=1
if ! command -v npm >/dev/null; then
  node=0
  left_out node 'Node is not installed: neither parity fixtures nor whole steps ran'
elif step build-node 240 build_node; then
  for fixture in test/fixtures/*/; do
    for precision in float32 bfloat16; do
      step "parity-$(basename "$fixture")-$precision" 60 npx lxmert parity "$fixture" --device cuda --precision "$precision"
    done
  done
else
  node=0
fi
if ((built == 0)); then step bench 120 "$out/kernels" --bench --json "$out/kernels.json" && cat "$out/bench.log"; fi
if ((node == 1)); then
  step step-beside-pytorch 240 step_beside_pytorch && step_line "$out/step.json"
  step step-without-lanes 60 step_without_lanes && step_line "$out/step-no-lanes.json"
fi
if ((built == 0)); then
  # Small shapes only: the sanitizer makes kernels a hundred times slower.
  if command -v compute-sanitizer >/dev/null; then
    step memcheck 120 compute-sanitizer --tool memcheck --error-exitcode 1 "$out/kernels" --check
    step racecheck 120 compute-sanitizer --tool racecheck --error-exitcode 1 "$out/kernels" --check
  else
    left_out sanitizer 'compute-sanitizer is not installed'
  fi
fi
step build-instructions 60 build_instructions && step instructions 30 "$out/instructions"
if ((node == 1)); then
  step ops 180 npm test -- test/engine/ops/opTable.test.ts -t 'cuda '
  step bench-ops 60 npx lxmert bench kernels --device cuda --precision bfloat16 --batch 256 --tokens 12-12
fi
if "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
  step torch-kernels 150 "$python" bench/cuda/torch_kernels.py "$out/torch.json" && cat "$out/torch-kernels.log"
else
  left_out torch-kernels 'PyTorch with CUDA is not installed'
fi

(
  IFS=,
  printf '{"device": "%s", "seconds": %d, "steps": {%s}}\n' "$(head -n 1 "$out/device.log")" "$SECONDS" "${results[*]}"
) >"$out/summary.json"
printf '\n%s\n' "${rows[@]}" "$out/summary.json"
exit $failed
