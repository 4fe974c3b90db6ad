#!/usr/bin/env bash
# Builds what is measured, then measures the edge under workerd. DATABASE_URL names a running Postgres with a database
# of its own. Arguments go to bench/workers.mjs: --repetitions N, --requests N, --results FILE.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${DATABASE_URL:?names the Postgres to write usage to}"

cargo build --release --package nest-bench --package nest-cli
cargo xtask dist cloudflare
node="$(cargo xtask node)"
exec "$node" bench/workers.mjs --programs "${CARGO_TARGET_DIR:-target}/release" "$@"
