-- Leases of credit, what is charged to them, and what people set: functions over the tables of migration 14. Each locks the
-- wallet of its organisation before it reads anything. `moment` is the time by the edges' clock.

-- Takes an amount off a lease and off what is held, whether it was charged or goes back.
create function draw_lease(lease credit_leases, amount bigint, closed timestamptz) returns void language plpgsql as $$
begin
    update credit_leases set remaining_nanos = remaining_nanos - amount, closed_at = closed where id = lease.id;
    if amount > 0 then
        update wallets set held_nanos = held_nanos - amount where org_id = lease.org_id;
        update spend set held_nanos = held_nanos - amount
        where org_id = lease.org_id and subject = any(spenders(lease.key_id, lease.user_id));
    end if;
end $$;

-- Closes the leases of an organisation that have expired, and says how many. What is left of them is free again.
create function close_leases(org uuid, moment timestamptz) returns bigint language plpgsql as $$
declare
    lease credit_leases;
    closed bigint := 0;
begin
    perform hold_wallet(org);
    for lease in select * from credit_leases where org_id = org and closed_at is null and expires_at <= moment
        order by id for update
    loop
        perform draw_lease(lease, lease.remaining_nanos, moment);
        closed := closed + 1;
    end loop;
    return closed;
end $$;

-- Gives back what `given` says: [{id, nanos}]. A lease of which nothing is left is closed.
create function give_back(org uuid, given json, moment timestamptz) returns void language plpgsql as $$
declare
    lease credit_leases;
    back record;
begin
    for back in select id, nanos from json_to_recordset(coalesce(given, '[]')) as it (id uuid, nanos bigint)
        where nanos > 0 order by id
    loop
        select * into lease from credit_leases where id = back.id and org_id = org and closed_at is null for update;
        if found then
            back.nanos := least(back.nanos, lease.remaining_nanos);
            perform draw_lease(lease, back.nanos, case when back.nanos = lease.remaining_nanos then moment end);
        end if;
    end loop;
end $$;

-- Leases credit for calls of a key. `ask` is {org_id, key_id, lease_id, holder, need, want, at_ms, life_ms, back}: the
-- least that helps, what would be liked, and what goes back of other leases, as `give_back` takes it. `refused` says why
-- nothing was leased: `subscription:<state>`, `owed`, `credit`, `cap_key`, `cap_member` or `cap_org`.
create function lease_credit(ask json, out granted bigint, out head bytea, out refused text)
language plpgsql as $$
declare
    org uuid := (ask->>'org_id')::uuid;
    asking uuid := (ask->>'key_id')::uuid;
    moment timestamptz := to_timestamp((ask->>'at_ms')::bigint / 1000.0);
    today date := (moment at time zone 'UTC')::date;
    need bigint := (ask->>'need')::bigint;
    wallet wallets;
    caps record;
begin
    perform hold_wallet(org);
    perform close_leases(org, moment);
    perform give_back(org, ask->'back', moment);
    perform tidy_wallet(org, moment);
    wallet := hold_wallet(org);
    select key.created_by as person,
        cap_left(key.spend_cap_nanos, key.spend_period, org, 'key:' || key.id, today) as of_key,
        cap_left(member.spend_cap_nanos, member.spend_period, org, 'user:' || key.created_by, today) as of_member,
        cap_left(wallet.spend_cap_nanos, wallet.spend_period, org, 'org', today) as of_org
    into strict caps
    from api_keys key left join memberships member on member.org_id = org and member.user_id = key.created_by
    where key.id = asking and key.org_id = org;
    refused := case
        when wallet.refused_subscription is not null then 'subscription:' || wallet.refused_subscription
        when wallet.owed_nanos < 0 then 'owed'
        when unheld(wallet) < need then 'credit'
        when caps.of_key < need then 'cap_key'
        when caps.of_member < need then 'cap_member'
        when caps.of_org < need then 'cap_org' end;
    granted := 0;
    head := wallet.head;
    if refused is not null then
        return;
    end if;
    -- Near the end nobody takes more than they need, so that what is left is not spread over many.
    granted := least((ask->>'want')::bigint,
        least(unheld(wallet), caps.of_key, caps.of_member, caps.of_org) / 8);
    granted := greatest(granted, need);
    insert into credit_leases (id, org_id, key_id, user_id, holder, granted_nanos, remaining_nanos, taken_at, expires_at)
    values ((ask->>'lease_id')::uuid, org, asking, caps.person, ask->>'holder', granted, granted, moment,
        moment + (ask->>'life_ms')::bigint * interval '1 millisecond');
    update wallets set held_nanos = held_nanos + granted where org_id = org;
    insert into spend as known (org_id, subject, day, held_nanos)
    select org, whose, today, granted from unnest(spenders(asking, caps.person)) whose
    on conflict (org_id, subject) do update set held_nanos = known.held_nanos + excluded.held_nanos;
