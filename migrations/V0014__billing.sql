-- Money: prices, a wallet and a ledger for each organisation, credit that edges lease ahead of calls, and what was spent
-- in each period. All amounts are billionths of a dollar. docs/billing.md says what each account is for.

-- A version is a whole table of prices. The newest rules; a row of usage names the one that it was charged by.
create table price_versions (
    version bigint primary key check (version > 0),
    created_at timestamptz not null,
    note text not null check (length(note) <= 500),
    -- The operator who published it; null for whoever ran `nest`.
    created_by uuid references users (id)
);

create table prices (
    version bigint not null references price_versions (version),
    model text not null check (length(model) between 1 and 256),
    -- For a million tokens.
    input_nanos bigint not null check (input_nanos >= 0),
    output_nanos bigint not null check (output_nanos >= 0),
    -- Null: as other tokens of the prompt.
    cached_input_nanos bigint check (cached_input_nanos >= 0),
    -- Null: as other tokens of the answer.
    reasoning_nanos bigint check (reasoning_nanos >= 0),
    -- For a request, and for a minute of sound.
    request_nanos bigint not null default 0 check (request_nanos >= 0),
    audio_minute_nanos bigint not null default 0 check (audio_minute_nanos >= 0),
    -- What the upstream takes from us for the same. Null: nothing is known.
    upstream_input_nanos bigint check (upstream_input_nanos >= 0),
    upstream_output_nanos bigint check (upstream_output_nanos >= 0),
    upstream_cached_input_nanos bigint check (upstream_cached_input_nanos >= 0),
    upstream_reasoning_nanos bigint check (upstream_reasoning_nanos >= 0),
    upstream_request_nanos bigint check (upstream_request_nanos >= 0),
    upstream_audio_minute_nanos bigint check (upstream_audio_minute_nanos >= 0),
    primary key (version, model)
);

-- An organisation's accounts. The balance of each is what the entries of its ledger brought to it less what they took.
create table wallets (
    org_id uuid primary key references orgs (id),
    -- Bought or granted; it does not expire.
    credit_nanos bigint not null default 0 check (credit_nanos >= 0),
    -- A plan's credit of the present period.
    allowance_nanos bigint not null default 0 check (allowance_nanos >= 0),
    -- Used beyond both, as far as `overage_limit_nanos`, and billed afterwards.
    overage_nanos bigint not null default 0 check (overage_nanos <= 0),
    -- Taken back, or used beyond all that was there.
    owed_nanos bigint not null default 0 check (owed_nanos <= 0),
    -- The other sides.
    revenue_nanos bigint not null default 0,
    payments_nanos bigint not null default 0,
    grants_nanos bigint not null default 0,
    expired_nanos bigint not null default 0,
    -- What is leased, of credit, allowance and overage together.
    held_nanos bigint not null default 0 check (held_nanos >= 0),
    overage_limit_nanos bigint not null default 0 check (overage_limit_nanos >= 0),
    -- Of the allowance, what belongs to a period that is over, and goes as soon as no lease holds it.
    allowance_ending_nanos bigint not null default 0,
    -- The allowance when it was granted last, and when that was.
    allowance_granted_nanos bigint not null default 0 check (allowance_granted_nanos >= 0),
    allowance_granted_at timestamptz,
    -- The state of a subscription for which calls are refused; null while they are not.
    refused_subscription text check (length(refused_subscription) between 1 and 40),
    -- The most that the organisation may spend in a period.
    spend_cap_nanos bigint check (spend_cap_nanos >= 0),
    spend_period text check (spend_period in ('day', 'week', 'month', 'total')),
    -- The end of the ledger's chain.
    entries bigint not null default 0 check (entries >= 0),
    head bytea not null default decode(repeat('00', 32), 'hex') check (length(head) = 32),
    check ((spend_cap_nanos is null) = (spend_period is null)),
    check (allowance_ending_nanos between 0 and allowance_nanos),
    constraint wallets_balance check (credit_nanos + allowance_nanos + overage_nanos + owed_nanos + revenue_nanos
        + payments_nanos + grants_nanos + expired_nanos = 0),
    constraint wallets_held check (held_nanos <= credit_nanos + allowance_nanos + overage_limit_nanos + overage_nanos)
);

