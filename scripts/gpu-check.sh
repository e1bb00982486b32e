#!/bin/sh
# Says on a machine with a GPU whether the kernels and the whole model are right, and how fast they are:
#   gpu-check.sh [STAGE ...] [--out FOLDER] [--seconds N] [--tiny]       --help tells the rest
# In a bundle (docs/bundle.md) it needs no Node, no compiler and no network; in a clone it takes the Node on the PATH.
case $0 in
  */*) here=$(cd "${0%/*}" && pwd) || exit 1 ;;
  *) here=$(pwd) ;;
esac
if [ -x "$here/bin/node" ]; then
  LXMERT_ENTRY=scripts/gpu/check.mjs exec "$here/lxmert" "$@"
fi
command -v node >/dev/null || {
  echo 'gpu-check: there is no Node; make a bundle elsewhere (npm run bundle), which brings its own' >&2
  exit 1
}
exec node "$here/gpu/check.mjs" "$@"
