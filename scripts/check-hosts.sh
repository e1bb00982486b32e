#!/usr/bin/env bash
# Runs one job on two hosts and then cuts the network between them. The hosts are two network namespaces of this machine
# with separate addresses and names. This script makes and removes them. Needs root, `ip` (Debian: iproute2), `unshare`
# and `npm run setup`.
#
# 1. Two ranks, one on each host, must give the same weights as one process.
# 2. One host is cut off in the middle of a run. Both ranks must end within the rank timeout and 10 seconds, with one message
#    on each side of the cut, and the last checkpoint must be complete.
set -euo pipefail
cd "$(dirname "$0")/.."
lxmert=("$(command -v node)" "$PWD/dist/cli/main.js")
folder=$(mktemp -d)
one=lxmert-one-$$ two=lxmert-two-$$
timeout=4
pids=()

end() {
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  ip netns delete "$one" 2>/dev/null || true
  ip netns delete "$two" 2>/dev/null || true
  rm -rf "$folder"
}
trap end EXIT

ip netns add "$one"
ip netns add "$two"
ip -n "$one" link add to-two type veth peer name to-one netns "$two"
ip -n "$one" address add 10.77.0.1/24 dev to-two
ip -n "$two" address add 10.77.0.2/24 dev to-one
for host in "$one" "$two"; do ip -n "$host" link set lo up; done
ip -n "$one" link set to-two up
ip -n "$two" link set to-one up

"${lxmert[@]}" scenes --out "$folder/scenes" --images 12 --feature-dim 16 --pictures 0 >/dev/null 2>&1
flags=(pretrain --data "$folder/scenes" --preset tiny --device cpu --batch-size 8 --gradient-parts 4 --valid none
  --hidden-size 32 --num-attention-heads 2 --intermediate-size 32 --rank-timeout "$timeout")

# Starts a rank on a host. Arguments: name of the host, number of the rank, then flags. Adds its process id to `pids`.
start() {
  local host=$1 rank=$2
  shift 2
  RANK=$rank WORLD_SIZE=2 MASTER_ADDR=10.77.0.1 MASTER_PORT=29533 ip netns exec "$host" \
    unshare --uts sh -c 'hostname "$1"; shift; exec "$@"' sh "${host%-*}" "${lxmert[@]}" "${flags[@]}" "$@" \
    >"$folder/rank-$rank.out" 2>"$folder/rank-$rank.err" &
  pids+=($!)
}
fail() {
  echo "check-hosts: $1" >&2
  tail -n 5 "$folder"/rank-*.err >&2
  exit 1
}

"${lxmert[@]}" "${flags[@]}" --max-steps 4 --out "$folder/alone" >/dev/null 2>&1
start "$one" 0 --max-steps 4 --out "$folder/both"
start "$two" 1 --max-steps 4 --out "$folder/both"
wait "${pids[0]}" || fail 'rank 0 failed'
wait "${pids[1]}" || fail 'rank 1 failed'
pids=()
cmp "$folder/alone/checkpoints/last/model.safetensors" "$folder/both/checkpoints/last/model.safetensors"
echo 'two hosts: the same bits as one process'

start "$one" 0 --max-steps 1000000 --save-every 1 --out "$folder/cut"
start "$two" 1 --max-steps 1000000 --save-every 1 --out "$folder/cut"
began=$SECONDS
until grep -q 'saved' "$folder/rank-0.err"; do
  kill -0 "${pids[0]}" 2>/dev/null || fail 'rank 0 ended too early'
  ((SECONDS - began < 60)) || fail 'rank 0 saves no checkpoint'
  sleep 0.1
done
ip -n "$two" link set to-one down
cut=$SECONDS
codes=()
for pid in "${pids[@]}"; do
  code=0
  wait "$pid" || code=$?
  codes+=("$code")
done
pids=()
took=$((SECONDS - cut))
[[ ${codes[*]} == '1 1' ]] || fail "exit codes ${codes[*]}, expected 1 1"
((took <= timeout + 10)) || fail "the ranks ended after $took s"
grep -h '^lxmert:' "$folder"/rank-*.err || fail 'no rank says why it ended'
[[ $(grep -c '^lxmert: rank 1 (lxmert-two) does not answer' "$folder/rank-0.err") == 1 ]] || fail 'rank 0 names no cause'
[[ $(grep -c '^lxmert:' "$folder/rank-1.err") == 1 ]] || fail 'rank 1 does not print one message'
"${lxmert[@]}" "${flags[@]}" --resume --ranks 1 --max-steps 1000001 --out "$folder/cut" >"$folder/rank-0.out" 2>"$folder/rank-0.err" &
pids=($!)
resumed=$SECONDS
until grep -q 'continues after step' "$folder/rank-0.err"; do
  kill -0 "${pids[0]}" 2>/dev/null || fail 'the checkpoint cannot be resumed'
  ((SECONDS - resumed < 60)) || fail 'the resumed run does not say where it continues'
  sleep 0.1
done
kill -KILL "${pids[0]}"
wait "${pids[0]}" 2>/dev/null || true
pids=()
echo "one host was cut off: both ranks ended after $took s, and the checkpoint can be resumed"