end $$;

-- Gives back of leases, and lets others live on: {org_id, at_ms, life_ms, back, extend}, where `extend` lists leases.
-- Answers with those that do live on; an expired one does not.
create function return_credit(ask json) returns table (extended uuid) language plpgsql as $$
declare
    org uuid := (ask->>'org_id')::uuid;
    moment timestamptz := to_timestamp((ask->>'at_ms')::bigint / 1000.0);
begin
    perform hold_wallet(org);
    perform close_leases(org, moment);
    perform give_back(org, ask->'back', moment);
    perform tidy_wallet(org, moment);
    return query
    update credit_leases
    set expires_at = greatest(expires_at, moment + (ask->>'life_ms')::bigint * interval '1 millisecond')
    where org_id = org and closed_at is null
        and id in (select value::uuid from json_array_elements_text(coalesce(ask->'extend', '[]')) value)
    returning id;
end $$;

-- Closes expired leases of all organisations, those of which somebody else sees to at this moment excepted, and says how
-- many. Forgets those that have been closed for a week.
create function reap_leases(moment timestamptz) returns bigint language plpgsql as $$
declare
    wallet uuid;
    closed bigint := 0;
begin
    for wallet in
        select org_id from wallets
        where org_id in (select org_id from credit_leases where closed_at is null and expires_at <= moment)
            or allowance_ending_nanos > 0 or (owed_nanos < 0 and credit_nanos > 0)
        order by org_id for update skip locked
    loop
        closed := closed + close_leases(wallet, moment);
        perform tidy_wallet(wallet, moment);
    end loop;
    delete from credit_leases where closed_at < moment - interval '7 days';
    return closed;
end $$;

-- Charges.

-- Charges an organisation: from what the lease holds, then from what nobody holds, and the rest is owed. Of either kind
-- the allowance goes first, then credit, then overage.
create function charge_wallet(org uuid, lease uuid, amount bigint, entry_key text, moment timestamptz)
returns void language plpgsql as $$
declare
    wallet wallets := hold_wallet(org);
    held credit_leases;
    rest bigint;
    part bigint;
begin
    select * into held from credit_leases where id = lease and org_id = org and closed_at is null for update;
    if found then
        perform draw_lease(held, least(held.remaining_nanos, amount), null);
        wallet := hold_wallet(org);
    end if;
    rest := least(amount, unheld(wallet));
    if amount > rest then
        perform post_entry(org, entry_key || ':owed', 'charge', 'owed', 'revenue', amount - rest, moment);
    end if;
    part := least(rest, wallet.allowance_nanos);
    if part > 0 then
        perform post_entry(org, entry_key || ':allowance', 'charge', 'allowance', 'revenue', part, moment);
    end if;
    rest := rest - part;
    part := least(rest, wallet.credit_nanos);
    if part > 0 then
        perform post_entry(org, entry_key || ':credit', 'charge', 'credit', 'revenue', part, moment);
    end if;
    rest := rest - part;
    if rest > 0 then
        perform post_entry(org, entry_key || ':overage', 'charge', 'overage', 'revenue', rest, moment);
    end if;