-- Entries are added, and never changed: each moves an amount from one account of its organisation to another.
create table ledger_entries (
    org_id uuid not null references wallets (org_id),
    -- From 1, without gaps.
    seq bigint not null check (seq > 0),
    -- What the entry stands for, so that nothing is booked twice.
    business_key text not null check (business_key ~ '^[!-~]{1,200}$'),
    kind text not null check (kind ~ '^[a-z_]{1,40}$'),
    from_account text not null check (from_account in
        ('credit', 'allowance', 'overage', 'owed', 'revenue', 'payments', 'grants', 'expired')),
    to_account text not null check (to_account in
        ('credit', 'allowance', 'overage', 'owed', 'revenue', 'payments', 'grants', 'expired')),
    nanos bigint not null check (nanos > 0),
    at timestamptz not null,
    details jsonb not null,
    -- SHA-256 of the entry before and this one: see `ledger_hash`.
    previous_hash bytea not null check (length(previous_hash) = 32),
    hash bytea not null check (length(hash) = 32),
    check (from_account <> to_account),
    primary key (org_id, seq),
    unique (org_id, business_key)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'entries of % are never changed', tg_table_name using errcode = 'restrict_violation';
end $$;

create trigger never_changed before update or delete or truncate on ledger_entries
    for each statement execute function refuse_change();

-- What edges have taken ahead of calls. Every take is a row of its own, so that a take of which the answer was lost
-- holds its money no longer than until it expires.
create table credit_leases (
    id uuid primary key,
    org_id uuid not null references wallets (org_id),
    key_id uuid not null references api_keys (id),
    -- Whose key it is, for the cap of a member; null where it is nobody's.
    user_id uuid references users (id),
    -- The process that took it.
    holder text not null,
    granted_nanos bigint not null check (granted_nanos > 0),
    -- What is neither charged nor given back.
    remaining_nanos bigint not null check (remaining_nanos between 0 and granted_nanos),
    taken_at timestamptz not null,
    expires_at timestamptz not null,
    -- A closed lease is fenced: what is charged to it from then on comes from what nobody holds.
    closed_at timestamptz,
    check (closed_at is null or remaining_nanos = 0)
);
create index credit_leases_open on credit_leases (org_id) where closed_at is null;
create index credit_leases_due on credit_leases (expires_at) where closed_at is null;
create index credit_leases_closed on credit_leases (closed_at) where closed_at is not null;

-- What was spent, and is held, by whom: `org`, `user:<id>` for all keys of a member, or `key:<id>`. Days, weeks from
-- Monday and months are those of UTC, of the moment at which a call began; the sums are those of the periods of `day`.
create table spend (
    org_id uuid not null references wallets (org_id),
    subject text not null,
    day date not null,
    day_nanos bigint not null default 0 check (day_nanos >= 0),
    week_nanos bigint not null default 0 check (week_nanos >= 0),
    month_nanos bigint not null default 0 check (month_nanos >= 0),
    total_nanos bigint not null default 0 check (total_nanos >= 0),
    held_nanos bigint not null default 0 check (held_nanos >= 0),
    primary key (org_id, subject)
) with (fillfactor = 70);

-- Which of 50, 75, 90 and 100 percent of a cap or an allowance people were told of last.
create table spend_alerts (
    org_id uuid not null references wallets (org_id),
    -- As in `spend`, or `allowance`.
    subject text not null,
    period text not null,
    -- When the period began; for a cap without one, the first day of all.
    starts date not null,
    cap_nanos bigint not null,
    percent bigint not null,
    at timestamptz not null,
    primary key (org_id, subject, period, starts, cap_nanos)
);

-- Answers to what must be done once, by the key that whoever asked gave it.
create table idempotency_keys (
    -- Who asked: `user:usr_...`, `client:...`, `key:...`.
    principal text not null,
    key text not null check (length(key) between 1 and 255),
    -- SHA-256 of method, path and body.
    fingerprint bytea not null check (length(fingerprint) = 32),
    -- The name of the effect, for whoever does it: the same for every try.
    id uuid not null,
    created_at timestamptz not null,
    -- Until then whoever acts is alone.
    claimed_until timestamptz not null,
    -- The answer; null while it is made.
    status bigint,
    body text,
    primary key (principal, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

alter table memberships
    -- Billionths of a dollar that all keys of a member may spend in each period.
    add column spend_cap_nanos bigint check (spend_cap_nanos >= 0),
    add column spend_period text check (spend_period in ('day', 'week', 'month', 'total')),
    add constraint memberships_spend check ((spend_cap_nanos is null) = (spend_period is null));

alter table usage
    add column cost_nanos bigint not null default 0 check (cost_nanos >= 0),
    add column upstream_cost_nanos bigint not null default 0 check (upstream_cost_nanos >= 0),
    -- Null while no prices were published.
    add column price_version bigint references price_versions (version),
    -- Without a reference: leases go when they have been closed for long.
    add column lease_id uuid;

alter table usage_rollups
    add column cost_nanos numeric not null default 0,
    add column upstream_cost_nanos numeric not null default 0;

create or replace function roll_up_usage() returns trigger language plpgsql as $$
begin
    insert into usage_rollups as rollup
        (org_id, key_id, day, model, outcome, calls, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
         latency_ms, last_started_at, cost_nanos, upstream_cost_nanos)
    select org_id, key_id, (started_at at time zone 'UTC')::date, rollup_model(model, upstream, outcome), outcome,
        count(*), sum(prompt_tokens), sum(completion_tokens), sum(cached_tokens), sum(reasoning_tokens),
        sum(latency_ms), max(started_at), sum(cost_nanos), sum(upstream_cost_nanos)
    from added group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
    on conflict (org_id, key_id, day, model, outcome) do update
    set calls = rollup.calls + excluded.calls,
        prompt_tokens = rollup.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = rollup.completion_tokens + excluded.completion_tokens,
        cached_tokens = rollup.cached_tokens + excluded.cached_tokens,
        reasoning_tokens = rollup.reasoning_tokens + excluded.reasoning_tokens,
        latency_ms = rollup.latency_ms + excluded.latency_ms,
        last_started_at = greatest(rollup.last_started_at, excluded.last_started_at),
        cost_nanos = rollup.cost_nanos + excluded.cost_nanos,
        upstream_cost_nanos = rollup.upstream_cost_nanos + excluded.upstream_cost_nanos;
    return null;
end $$;

-- ---------------------------------------------------------------------------------------------------------------------
-- The ledger. Every function below locks the wallet of its organisation before it reads anything, so what one decides
-- no other has changed meanwhile. `moment` is the time by the edges' clock.

-- Locks a wallet; makes one for an organisation that has none.
create function hold_wallet(org uuid) returns wallets language plpgsql as $$
declare
    held wallets;
begin
    select * into held from wallets where org_id = org for update;
    if not found then
        insert into wallets (org_id) values (org) on conflict (org_id) do nothing;
        select * into held from wallets where org_id = org for update;
    end if;
    return held;
end $$;

-- What nobody holds.
create function unheld(wallet wallets) returns bigint language sql immutable as $$
    select wallet.credit_nanos + wallet.allowance_nanos + wallet.overage_limit_nanos + wallet.overage_nanos
        - wallet.held_nanos;
$$;

-- The link of an entry in its organisation's chain: SHA-256 of the link before, 32 zero bytes at first, and of the entry
-- as nine lines. No field but the last can hold the end of a line.
create function ledger_hash(previous bytea, org uuid, seq bigint, business_key text, kind text, from_account text,
    to_account text, nanos bigint, at timestamptz, details jsonb)
returns bytea language sql immutable as $$
    select sha256(previous || convert_to(concat_ws(E'\n', org, seq, business_key, kind, from_account, to_account, nanos,
        (extract(epoch from at) * 1000000)::bigint, details::text), 'UTF8'));
$$;

-- Books an amount: the only writer of entries. False when the business key is there already; then nothing has changed.
create function post_entry(org uuid, entry_key text, entry_kind text, source text, sink text, amount bigint,
    moment timestamptz, entry_details jsonb default '{}')
returns boolean language plpgsql as $$
declare
    wallet wallets := hold_wallet(org);
    link bytea;
begin
    if exists (select from ledger_entries where org_id = org and business_key = entry_key) then
        return false;
    end if;
    link := ledger_hash(wallet.head, org, wallet.entries + 1, entry_key, entry_kind, source, sink, amount, moment,
        entry_details);
    insert into ledger_entries (org_id, seq, business_key, kind, from_account, to_account, nanos, at, details,
        previous_hash, hash)
    values (org, wallet.entries + 1, entry_key, entry_kind, source, sink, amount, moment, entry_details, wallet.head,
        link);
    update wallets
    set entries = entries + 1, head = link,
        credit_nanos = credit_nanos + amount * ((sink = 'credit')::int - (source = 'credit')::int),
        allowance_nanos = allowance_nanos + amount * ((sink = 'allowance')::int - (source = 'allowance')::int),
        overage_nanos = overage_nanos + amount * ((sink = 'overage')::int - (source = 'overage')::int),
        owed_nanos = owed_nanos + amount * ((sink = 'owed')::int - (source = 'owed')::int),
        revenue_nanos = revenue_nanos + amount * ((sink = 'revenue')::int - (source = 'revenue')::int),
        payments_nanos = payments_nanos + amount * ((sink = 'payments')::int - (source = 'payments')::int),
        grants_nanos = grants_nanos + amount * ((sink = 'grants')::int - (source = 'grants')::int),
        expired_nanos = expired_nanos + amount * ((sink = 'expired')::int - (source = 'expired')::int),
        -- Of an allowance, what ends first goes first.
        allowance_ending_nanos = greatest(0, allowance_ending_nanos - amount * (source = 'allowance')::int)
    where org_id = org;
    return true;
end $$;

-- Whether an act is booked, of which one part or the other may have been nothing.
create function is_booked(org uuid, entry_key text, other_key text) returns boolean language sql volatile as $$
    select exists (select from ledger_entries where org_id = org and business_key in (entry_key, other_key));
$$;

-- Adds credit from `source` (`payments` or `grants`); what is owed is paid first.
create function add_credit(org uuid, entry_key text, entry_kind text, source text, amount bigint, moment timestamptz,
    entry_details jsonb default '{}')
returns boolean language plpgsql as $$
declare
    wallet wallets := hold_wallet(org);
    paid bigint := least(amount, -wallet.owed_nanos);
begin
    if is_booked(org, entry_key, entry_key || ':owed') then
        return false;
    end if;
    if paid > 0 then
        perform post_entry(org, entry_key || ':owed', entry_kind, source, 'owed', paid, moment, entry_details);
    end if;
    if amount > paid then
        perform post_entry(org, entry_key, entry_kind, source, 'credit', amount - paid, moment, entry_details);
    end if;
    return true;
end $$;

-- Takes back what a refund or a dispute takes: from credit that nobody holds, and the rest is owed.
create function take_back(org uuid, entry_key text, entry_kind text, sink text, amount bigint, moment timestamptz,
    entry_details jsonb default '{}')
returns boolean language plpgsql as $$
declare
    wallet wallets := hold_wallet(org);
    there bigint := least(amount, wallet.credit_nanos, unheld(wallet));
begin
    if is_booked(org, entry_key, entry_key || ':owed') then
        return false;
    end if;
    if there > 0 then
        perform post_entry(org, entry_key, entry_kind, 'credit', sink, there, moment, entry_details);
    end if;
    if amount > there then
        perform post_entry(org, entry_key || ':owed', entry_kind, 'owed', sink, amount - there, moment, entry_details);
    end if;
    return true;
end $$;

-- Does what only held money has kept from being done: ends what is left of an allowance that is over, and pays what is
-- owed from credit.
create function tidy_wallet(org uuid, moment timestamptz) returns void language plpgsql as $$
declare
    wallet wallets := hold_wallet(org);
    amount bigint := least(wallet.allowance_ending_nanos, unheld(wallet));
begin
    if amount > 0 then
        perform post_entry(org, 'expired:' || wallet.entries + 1, 'allowance_expired', 'allowance', 'expired', amount,
            moment);
        wallet := hold_wallet(org);
    end if;
    amount := least(-wallet.owed_nanos, wallet.credit_nanos, unheld(wallet));
    if amount > 0 then
        perform post_entry(org, 'owed:' || wallet.entries + 1, 'owed_paid', 'credit', 'owed', amount, moment);
    end if;
end $$;

-- Begins a period of a plan: grants its allowance, and ends the last one's, as far as no lease holds it.
create function set_allowance(org uuid, entry_key text, amount bigint, moment timestamptz, entry_details jsonb default '{}')
returns boolean language plpgsql as $$
declare
    wallet wallets := hold_wallet(org);
begin
    if is_booked(org, entry_key, entry_key || ':expired') then
        return false;
    end if;
    if amount > 0 then
        perform post_entry(org, entry_key, 'allowance', 'grants', 'allowance', amount, moment, entry_details);
    end if;
    update wallets
    set allowance_ending_nanos = wallet.allowance_nanos, allowance_granted_nanos = amount, allowance_granted_at = moment
    where org_id = org;
    -- Only now: where a lease holds money, the new allowance covers it as well as the old one did.
    wallet := hold_wallet(org);
    amount := least(wallet.allowance_ending_nanos, unheld(wallet));
    if amount > 0 then
        perform post_entry(org, entry_key || ':expired', 'allowance_expired', 'allowance', 'expired', amount, moment,
            entry_details);
    end if;
    return true;
end $$;

-- Sets how far an organisation may go beyond credit and allowance; never below what is used or held of it already. Says
-- what it has become.
create function set_overage_limit(org uuid, wanted bigint) returns bigint language plpgsql as $$
declare
    wallet wallets := hold_wallet(org);
    least_limit bigint := greatest(-wallet.overage_nanos,
        wallet.held_nanos - wallet.credit_nanos - wallet.allowance_nanos - wallet.overage_nanos, 0);
begin
    update wallets set overage_limit_nanos = greatest(wanted, least_limit) where org_id = org;
    return greatest(wanted, least_limit);
end $$;

-- ---------------------------------------------------------------------------------------------------------------------
-- Spend and caps.

-- The day on which the period that holds `day` begins; of the total, the first of all days.
create function period_start(period text, day date) returns date language sql immutable as $$
    select case period
        when 'day' then day
        when 'week' then date_trunc('week', day::timestamp)::date
        when 'month' then date_trunc('month', day::timestamp)::date
        else date '0001-01-01' end;
$$;

-- Adds what was spent on `on_day`: to the sums of those periods that have not ended since.
create function add_spend(org uuid, whose text, on_day date, amount bigint) returns void language sql volatile as $$
    insert into spend as known (org_id, subject, day, day_nanos, week_nanos, month_nanos, total_nanos)
    values (org, whose, on_day, amount, amount, amount, amount)
    on conflict (org_id, subject) do update
    set day = greatest(known.day, on_day),
        day_nanos = case when known.day >= on_day then known.day_nanos else 0 end
            + case when on_day >= known.day then amount else 0 end,
        week_nanos = case when period_start('week', known.day) >= period_start('week', on_day)
                then known.week_nanos else 0 end
            + case when period_start('week', on_day) >= period_start('week', known.day) then amount else 0 end,
        month_nanos = case when period_start('month', known.day) >= period_start('month', on_day)
                then known.month_nanos else 0 end
            + case when period_start('month', on_day) >= period_start('month', known.day) then amount else 0 end,
        total_nanos = known.total_nanos + amount;
$$;

-- What was spent in the period that holds `today`.
create function spent_in(row_of spend, period text, today date) returns bigint language sql immutable as $$
    select case when row_of is null or period_start(period, row_of.day) < period_start(period, today) then 0
        else case period when 'day' then row_of.day_nanos when 'week' then row_of.week_nanos
            when 'month' then row_of.month_nanos else row_of.total_nanos end end;
$$;

-- What a cap leaves; null where there is none.
create function cap_left(cap bigint, period text, org uuid, whose text, today date) returns bigint language sql volatile as $$
    select cap - coalesce((select spent_in(spend, period, today) + held_nanos from spend
        where org_id = org and subject = whose), 0);
$$;

-- Whose sums a call by a key belongs to.
create function spenders(key uuid, person uuid) returns text[] language sql immutable as $$
    select array_remove(array['org', 'key:' || key, 'user:' || person], null);
$$;
