-- People. A row exists only once its e-mail address is proven: until then there is a sign-up.
alter table users
    add column name text not null default '' check (length(name) <= 200),
    add column suspended_at timestamptz,
    add column password_changed_at timestamptz,
    -- Grows when what the person may do on the platform changes; access tokens of an older version are refused.
    add column version bigint not null default 1;

-- Someone wants an account. Each try has its own password, so that whoever proves the address decides which one counts.
create table signups (
    -- SHA-256 of the token in the link.
    token_hash bytea primary key check (length(token_hash) = 32),
    email text not null,
    password_hash text not null,
    name text not null default '',
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
);
create index signups_by_email on signups (email);
create index signups_by_age on signups (expires_at);

-- Single-use permissions that were sent by mail.
create table mailed_tokens (
    token_hash bytea primary key check (length(token_hash) = 32),
    user_id uuid not null references users (id),
    purpose text not null check (purpose in ('password_reset', 'email_change')),
    -- The address that it was sent to; for a change, the new one.
    email text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
);
create index mailed_tokens_by_user on mailed_tokens (user_id, purpose);
create index mailed_tokens_by_age on mailed_tokens (expires_at);

-- One log-in. A session is a family of refresh tokens of which the newest alone is good, or one cookie.
create table sessions (
    id uuid primary key,
    user_id uuid not null references users (id),
    transport text not null check (transport in ('bearer', 'cookie')),
    -- SHA-256 of the refresh token, or of the cookie, that is good now.
    token_hash bytea not null check (length(token_hash) = 32),
    -- Counts refresh tokens; the token carries its own number, so an older one is known without keeping them all.
    generation bigint not null default 1,
    rotated_at timestamptz not null,
    -- The OAuth client that it was opened through; `nest` is our own.
    client_id text not null,
    -- `all`, or the permissions that its tokens are narrowed to, space-separated.
    scope text not null,
    -- How the person proved who they are (RFC 8176), space-separated, and when.
    amr text not null,
    auth_time timestamptz not null,
    created_at timestamptz not null,
    last_seen_at timestamptz not null,
    -- It ends after a time without use, and in any case at its end.
    idle_until timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    -- `logout`, `ended`, `revoked`, `reuse`, `password`, `suspended`, `replaced`, `too_many`, `operator` (one ended it),
    -- `rights`.
    end_reason text,
    ip text,
    user_agent text not null default ''
);
create index sessions_by_user on sessions (user_id, created_at) where ended_at is null;

-- Tries, counted where every edge sees them. `bucket` is a hash: of an account's address, of a network, ...
create table throttles (
    bucket bytea primary key,
    failures bigint not null,
    window_started_at timestamptz not null,
    blocked_until timestamptz
);
create index throttles_by_age on throttles (window_started_at);

-- Counts a try in a bucket, unless it must wait: then `wait_ms` says how long, and nothing is counted. `ladder` is JSON,
-- [[failures, pause in ms], ...] in rising order: with so many failures the next try waits so long, or, for null, until the
-- window ends. `paused` says whether this try began such a pause. The row's lock lasts as long as the statement, so tries
-- of one bucket pass one by one, on however many edges.
create function take_try(wanted bytea, at timestamptz, window_ms bigint, ladder text, out wait_ms bigint, out paused boolean)
language plpgsql as $$
declare
    held throttles;
begin
    insert into throttles (bucket, failures, window_started_at) values (wanted, 0, at)
    on conflict (bucket) do update set bucket = excluded.bucket
    returning * into held;
    paused := false;
    wait_ms := 0;
    if held.blocked_until > at then
        wait_ms := ceil(extract(epoch from held.blocked_until - at) * 1000);
        return;
    end if;
    if held.window_started_at + window_ms * interval '1 millisecond' <= at then
        held.failures := 0;
        held.window_started_at := at;
    end if;
    held.failures := held.failures + 1;
    held.blocked_until := null;
    select coalesce(at + (step.value->>1)::bigint * interval '1 millisecond',
        held.window_started_at + window_ms * interval '1 millisecond')
    into held.blocked_until
    from json_array_elements(ladder::json) step
    where (step.value->>0)::bigint <= held.failures
    order by (step.value->>0)::bigint desc limit 1;
    paused := held.blocked_until is not null;
    update throttles set failures = held.failures, window_started_at = held.window_started_at,
        blocked_until = held.blocked_until
    where bucket = wanted;