end $$;

-- Charges for the rows that a statement has really inserted, within that statement: neither is ever there without the
-- other. Sorted, so that two batches lock the wallets that both need in one order.
create function charge_usage() returns trigger language plpgsql as $$
declare
    due record;
begin
    for due in
        select org_id, lease_id, sum(cost_nanos)::bigint as nanos, min(request_id::text) as first,
            max(started_at + latency_ms * interval '1 millisecond') as moment
        from added where cost_nanos > 0 group by org_id, lease_id order by org_id, lease_id
    loop
        perform charge_wallet(due.org_id, due.lease_id, due.nanos, 'charge:' || due.first, due.moment);
    end loop;
    for due in
        select added.org_id, key_id, key.created_by, (started_at at time zone 'UTC')::date as day,
            sum(cost_nanos)::bigint as nanos
        from added join api_keys key on key.id = added.key_id
        where cost_nanos > 0 group by 1, 2, 3, 4 order by 1, 2, 4
    loop
        perform add_spend(due.org_id, whose, due.day, due.nanos) from unnest(spenders(due.key_id, due.created_by)) whose;
    end loop;
    return null;
end $$;

create trigger charge after insert on usage referencing new table as added
    for each statement execute function charge_usage();

-- What people set.

-- Publishes a table of prices as the next version, and says which that is. `listed` is an array of rows of `prices`.
create function publish_prices(listed json, note text, person uuid, moment timestamptz, entry text)
returns bigint language plpgsql as $$
declare
    following bigint;
begin
    -- One after another; readers go on.
    lock table price_versions in share row exclusive mode;
    select coalesce(max(version), 0) + 1 into following from price_versions;
    insert into price_versions (version, created_at, note, created_by) values (following, moment, publish_prices.note, person);
    insert into prices (version, model, input_nanos, output_nanos, cached_input_nanos, reasoning_nanos, request_nanos,
        audio_minute_nanos, upstream_input_nanos, upstream_output_nanos, upstream_cached_input_nanos,
        upstream_reasoning_nanos, upstream_request_nanos, upstream_audio_minute_nanos)
    select following, model, input_nanos, output_nanos, cached_input_nanos, reasoning_nanos, coalesce(request_nanos, 0),
        coalesce(audio_minute_nanos, 0), upstream_input_nanos, upstream_output_nanos, upstream_cached_input_nanos,
        upstream_reasoning_nanos, upstream_request_nanos, upstream_audio_minute_nanos
    from json_to_recordset(listed) as given (model text, input_nanos bigint, output_nanos bigint,
        cached_input_nanos bigint, reasoning_nanos bigint, request_nanos bigint, audio_minute_nanos bigint,
        upstream_input_nanos bigint, upstream_output_nanos bigint, upstream_cached_input_nanos bigint,
        upstream_reasoning_nanos bigint, upstream_request_nanos bigint, upstream_audio_minute_nanos bigint);
    perform audit(entry, null, following::text);
    return following;
end $$;

-- The two below take who acts as migration 8 does.

-- Sets what an organisation may spend in a period; null for no cap.
create function set_org_spend(standing json, cap bigint, period text, entry text) returns text language plpgsql as $$
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    perform hold_wallet((standing->>'org')::uuid);
    update wallets set spend_cap_nanos = cap, spend_period = period where org_id = (standing->>'org')::uuid;
    perform audit(entry);
    return 'done';
end $$;

-- Sets what all keys of a member may spend in a period; null for no cap.
create function set_member_spend(standing json, member uuid, cap bigint, period text, entry text)
returns text language plpgsql as $$
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    update memberships set spend_cap_nanos = cap, spend_period = period
    where org_id = (standing->>'org')::uuid and user_id = member;
    if not found then
        return 'no_member';
    end if;
    perform audit(entry);
    return 'done';
end $$;
