-- What a key may do, from where, how much, and on whose behalf.
alter table api_keys
    -- A label: `nest_live_...` or `nest_test_...`.
    add column environment text not null default 'live' check (environment in ('live', 'test')),
    -- Space-separated permissions: `models:use` alone calls models, anything else manages.
    add column scopes text not null default 'models:use' check (scopes <> ''),
    -- Space-separated: a model's id, or how ids begin, with a `*` at its end. None means all.
    add column models text not null default '',
    -- Space-separated networks. None means from everywhere.
    add column ip_allow text not null default '',
    -- {requests_per_minute, requests_per_day, tokens_per_minute, tokens_per_day, concurrent}; what is absent is not limited.
    add column limits jsonb not null default '{}' check (jsonb_typeof(limits) = 'object'),
    -- Billionths of a dollar in each period.
    add column spend_cap_nanos bigint check (spend_cap_nanos >= 0),
    add column spend_period text check (spend_period in ('day', 'week', 'month', 'total')),
    -- The client that made it; a key that neither a person nor a client made is the organisation's as a whole.
    add column created_by_client uuid references oauth_clients (id),
    add column disabled_at timestamptz,
    -- The secret before the last rotation, good until then.
    add column previous_hash bytea check (length(previous_hash) = 32),
    add column previous_until timestamptz,
    add constraint api_keys_one_owner check (created_by is null or created_by_client is null),
    add constraint api_keys_spend check ((spend_cap_nanos is null) = (spend_period is null)),
    add constraint api_keys_previous check ((previous_hash is null) = (previous_until is null));

-- What the owner of each key may do at present: a person's role in the key's organisation, or a client's scope; null
-- when they have none there, or are suspended or revoked.
create view key_owners as
select key.id as key_id,
    case when key.created_by is not null then 'user' when key.created_by_client is not null then 'client' else 'org' end
        as kind,
    coalesce(nullif(person.name, ''), person.email, client.name) as name,
    case when person.suspended_at is null then membership.role end as role,
    custom.permissions as custom_permissions,
    case when client.revoked_at is null then client.scope end as client_scope
from api_keys key
left join users person on person.id = key.created_by
left join memberships membership on membership.user_id = key.created_by and membership.org_id = key.org_id
left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
left join oauth_clients client on client.id = key.created_by_client and client.org_id = key.org_id;

-- The functions below take who acts as migration 8 does; a standing without an organisation is that of whoever runs
-- `nest`. `reach` is what the actor may put into a key: nobody makes, changes or takes a key that may do more.

create function create_key(standing json, given json, entry text) returns text language plpgsql as $$
declare
    org uuid := (standing->>'org')::uuid;
    moment timestamptz := to_timestamp((standing->>'at_ms')::bigint / 1000.0);
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    if (select count(*) from api_keys
        where org_id = org and revoked_at is null and (expires_at is null or expires_at > moment))
        >= (given->>'most')::bigint then
        return 'too_many_keys';
    end if;
    insert into api_keys (id, org_id, created_by, created_by_client, name, environment, scopes, models, ip_allow, limits,
        spend_cap_nanos, spend_period, prefix, last_four, secret_hash, created_at, expires_at)
    select k.id, org, k.created_by, k.created_by_client, k.name, k.environment, k.scopes, k.models, k.ip_allow, k.limits,
        k.spend_cap_nanos, k.spend_period, k.prefix, k.last_four, decode(k.secret_hash, 'hex'), moment,
        to_timestamp(k.expires_ms / 1000.0)
    from json_to_record(given) as k (id uuid, created_by uuid, created_by_client uuid, name text, environment text,
        scopes text, models text, ip_allow text, limits jsonb, spend_cap_nanos bigint, spend_period text, prefix text,
        last_four text, secret_hash text, expires_ms bigint);
    perform audit(entry);
    return 'done';
end $$;

-- Locks a key that the actor may change; else says why not.
create function hold_key(standing json, key_id uuid, reach text) returns text language plpgsql as $$
declare
    held record;
begin
    if standing->>'org' is not null and not hold_org(standing) then
        return 'changed';
    end if;
    select scopes, revoked_at into held from api_keys
    where id = key_id and (standing->>'org' is null or org_id = (standing->>'org')::uuid)
    for no key update;
    if not found then
        return 'no_key';
    elsif not string_to_array(held.scopes, ' ') <@ string_to_array(reach, ' ') then
        return 'beyond';
    elsif held.revoked_at is not null then
        return 'revoked';
    end if;
    return null;
end $$;

-- Changes what `change` names: null clears an expiry or a cap.
create function change_key(standing json, key_id uuid, reach text, change jsonb, entry text)
returns text language plpgsql as $$
declare
    moment timestamptz := to_timestamp((standing->>'at_ms')::bigint / 1000.0);
    refused text := hold_key(standing, key_id, reach);
begin
    if refused is not null then
        return refused;
    end if;
    update api_keys
    set name = coalesce(change->>'name', name),
        models = coalesce(change->>'models', models),
        ip_allow = coalesce(change->>'ip_allow', ip_allow),
        limits = coalesce(change->'limits', limits),
        expires_at = case when change ? 'expires_ms' then to_timestamp((change->>'expires_ms')::bigint / 1000.0)
            else expires_at end,
        spend_cap_nanos = case when change ? 'spend_period' then (change->>'spend_cap_nanos')::bigint
            else spend_cap_nanos end,
        spend_period = case when change ? 'spend_period' then change->>'spend_period' else spend_period end,
        disabled_at = case change->>'disabled' when 'true' then coalesce(disabled_at, moment) when 'false' then null
            else disabled_at end,
        version = version + 1
    where id = key_id;
    perform audit(entry, null, null, (select org_id from api_keys where id = key_id));
    return 'done';
end $$;

-- Gives a key a new secret, beside which the present one is good until `overlap_until_ms`; null ends it at once, and
-- what an earlier rotation left.
create function rotate_key(standing json, key_id uuid, reach text, new_hash bytea, new_last_four text,
    overlap_until_ms bigint, entry text)
returns text language plpgsql as $$
declare
    moment timestamptz := to_timestamp((standing->>'at_ms')::bigint / 1000.0);
    refused text := hold_key(standing, key_id, reach);
begin
    if refused is not null then
        return refused;
    end if;
    if overlap_until_ms is not null and exists (select from api_keys where id = key_id and previous_until > moment) then
        return 'rotation_running';
    end if;
    update api_keys
    set previous_hash = case when overlap_until_ms is not null then secret_hash end,
        previous_until = to_timestamp(overlap_until_ms / 1000.0),
        secret_hash = new_hash, last_four = new_last_four, version = version + 1
    where id = key_id;
    perform audit(entry, null, null, (select org_id from api_keys where id = key_id));
    return 'done';
end $$;

create function revoke_key(standing json, key_id uuid, reach text, entry text) returns text language plpgsql as $$
declare
    refused text := hold_key(standing, key_id, reach);
begin
    if refused is not null then
        return refused;
    end if;
    update api_keys
    set revoked_at = to_timestamp((standing->>'at_ms')::bigint / 1000.0), previous_hash = null, previous_until = null,
        version = version + 1
    where id = key_id;
    perform audit(entry, null, null, (select org_id from api_keys where id = key_id));
    return 'done';
end $$;