end $$;

-- Lets a log-in try, or not. `given` is JSON, as `Attempt` in edge/core writes it. The buckets are taken in one order
-- everywhere (address, account, total), so no two statements wait for each other.
create function admit_login(given text, out wait_ms bigint, out locked boolean, out known boolean, out paused boolean)
language plpgsql as $$
declare
    wish record;
    at timestamptz;
    taken record;
begin
    select * into wish from json_to_record(given::json) as it
        (at_ms bigint, email text, address text, account text, total text, overall text, device text, device_user uuid,
         hour_ms bigint, day_ms bigint, address_ladder text, account_ladder text, total_ladder text);
    at := to_timestamp(wish.at_ms / 1000.0);
    locked := false;
    paused := false;
    -- A device is known for one account alone.
    known := wish.device is not null
        and exists (select from users where email = wish.email and id = wish.device_user);
    select * into taken from take_try(decode(wish.address, 'hex'), at, wish.hour_ms, wish.address_ladder);
    wait_ms := taken.wait_ms;
    if wait_ms = 0 and not known then
        select ceil(extract(epoch from blocked_until - at) * 1000) into wait_ms from throttles
        where bucket = decode(wish.overall, 'hex') and blocked_until > at;
        wait_ms := coalesce(wait_ms, 0);
    end if;
    if wait_ms > 0 then
        return;
    end if;
    select * into taken from take_try(decode(case when known then wish.device else wish.account end, 'hex'), at,
        wish.day_ms, wish.account_ladder);
    locked := taken.wait_ms > 0;
    paused := taken.paused;
    if not locked then
        select * into taken from take_try(decode(wish.total, 'hex'), at, wish.day_ms, wish.total_ladder);
        locked := taken.wait_ms > 0;
    end if;
end $$;

-- Gives back a try that was no failure, with the pause that it began. A known device, whose bucket nobody else fills,
-- starts anew.
create function return_try(own bytea, total bytea, own_paused boolean, anew boolean, total_limit bigint)
returns bigint language plpgsql as $$
begin
    update throttles set failures = case when anew then 0 else greatest(failures - 1, 0) end,
        blocked_until = case when anew or own_paused then null else blocked_until end
    where bucket = own;
    update throttles set failures = greatest(failures - 1, 0),
        blocked_until = case when failures <= total_limit then null else blocked_until end
    where bucket = total;
    return 1;
end $$;

-- Gives a person a new password, and ends what the old one could still do: other sessions, log-ins that wait for their
-- second factor, and what was sent by mail. Gives the person's address; null when they are unknown or suspended, or when
-- the password is not `old_hash` any more. The lock lets no session slip in meanwhile.
create function replace_password(person uuid, old_hash text, new_hash text, kept_session uuid, at timestamptz)
returns text language plpgsql as $$
declare
    address text;
begin
    update users set password_hash = new_hash, password_changed_at = at
    where id = person and suspended_at is null and (old_hash is null or password_hash = old_hash)
    returning email into address;
    if not found then
        return null;
    end if;
    update sessions set ended_at = at, end_reason = 'password'
    where user_id = person and ended_at is null and id is distinct from kept_session;
    update challenges set used_at = at where user_id = person and used_at is null;
    update mailed_tokens set used_at = at where user_id = person and used_at is null;
    return address;
end $$;

-- Makes a mailed token, which voids the older ones of its purpose.
create function mail_token(token bytea, person uuid, wanted_purpose text, address text, at timestamptz, ends timestamptz)
returns bigint language plpgsql as $$
begin
    -- Two requests at once: the later one voids the token of the earlier.
    perform from users where id = person for no key update;
    update mailed_tokens set used_at = at where user_id = person and purpose = wanted_purpose and used_at is null;
    insert into mailed_tokens (token_hash, user_id, purpose, email, created_at, expires_at)
    values (token, person, wanted_purpose, address, at, ends);
    return 1;
end $$;

