#!/usr/bin/env bash
# Prints the Redis server that the end-to-end tests run: the machine's, if it is 7 or later.
#
# Where there is none and it may, installs Debian's; safe to run from several tests at once.
set -euo pipefail

usable() {
  local name path
  for name in redis-server /opt/homebrew/bin/redis-server /usr/local/bin/redis-server; do
    path=$(command -v "$name") || continue
    if "$path" --version | grep -qE ' v=([7-9]|[1-9][0-9])\.'; then
      echo "$path"
      return
    fi
  done
  return 1
}

usable && exit
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing redis-server" >&2
  # At run level 1 the package starts no server of its own.
  { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq redis-server; } >&2 || true
  usable && exit
fi
echo "no redis-server of version 7 or later: sudo apt-get install redis-server, or brew install redis" >&2
exit 69
