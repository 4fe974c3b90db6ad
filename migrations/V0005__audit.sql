-- Every act of authentication, administration, keys, money and policy. Rows are added by the statement that acts, and
-- chained soon after: `seq` and `mac` are null until then. Nothing else ever changes.
create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    -- `user`, `client`, `key`, `node`, `operator` (a person at `nest`), `system`, or `anonymous`.
    actor_kind text not null,
    actor_id text,
    -- `auth.login`, `orgs.member_removed`, ...
    action text not null,
    org_id uuid,
    -- The id of what was acted upon.
    target text,
    ip text,
    request_id text,
    -- JSON, as text, so that what was chained stays byte for byte. Never a secret.
    detail text not null default '{}',
    seq bigint unique,
    mac bytea check (length(mac) = 32)
);
create index audit_log_by_org on audit_log (org_id, id desc);
create index audit_log_unchained on audit_log (id) where seq is null;

-- The end of the chain: one row. What the chain is, docs/audit.md says.
create table audit_head (
    id bigint primary key check (id = 1),
    -- The last entry that is chained.
    seq bigint not null,
    mac bytea not null check (length(mac) = 32),
    -- How many anchors there are.
    anchors bigint not null,
    -- HMAC of the three before, so that nobody without the key moves the end back.
    tag bytea not null check (length(tag) = 32),
    -- The key of all these HMACs, sealed.
    key bytea not null
);

-- Where the chain's end was, about once a minute. The same goes to the log, which is kept elsewhere.
create table audit_anchors (
    number bigint primary key,
    at timestamptz not null,
    seq bigint not null,
    mac bytea not null check (length(mac) = 32),
    -- HMAC of the four before.
    tag bytea not null check (length(tag) = 32)
);

-- Adds a row within the statement that acts. `entry` is JSON: {at_ms, actor_kind, actor_id, action, org_id, target, ip,
-- request_id, detail}. What only the statement knows may be given beside it.
create function audit(entry text, known_actor text default null, known_target text default null, known_org uuid default null)
returns bigint language sql volatile as $$
    insert into audit_log (at, actor_kind, actor_id, action, org_id, target, ip, request_id, detail)
    select to_timestamp(given.at_ms / 1000.0), given.actor_kind, coalesce(known_actor, given.actor_id), given.action,
        coalesce(known_org, given.org_id), coalesce(known_target, given.target), given.ip, given.request_id,
        coalesce(given.detail, '{}')
    from json_to_record(entry::json) as given
        (at_ms bigint, actor_kind text, actor_id text, action text, org_id uuid, target text, ip text, request_id text,
         detail text)
    returning id;
$$;
