#!/usr/bin/env bash
# Builds what is measured, then measures it. Arguments go to bench-gateway: bench/gateway.sh --help
# The edge takes part when DATABASE_URL names a running Postgres.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(--package nest-bench)
if [[ -n "${DATABASE_URL:-}" ]]; then
    packages+=(--package nest-cli)
fi
cargo build --release "${packages[@]}"
exec "${CARGO_TARGET_DIR:-target}/release/bench-gateway" "$@"
