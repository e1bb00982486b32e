#!/bin/sh
# Checks on a machine with a GPU whether the results of the kernels and of the whole model are right, and measures their speed:
#   gpu-check.sh [STAGE ...] [--out FOLDER] [--seconds N] [--tiny]       --help describes the options
# In a bundle (docs/bundle.md) it needs no Node, compiler or network. In a clone it uses the Node on the PATH.
case $0 in
  */*) here=$(cd "${0%/*}" && pwd) || exit 1 ;;
  *) here=$(pwd) ;;
esac
if [ -x "$here/bin/node" ]; then
  LXMERT_ENTRY=scripts/gpu/check.mjs exec "$here/lxmert" "$@"
fi
command -v node >/dev/null || {
  echo 'gpu-check: there is no Node; make a bundle on another machine (npm run bundle), which contains Node' >&2
  exit 1
}
exec node "$here/gpu/check.mjs" "$@"
