#!/usr/bin/env bash
# Prints the Python that the end-to-end tests run, with the packages of requirements.txt.
#
# Made once for each content of that file, in a cache folder outside every checkout; safe to run from several tests at
# once. Where Python comes without venv (Debian), installs what is missing or says how.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$(command -v python3) || { echo "no python3: sudo apt-get install python3 python3-venv, or brew install python" >&2; exit 69; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nest
name=venv-$({ cat "$here/requirements.txt"; "$python" -c 'import sys; print(sys.version, sys.base_prefix)'; } | cksum | tr -d ' ')
venv=$cache/$name

# The mark is written last.
if [ ! -e "$venv/complete" ]; then
  fresh=$cache/$name.$$
  trap 'rm -rf "$fresh"' EXIT
  mkdir -p "$cache"
  echo "making the tests' Python environment in $venv" >&2
  if ! "$python" -m venv "$fresh" >/dev/null 2>&1; then
    rm -rf "$fresh"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      { apt-get update -qq && apt-get install -y -qq python3-venv; } >&2 || true
    fi
    "$python" -m venv "$fresh" >&2 || "$python" -m virtualenv --quiet "$fresh" >&2 || {
      echo "python3 cannot make an environment: sudo apt-get install python3-venv, or python3 -m pip install virtualenv" >&2
      exit 69
    }
  fi
  "$fresh/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" >&2
  touch "$fresh/complete"
  # Whoever comes second finds the place taken, and uses what is there.
  "$python" -c 'import os, sys; os.rename(*sys.argv[1:])' "$fresh" "$venv" 2>/dev/null || [ -e "$venv/complete" ]
fi
echo "$venv/bin/python"
