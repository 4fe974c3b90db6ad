#!/usr/bin/env bash
# What the roll-ups of usage cost in its group commits: batches of usage rows are written by several connections at once,
# with the trigger that sums them up and without it. Appends a section to results/rollups.md.
#
#   DATABASE_URL=postgres://… bench/rollups.sh        a database of a durable Postgres, which is emptied
#
# Needs psql and pgbench. WINDOW_S is how long each measurement takes (5), WRITERS how many write at once (4), KEYS how
# many keys are in use (10).
set -euo pipefail
cd "$(dirname "$0")"

: "${DATABASE_URL:?is not set: name a database that may be emptied}"
WINDOW_S=${WINDOW_S:-5}
WRITERS=${WRITERS:-4}
KEYS=${KEYS:-10}
BATCHES="1 10 100 1000"
RESULTS=${RESULTS:-results/rollups.md}

# Dropping what is there is no news.
export PGOPTIONS='-c client_min_messages=warning'
sql() { psql --quiet --no-psqlrc --tuples-only --no-align --set ON_ERROR_STOP=1 "$DATABASE_URL" "$@"; }

sql --command "drop schema public cascade; create schema public"
for migration in ../migrations/V*.sql; do
  sql --single-transaction --file "$migration"
done
sql --command "
  insert into orgs (id, name) values ('00000000-0000-0000-0000-000000000001', 'bench');
  insert into api_keys (id, org_id, name, prefix, last_four, secret_hash)
  select gen_random_uuid(), '00000000-0000-0000-0000-000000000001', 'bench', 'p', 'l', decode(repeat('00', 32), 'hex')
  from generate_series(1, $KEYS)"

script=$(mktemp)
trap 'rm -f "$script"' EXIT
# As edge/core/src/usage/sql.rs inserts: from JSON, and what is there already stays.
cat >"$script" <<'SQL'
with given as (
    select json_build_object('request_id', gen_random_uuid(), 'key', (random() * (:keys - 1))::int,
        'model', 'model-' || (random() * 2)::int,
        'outcome', case when random() < 0.95 then 'completed' else 'failed' end, 'tokens', (random() * 1000)::int) as row
    from generate_series(1, :rows)
),
batch as (select json_agg(row)::text::jsonb as rows from given),
keys as (select id, org_id, row_number() over (order by id) - 1 as number from api_keys)
insert into usage
    (request_id, org_id, key_id, endpoint, model, upstream, stream, status, outcome, prompt_tokens, completion_tokens,
     cached_tokens, reasoning_tokens, tokens_source, started_at, first_byte_ms, latency_ms)
select record.request_id, keys.org_id, keys.id, 'chat.completions', record.model, 'groq', true, 200, record.outcome,
    record.tokens, record.tokens, 0, 0, 'upstream', now(), 100, 1000
from batch, jsonb_to_recordset(batch.rows) as record
    (request_id uuid, key bigint, model text, outcome text, tokens bigint)
join keys on keys.number = record.key
on conflict (request_id) do nothing;
SQL

# Batches in the window, and milliseconds of each, with the trigger set to $1 and $2 rows in a batch.
measure() {
  sql --command "truncate usage, usage_rollups; alter table usage $1 trigger roll_up; checkpoint"
  pgbench --no-vacuum --protocol prepared --client "$WRITERS" --jobs 2 --time "$WINDOW_S" --file "$script" \
    --define rows="$2" --define keys="$KEYS" "$DATABASE_URL" 2>/dev/null |
    awk '/latency average/ { ms = $4 } /^tps/ { tps = $3 } END { printf "%.0f %.2f\n", tps, ms }'
}

{
  echo
  echo "$(date -u +%F), $(nproc) vCPU, $(sql --command 'show server_version'), fsync $(sql --command 'show fsync')," \
    "writers: $WRITERS, $KEYS keys of 3 models, $WINDOW_S s each, medians of three:"
  echo
  echo "| rows in a batch | without: batches a second | ms | with roll-ups: batches a second | ms |"
  echo "| --: | --: | --: | --: | --: |"
} >>"$RESULTS"
for rows in $BATCHES; do
  rm -f "$script.disable" "$script.enable"
  # In turn, so that what else the machine does falls on both.
  for _ in 1 2 3; do
    for trigger in disable enable; do measure "$trigger" "$rows" >>"$script.$trigger"; done
  done
  read -r tps_without ms_without < <(sort -n "$script.disable" | sed -n 2p)
  read -r tps_with ms_with < <(sort -n "$script.enable" | sed -n 2p)
  echo "| $rows | $tps_without | $ms_without | $tps_with | $ms_with |" | tee -a "$RESULTS"
done
rm -f "$script.disable" "$script.enable"
sql --command "alter table usage enable trigger roll_up"
