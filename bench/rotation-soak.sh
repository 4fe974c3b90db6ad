#!/usr/bin/env bash
# Requests without a pause while the keys of access tokens change, natively: through a rolling change of the root secret,
# and across a border of the keys' periods. Fails when one is refused; otherwise appends a row for each to
# results/rotation.md.
#
#   bench/rotation-soak.sh [REQUESTS]       of each of the two, 100000 unless told
#
# Starts its own Postgres. MACHINE is what the rows call this one (its number of processors).
set -euo pipefail
cd "$(dirname "$0")/.."

requests=${1:-100000}
results=${RESULTS:-bench/results/rotation.md}
MACHINE=${MACHINE:-$(nproc) vCPU}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs the test $2 and appends what came of it under the name $1.
soak() {
  NEST_TEST_HOST=native NEST_ROTATION_CALLS=$requests \
    cargo test --package nest-tests --test it -- --exact "tokens::soak::$2" | tee "$log"
  # A name that is no test's would pass as well.
  grep -q '^test result: ok. 1 passed' "$log"
  took=$(sed -n 's/.*finished in \([0-9]*\)\.[0-9]*s$/\1/p' "$log")
  # With commas between thousands, as the other figures are written.
  shown=$(sed ':next; s/\B[0-9]\{3\}\>/,&/; t next' <<<"$requests")
  echo "| $(date -u +%F) | $MACHINE | $1 | $shown | 0 | $took s |" >>"$results"
}

soak "the root secret is replaced" no_request_is_refused_while_the_root_secret_is_replaced
soak "a border of periods" no_request_is_refused_across_a_border_of_periods