-- The person that a mailed token belongs to, whose row is locked: who is locked first is the same everywhere, and a token
-- is looked at only behind that lock. Null when it is used up, expired, or was for an address that is theirs no more.
create function use_mailed_token(token bytea, wanted_purpose text, at timestamptz, out person uuid, out address text)
language plpgsql as $$
begin
    select id into person from users
    where id = (select user_id from mailed_tokens where token_hash = token) and suspended_at is null
    for no key update;
    update mailed_tokens set used_at = at
    where token_hash = token and user_id = person and purpose = wanted_purpose and used_at is null and expires_at > at
    returning email into address;
    if address is null then
        person := null;
    end if;
end $$;

-- Sets a new password by a mailed token, and gives the person; null when the token is not good.
create function reset_password(token bytea, new_hash text, at timestamptz, revoke_keys boolean, entry text, notice text)
returns uuid language plpgsql as $$
declare
    used record;
begin
    select * into used from use_mailed_token(token, 'password_reset', at);
    if used.person is null or used.address <> (select email from users where id = used.person) then
        return null;
    end if;
    perform replace_password(used.person, null, new_hash, null, at);
    if revoke_keys then
        update api_keys set revoked_at = at, version = version + 1
        where created_by = used.person and revoked_at is null;
    end if;
    perform audit(entry, used.person::text, used.person::text);
    perform enqueue_mail(notice, used.address);
    return used.person;
end $$;

-- Second factors.
create table totp_secrets (
    user_id uuid primary key references users (id),
    sealed bytea not null,
    created_at timestamptz not null,
    -- Null until a first good code has shown that the app has the secret.
    confirmed_at timestamptz,
    -- The time step of the last code that was accepted: it and every older one are used up.
    last_step bigint not null default 0
);
create table recovery_codes (
    user_id uuid not null references users (id),
    code_hash bytea not null check (length(code_hash) = 32),
    created_at timestamptz not null,
    used_at timestamptz,
    primary key (user_id, code_hash)
);
create table passkeys (
    id uuid primary key,
    user_id uuid not null references users (id),
    credential_id bytea not null unique,
    -- The public key and what else the check of an assertion needs.
    credential bytea not null,
    sign_count bigint not null default 0,
    name text not null check (length(name) between 1 and 200),
    created_at timestamptz not null,
    last_used_at timestamptz
);
create index passkeys_by_user on passkeys (user_id);

-- A log-in between its first factor and its second, or a passkey that is being made.
create table challenges (
    token_hash bytea primary key check (length(token_hash) = 32),
    user_id uuid not null references users (id),
    purpose text not null check (purpose in ('login', 'passkey')),
    -- What was proven so far, and how the session is to be opened: JSON.
    state text not null,
    -- What a passkey has to sign; good for one try.
    passkey_challenge bytea check (length(passkey_challenge) = 32),
    attempts bigint not null default 0,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
);

-- Accounts at outside OpenID providers.
create table identities (
    provider text not null,
    subject text not null,
    user_id uuid not null references users (id),
    email text not null,
    created_at timestamptz not null,
    primary key (provider, subject),
    -- Of each provider one.
    unique (provider, user_id)
);
create index identities_by_user on identities (user_id);

-- Opens a session within the statement of what earned it, and gives 1; 0 when the person is suspended or unknown. Beyond
-- fifty live sessions the least used end. `session` is JSON, as `Opening` in edge/core writes it.
create function open_session(session text, known_user uuid default null) returns bigint language plpgsql as $$
declare
    given record;
    person uuid;
    at timestamptz;
begin
    select * into given from json_to_record(session::json) as it
        (id uuid, user_id uuid, transport text, token_hash text, client_id text, scope text, amr text,
         auth_time_ms bigint, at_ms bigint, idle_ms bigint, max_ms bigint, ip text, user_agent text);
    person := coalesce(known_user, given.user_id);
    at := to_timestamp(given.at_ms / 1000.0);
    -- The lock lets no session slip in while another statement suspends the person and ends all others.
    -- Nor does one that was earned by a password that was replaced meanwhile.
    perform from users where id = person and suspended_at is null
        and (password_changed_at is null or password_changed_at <= to_timestamp(given.auth_time_ms / 1000.0))
    for no key update;
    if not found then
        return 0;
    end if;
    update sessions set ended_at = at, end_reason = 'too_many'
    where id in (
        select live.id from sessions live
        where live.user_id = person and live.ended_at is null and live.idle_until > at and live.expires_at > at
        order by live.last_seen_at desc offset 49);
    insert into sessions (id, user_id, transport, token_hash, rotated_at, client_id, scope, amr, auth_time, created_at,
        last_seen_at, idle_until, expires_at, ip, user_agent)
    values (given.id, person, given.transport, decode(given.token_hash, 'hex'), at, given.client_id, given.scope,
        given.amr, to_timestamp(given.auth_time_ms / 1000.0), at, at,
        at + given.idle_ms * interval '1 millisecond', at + given.max_ms * interval '1 millisecond',
        given.ip, given.user_agent);
    return 1;
