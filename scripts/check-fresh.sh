#!/usr/bin/env bash
# Runs the two commands of the README on a system with only Node: makes a minimal Debian root, clones the last commit of this
# project into it, and runs the commands there.
#   scripts/check-fresh.sh SUITE                     SUITE is bookworm, trixie, ...; runs npm start, then npm test
#   scripts/check-fresh.sh SUITE 'npm test -- test/house' ...    runs these commands instead, one after the other
# FRESH_PACKAGES="clang libomp-dev" installs packages first, FRESH_ENV="CXX=clang++" sets variables for the commands, and
# FRESH_KEEP=FOLDER keeps the root in FOLDER and uses it again (the clone in it is updated).
# Needs root on Debian. It uses this machine's Node (with headers), npm registry and package sources. It keeps the logs and
# prints their paths. The exit code is 1 if a command failed.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=${1:-}
[[ -n $suite ]] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
shift
commands=("$@")
((${#commands[@]})) || commands=('npm start' 'npm test')
fail() { printf 'check-fresh: %s\n' "$*" >&2; exit 1; }
say() { printf '== %s: %s\n' "$suite" "$*"; }

((EUID == 0)) || fail 'must run as root: it makes a root file system and changes into it'
for need in apt-get node npm git unshare; do command -v "$need" >/dev/null || fail "needs $need"; done
if ! command -v mmdebstrap >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  install=(apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends mmdebstrap)
  "${install[@]}" >/dev/null 2>&1 || { apt-get update >/dev/null && "${install[@]}" >/dev/null; } || fail 'cannot install mmdebstrap'
fi

work=$(mktemp -d "${TMPDIR:-/var/tmp}/lxmert-fresh-$suite.XXXXXX")
root=${FRESH_KEEP:-$work/root}
logs=$work/logs
mkdir -p "$logs"
# Mounts are made in a separate namespace, which ends with the commands, so nothing is mounted on this machine.
child=
clean() {
  # SIGKILL also ends all processes in the namespace. The child would ignore another signal.
  [[ -z $child ]] || kill -KILL "$child" 2>/dev/null || true
  [[ -n ${FRESH_KEEP:-} ]] || rm -rf --one-file-system "$root"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The Debian package sources of this machine, changed to the other suite. Sources of other projects are left out.
sources() {
  local own file
  own=$(. /etc/os-release && printf %s "$VERSION_CODENAME")
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [[ -f $file ]] && grep -q "debian-archive\|[ /]debian" "$file" || continue
    sed "/^ *#/d; s/\b$own\b/$suite/g" "$file" >"$work/$(basename "$file")"
    printf '%s\n' "$work/$(basename "$file")"
  done
}

make_root() {
  local lists apt=$work/apt.conf
  mapfile -t lists < <(sources)
  # The machine's settings for proxies, time-outs and certificates.
  apt-config dump | grep -E '^Acquire::(http|https|Retries|ftp|Proxy)' | grep -v ' "";$' >"$apt" || true
  mmdebstrap --variant=minbase --mode=root --aptopt="$apt" "$suite" "$root" "${lists[@]}" >"$logs/root.log" 2>&1 ||
    { tail -n 20 "$logs/root.log" >&2; fail "cannot make a root of $suite ($logs/root.log)"; }
}

# Copies Node as in an archive of nodejs.org: program, headers, npm.
put_node() {
  local node npm headers
  node=$(node -p process.execPath)
  npm=$(dirname "$(dirname "$(realpath "$(command -v npm)")")")
  headers=$(dirname "$(dirname "$node")")/include/node
  mkdir -p "$root/usr/local/bin" "$root/usr/local/lib/node_modules" "$root/usr/local/include"
  cp "$node" "$root/usr/local/bin/node"
  rm -rf "$root/usr/local/lib/node_modules/npm" "$root/usr/local/include/node"
  cp -RL "$npm" "$root/usr/local/lib/node_modules/npm"
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
  if [[ -d $headers ]]; then cp -RL "$headers" "$root/usr/local/include/node"; else say "this machine's Node has no headers in $headers"; fi
}

# Copies the settings for the registries: names, certificates, npm's settings.
put_network() {
  local key value authority
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
  authority=$(npm config get cafile)
  [[ -f $authority ]] || authority=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
  : >"$root/root/.npmrc"
  chmod 600 "$root/root/.npmrc"
  if [[ -f $authority ]]; then
    mkdir -p "$root/etc/ssl/certs"
    cp -L "$authority" "$root/etc/ssl/certs/ca-certificates.crt"
    echo 'cafile=/etc/ssl/certs/ca-certificates.crt' >>"$root/root/.npmrc"
  fi
  for key in registry proxy https-proxy noproxy strict-ssl; do
    value=$(npm config get "$key")
    [[ $value == null || $value == undefined || -z $value ]] || echo "$key=$value" >>"$root/root/.npmrc"
  done
  # Variables with credentials of a registry.
  cat "$(npm config get userconfig)" "$(npm config get globalconfig)" 2>/dev/null | grep '^//' >>"$root/root/.npmrc" || true
}

clone() {
  local here
  here=$(git rev-parse HEAD)
  if [[ -d $root/root/lxmert/.git ]]; then
    git -C "$root/root/lxmert" fetch --quiet "$PWD" "$here"
    git -C "$root/root/lxmert" checkout --quiet --force --detach "$here"
  else
    git clone --quiet --no-hardlinks "file://$PWD" "$root/root/lxmert"
    git -C "$root/root/lxmert" checkout --quiet --detach "$here"
  fi
  git diff --quiet HEAD || say 'changes that are not committed are not tested'
}

# inside COMMAND: runs a command by a shell in the root, with separate processes and mounts.
inside() {
  local settings=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
    DEBIAN_FRONTEND=noninteractive)
  [[ -f $root/etc/ssl/certs/ca-certificates.crt ]] && settings+=(NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt)
  local name
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    [[ -z ${!name:-} ]] || settings+=("$name=${!name}")
  done
  # shellcheck disable=SC2206 # words
  settings+=(${FRESH_ENV:-})
  unshare --mount --pid --fork --kill-child sh -c '
    root=$1; shift
    mount --make-rprivate / &&
    mount -t proc proc "$root/proc" && mount --rbind /sys "$root/sys" && mount --rbind /dev "$root/dev" &&
    exec chroot "$root" env -i "$@"' sh "$root" "${settings[@]}" sh -c "cd /root/lxmert && $1" </dev/null &
  child=$!
  local status=0
  wait "$child" || status=$?
  child=
  return $status
}

[[ -x $root/bin/sh ]] || { say 'making a minimal root'; make_root; }
put_node
put_network
clone
say "node $(inside 'node --version'), $(git rev-parse --short HEAD)"
if [[ -n ${FRESH_PACKAGES:-} ]]; then
  inside "apt-get update -q && apt-get install -qy --no-install-recommends $FRESH_PACKAGES" >"$logs/packages.log" 2>&1 ||
    { tail -n 20 "$logs/packages.log" >&2; fail "cannot install $FRESH_PACKAGES"; }
fi

failed=0
for i in "${!commands[@]}"; do
  command=${commands[i]}
  log=$logs/$((i + 1)).log
  say "$command ..."
  begin=$SECONDS
  if inside "$command" >"$log" 2>&1; then
    say "$command: ok in $((SECONDS - begin)) s"
  else
    failed=1
    say "$command: FAILED after $((SECONDS - begin)) s"
    grep -E '^(FAIL |  ●|lxmert: )' "$log" | sort -u | head -n 60 || true
  fi
  grep -E '^(Tests|Test Suites):' "$log" || tail -n 5 "$log"
done
say "logs: $logs"
exit $failed
