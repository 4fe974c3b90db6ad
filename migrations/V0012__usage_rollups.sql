-- What was used, summed up: one row for each key, UTC day, model and outcome. Whatever lists, charts or exports usage
-- reads these and never the calls themselves, of which there may be a thousand times as many.
create table usage_rollups (
    org_id uuid not null references orgs (id),
    key_id uuid not null references api_keys (id),
    -- In UTC, of the moment at which a call began.
    day date not null,
    -- Empty for calls that were over before any model was asked.
    model text not null,
    outcome text not null,
    calls bigint not null,
    -- A sum may pass what a bigint holds, since an upstream may report any number.
    prompt_tokens numeric not null,
    completion_tokens numeric not null,
    cached_tokens numeric not null,
    reasoning_tokens numeric not null,
    -- Of all calls together; the mean is this over `calls`.
    latency_ms numeric not null,
    -- When the last of them began.
    last_started_at timestamptz not null,
    primary key (org_id, key_id, day, model, outcome)
-- A busy row changes several times a second. What is indexed never changes, so that with room in its page a new version
-- needs no new index entry.
) with (fillfactor = 70);
create index usage_rollups_by_day on usage_rollups (org_id, day);

-- A stream whose key died meanwhile is cut. Whatever held before holds under the wider rule.
alter table usage drop constraint usage_outcome_check, add constraint usage_outcome_check
    check (outcome in ('completed', 'refused', 'failed', 'client_left', 'upstream_cut', 'revoked')) not valid;

-- Under which model a call is summed up. A refused call may name anything, and made-up names must not make rows.
create function rollup_model(model text, upstream text, outcome text) returns text language sql immutable as $$
    select case when upstream is null and outcome in ('refused', 'client_left') then '' else model end;
$$;

-- Adds up the rows that a statement has really inserted, within that statement: neither is ever there without the other,
-- whoever inserts. Sorted, so that two batches lock the rows that both need in one order.
create function roll_up_usage() returns trigger language plpgsql as $$
begin
    insert into usage_rollups as rollup
        (org_id, key_id, day, model, outcome, calls, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
         latency_ms, last_started_at)
    select org_id, key_id, (started_at at time zone 'UTC')::date, rollup_model(model, upstream, outcome), outcome,
        count(*), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), sum(reasoning_tokens),
        sum(latency_ms), max(started_at)
    from added group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
    on conflict (org_id, key_id, day, model, outcome) do update
    set calls = rollup.calls + excluded.calls,
        prompt_tokens = rollup.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = rollup.completion_tokens + excluded.completion_tokens,
        cached_tokens = rollup.cached_tokens + excluded.cached_tokens,
        reasoning_tokens = rollup.reasoning_tokens + excluded.reasoning_tokens,
        latency_ms = rollup.latency_ms + excluded.latency_ms,
        last_started_at = greatest(rollup.last_started_at, excluded.last_started_at);
    return null;
end $$;

-- The table has been locked since its constraint was changed, so that no row falls between the trigger and the sums.
create trigger roll_up after insert on usage referencing new table as added
    for each statement execute function roll_up_usage();

insert into usage_rollups
    (org_id, key_id, day, model, outcome, calls, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
     latency_ms, last_started_at)
select org_id, key_id, (started_at at time zone 'UTC')::date, rollup_model(model, upstream, outcome), outcome, count(*),
    sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), sum(reasoning_tokens), sum(latency_ms),
    max(started_at)
from usage group by 1, 2, 3, 4, 5;

-- What lists of keys say of a key's use: when it was used last, and its sums in the UTC month of `moment`. Always one row.
create function key_usage(org uuid, key uuid, moment timestamptz)
returns table (last_used_at timestamptz, calls bigint, prompt_tokens bigint, completion_tokens bigint)
language sql stable as $$
    select
        (select max(last_started_at) from usage_rollups
         where org_id = org and key_id = key
             and day = (select max(day) from usage_rollups where org_id = org and key_id = key)),
        coalesce(sum(month.calls), 0)::bigint,
        least(coalesce(sum(month.prompt_tokens), 0), 9223372036854775807)::bigint,
        least(coalesce(sum(month.completion_tokens), 0), 9223372036854775807)::bigint
    from usage_rollups as month
    where month.org_id = org and month.key_id = key
        and month.day >= date_trunc('month', moment at time zone 'UTC')::date
        and month.day < (date_trunc('month', moment at time zone 'UTC') + interval '1 month')::date;
$$;