end $$;

-- Finds the person behind an outside identity; else links it to the account with the address that the provider has
-- verified; else makes an account with an organisation of its own. Locks decide between arrivals at the same moment.
create function arrive_by_identity(given_provider text, given_subject text, given_email text, given_name text,
    may_sign_up boolean, new_user uuid, new_org uuid, at_ms bigint, linked text, created text, notice text)
returns table (outcome text, person_id text, person_version bigint, person_second boolean) language plpgsql as $$
declare
    at timestamptz := to_timestamp(at_ms / 1000.0);
    person uuid;
    is_suspended boolean;
    actor text;
begin
    outcome := 'known';
    select identity.user_id into person from identities identity
    where identity.provider = given_provider and identity.subject = given_subject;
    if person is null then
        if given_email is null then
            outcome := 'unverified';
            return next;
            return;
        end if;
        select users.id, users.suspended_at is not null into person, is_suspended
        from users where users.email = given_email for no key update;
        if person is null and not may_sign_up and not exists (
            select from invitations
            where email = given_email and accepted_at is null and revoked_at is null and expires_at > at)
        then
            outcome := 'closed';
            return next;
            return;
        end if;
        outcome := 'linked';
        if person is null then
            insert into users (id, email, name, created_at) values (new_user, given_email, given_name, at)
            on conflict (email) do nothing returning id into person;
            if person is null then
                select users.id, users.suspended_at is not null into person, is_suspended
                from users where users.email = given_email for no key update;
            else
                outcome := 'created';
                perform found_org(new_org, left(coalesce(nullif(given_name, ''), given_email), 200), person);
                update orgs set personal = true where id = new_org;
            end if;
        end if;
        if is_suspended then
            outcome := 'suspended';
            return next;
            return;
        end if;
        insert into identities (provider, subject, user_id, email, created_at)
        values (given_provider, given_subject, person, given_email, at) on conflict do nothing;
        if found then
            actor := 'user_' || replace(person::text, '-', '');
            perform audit(case outcome when 'created' then created else linked end, actor, actor);
            if outcome = 'linked' then
                perform enqueue_mail(notice, given_email);
            end if;
        elsif exists (
            select from identities identity
            where identity.provider = given_provider and identity.subject = given_subject and identity.user_id = person)
        then
            outcome := 'known';
        elsif outcome = 'created' then
            -- The identity became somebody's a moment ago: nothing of this stays, and the next try finds them.
            raise exception 'the identity was linked meanwhile' using errcode = 'serialization_failure';
        else
            -- Another account at this provider has been linked: an address that was given to somebody else there opens
            -- nothing here.
            outcome := 'taken';
            return next;
            return;
        end if;
    end if;
    return query
        select arrive_by_identity.outcome, users.id::text, users.version,
            exists (select from totp_secrets totp where totp.user_id = users.id and totp.confirmed_at is not null)
                or exists (select from passkeys where passkeys.user_id = users.id)
        from users where users.id = person;
end $$;

-- Removes an outside identity, unless no other way to log in would be left. The lock lets no two removals each count on
-- the other's identity.
create function unlink_identity(person uuid, given_provider text, entry text) returns text language plpgsql as $$
declare
    has_password boolean;
begin
    select password_hash is not null into has_password from users where id = person for no key update;
    if not exists (select from identities where user_id = person and provider = given_provider) then
        return 'unknown';
    end if;
    if not has_password and not exists (
        select from identities where user_id = person and provider <> given_provider)
    then
        return 'last';
    end if;
    delete from identities where user_id = person and provider = given_provider;
    perform audit(entry);
    return 'unlinked';
end $$;
