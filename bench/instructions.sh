#!/usr/bin/env bash
# What holding and settling money costs a call, in instructions of user space: a figure that no other load on the machine
# changes. It runs the edge under valgrind, with and without prices, before bench-mock, and takes the difference between
# many calls and few. DATABASE_URL and PRICED_DATABASE_URL name databases of their own.
set -euo pipefail
# What fails within $(…) ends the run as well.
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
: "${DATABASE_URL:?names a running Postgres}" "${PRICED_DATABASE_URL:?names another database of it}"
command -v valgrind >/dev/null || { echo "valgrind is missing" >&2; exit 69; }
cargo build --release --package nest-bench --package nest-cli
programs=${CARGO_TARGET_DIR:-target}/release
few=100 many=${CALLS:-1100}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT

export SECRET_KEY=bench-only-0123456789-abcdefghijklmnopqrstuvwxyz RUST_LOG=warn
export ADDRESS_LIMITS="login=1000000000/m auth=1000000000/m oauth=1000000000/m models=1000000000/m api=1000000000/m nodes=1000000000/m"
export OPENAI_MODEL_NAME=gpt-4o-mini GROQ_API_KEY=bench
export ORG_LIMITS="requests_per_minute=1000000000 requests_per_day=100000000000 tokens_per_minute=100000000000 tokens_per_day=1000000000000 concurrent=100000"
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

"$programs/bench-mock" --listen 127.0.0.1:9341 >/dev/null &
export OPENAI_BASE_URL=http://127.0.0.1:9341/v1 PORT=9342

# Prepares a database, and prints a key: prepare DATABASE priced|plain
prepare() {
  export DATABASE_URL=$1
  "$programs/nest" migrate up >/dev/null
  local org
  org=$("$programs/nest" admin create --json --email "bench-$(date +%s%N)@localhost" | field org)
  if [ "$2" = priced ]; then
    printf '[[data]]\nmodel = "%s"\nprice = { input = "0.05", output = "0.08" }\n' "$OPENAI_MODEL_NAME" >"$work/prices.toml"
    "$programs/nest" billing prices import "$work/prices.toml" >/dev/null
    "$programs/nest" billing grant "$org" 1000000 >/dev/null
  fi
  "$programs/nest" keys create --json --name bench --org "$org" | field key
}

# Instructions of an edge that answers so many calls: count DATABASE KEY CALLS [--stream --include-usage]
count() {
  export DATABASE_URL=$1 USAGE_JOURNAL=$work/journal
  rm -f "$work/journal"
  valgrind --tool=callgrind --callgrind-out-file="$work/out" "$programs/nest" serve >"$work/log" 2>&1 &
  local edge=$!
  until curl --silent --fail --output /dev/null "http://127.0.0.1:$PORT/healthz"; do
    kill -0 "$edge" || { cat "$work/log" >&2; exit 1; }
    sleep 0.5
  done
  "$programs/bench-load" --url "http://127.0.0.1:$PORT/v1/chat/completions" -H "authorization: Bearer $2" \
    --model "$OPENAI_MODEL_NAME" -c 8 -w 0 -d 600 --max "$3" "${@:4}" >/dev/null
  sleep 2
  kill -TERM "$edge"
  wait "$edge" || true
  sed -n 's/^\(summary\|totals\): //p' "$work/out" | head -n 1
}

plain=$(prepare "$DATABASE_URL" plain)
plain_database=$DATABASE_URL
priced=$(prepare "$PRICED_DATABASE_URL" priced)
echo "| call | instructions without prices | with prices | more |"
echo "|---|--:|--:|--:|"
for way in "" "--stream --include-usage"; do
  each=()
  for edge in "$plain_database $plain" "$PRICED_DATABASE_URL $priced"; do
    # shellcheck disable=SC2086
    first=$(count $edge $few $way) second=$(count $edge $many $way)
    each+=($(((second - first) / (many - few))))
  done
  echo "| $([ "$way" ] && echo "stream of 52 events" || echo whole) | ${each[0]} | ${each[1]} | $((each[1] - each[0])) |"
done
