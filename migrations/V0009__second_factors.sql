-- Second factors. Who takes several locks takes them in this order: the person, the challenge, the factor, the throttle.

-- Where a person's failed tries are counted.
create function second_factor_bucket(person uuid) returns bytea language sql immutable as $$
    select sha256(convert_to('second factor ' || person::text, 'UTF8'));
$$;

-- Counts a try before anyone looks at what was offered, so that no number of tries at once gets more than its share: five
-- a challenge, and fifteen a person until an hour has passed without one. Success gives its own try back. Without a
-- challenge it is a try of `known_user`. `refused` is `over` or `too_many`; else `person` may try.
create function take_second_factor_try(challenge bytea, known_user uuid, at timestamptz)
returns table (person uuid, state text, passkey_challenge bytea, refused text, retry_after_s bigint)
language plpgsql as $$
declare
    waiting challenges;
    last_at timestamptz;
begin
    person := known_user;
    if challenge is not null then
        select * into waiting from challenges
        where token_hash = challenge and purpose = 'login' for update;
        if not found or waiting.used_at is not null or waiting.expires_at <= at or waiting.attempts >= 5 then
            refused := 'over';
            return next;
            return;
        end if;
        person := waiting.user_id;
        state := waiting.state;
        passkey_challenge := waiting.passkey_challenge;
    end if;
    insert into throttles as throttle (bucket, failures, window_started_at)
    values (second_factor_bucket(person), 1, at)
    on conflict (bucket) do update
    set failures = case when throttle.window_started_at <= at - interval '1 hour' then 1 else throttle.failures + 1 end,
        window_started_at = at
    where throttle.failures < 15 or throttle.window_started_at <= at - interval '1 hour';
    if not found then
        select window_started_at into last_at from throttles where bucket = second_factor_bucket(person);
        refused := 'too_many';
        retry_after_s := greatest(1, ceil(extract(epoch from last_at + interval '1 hour' - at)))::bigint;
        return next;
        return;
    end if;
    if challenge is not null then
        update challenges set attempts = waiting.attempts + 1, passkey_challenge = null where token_hash = challenge;
    end if;
    return next;
end $$;

-- Uses a factor up, if nobody has meanwhile. `factor` is JSON, as `Factor` in edge/core writes it. `letters` is a JSON
-- list of mails that tell of no, one, two and three recovery codes left. The caller has locked the person.
create function use_factor(person uuid, factor text, letters text, at timestamptz) returns boolean
language plpgsql as $$
declare
    given record;
    codes bigint;
begin
    select * into given from json_to_record(factor::json) as it
        (kind text, step bigint, code_hash text, passkey uuid, sign_count bigint);
    case given.kind
    when 'totp' then
        update totp_secrets set last_step = given.step
        where user_id = person and confirmed_at is not null and last_step < given.step;
        return found;
    when 'passkey' then
        -- An authenticator that does not count says 0 each time.
        update passkeys set sign_count = given.sign_count, last_used_at = at
        where id = given.passkey and user_id = person
            and (sign_count < given.sign_count or (sign_count = 0 and given.sign_count = 0));
        return found;
    when 'recovery_code' then
        update recovery_codes set used_at = at
        where user_id = person and code_hash = decode(given.code_hash, 'hex') and used_at is null;
        if not found then
            return false;
        end if;
        select count(*) into codes from recovery_codes where user_id = person and used_at is null;
        if codes <= 3 then
            perform enqueue_mail((letters::json -> codes::int)::text, users.email) from users where id = person;
        end if;
        return true;
    end case;
end $$;

-- Gives a try back: what was offered is right.
create function forgive_second_factor_try(person uuid) returns void language sql volatile as $$
    update throttles set failures = failures - 1 where bucket = second_factor_bucket(person) and failures > 0;
$$;

-- Ends a log-in: the challenge and the factor are used up and the session is opened, all or nothing. What is null takes no
-- part; `replaced` is the session in whose place the new one comes; `first_at` is when the password was proven, and one
-- that was changed since proves nothing. Gives `opened`, or what is wrong: `over` (the challenge), `used` (the factor),
-- `ended` (the session), `closed` (the account, or the password).
create function finish_log_in(session text, person uuid, first_at timestamptz, challenge bytea, factor text,
    replaced uuid, letters text, at timestamptz) returns text language plpgsql as $$
begin
    perform from users
    where id = person and suspended_at is null and (password_changed_at is null or password_changed_at <= first_at)
    for no key update;
    if not found then
        return 'closed';
    end if;
    if challenge is not null then
        perform from challenges
        where token_hash = challenge and user_id = person and purpose = 'login' and used_at is null and expires_at > at
        for update;
        if not found then
            return 'over';
        end if;
    end if;
    if replaced is not null then
        perform from sessions
        where id = replaced and user_id = person and ended_at is null and idle_until > at and expires_at > at
        for update;
        if not found then
            return 'ended';
        end if;
    end if;
    if factor is not null then
        if not use_factor(person, factor, letters, at) then
            return 'used';
        end if;
        perform forgive_second_factor_try(person);
    end if;
    update challenges set used_at = at where token_hash = challenge;
    update sessions set ended_at = at, end_reason = 'replaced' where id = replaced;
    if open_session(session, person) <> 1 then
        raise exception 'nobody else changes whom this statement has locked';
    end if;
    return 'opened';
end $$;

-- Whether the person has a second factor.
create function has_second_factor(person uuid) returns boolean language sql stable as $$
    select exists (select from totp_secrets where user_id = person and confirmed_at is not null)
        or exists (select from passkeys where user_id = person);
$$;

-- New recovery codes in the place of all others. `hashes` is a JSON list, in hex.
create function replace_recovery_codes(person uuid, hashes text, at timestamptz) returns void language sql volatile as $$
    delete from recovery_codes where user_id = person;
    insert into recovery_codes (user_id, code_hash, created_at)
    select person, decode(hash, 'hex'), at from json_array_elements_text(hashes::json) as hash;
$$;

-- Turns on the secret that lies sealed like this, by a code of this step. With the first factor come the recovery codes.
-- Gives `added`, `first`, or `none` when it is not to be confirmed any more.
create function confirm_totp(person uuid, known_sealed bytea, step bigint, hashes text, at timestamptz) returns text
language plpgsql as $$
declare
    is_first boolean;
begin
    perform from users where id = person for no key update;
    is_first := not has_second_factor(person);
    update totp_secrets set confirmed_at = at, last_step = step
    where user_id = person and sealed = known_sealed and confirmed_at is null and last_step < step;
    if not found then
        return 'none';
    end if;
    if is_first then
        perform replace_recovery_codes(person, hashes, at);
    end if;
    return case when is_first then 'first' else 'added' end;
end $$;

-- Recovery codes stand in for a factor; without any there is nothing that they stand in for.
create function drop_needless_recovery_codes(person uuid) returns void language sql volatile as $$
    delete from recovery_codes where user_id = person and not has_second_factor(person);
$$;

-- Removes the authenticator app, for a factor.
create function remove_totp(person uuid, factor text, letters text, at timestamptz) returns boolean
language plpgsql as $$
begin
    perform from users where id = person for no key update;
    perform from totp_secrets where user_id = person and confirmed_at is not null;
    if not found or not use_factor(person, factor, letters, at) then
        return false;
    end if;
    perform forgive_second_factor_try(person);
    delete from totp_secrets where user_id = person;
    perform drop_needless_recovery_codes(person);
    return true;
end $$;

-- Adds a passkey for a challenge that waits for one. With the first factor come the recovery codes. Gives `added`,
-- `first`, `over` (the challenge), `taken` (the key is registered already) or `many` (the person has twenty).
create function add_passkey(person uuid, challenge bytea, passkey uuid, known_id bytea, known_credential bytea,
    count bigint, label text, hashes text, at timestamptz) returns text language plpgsql as $$
declare
    is_first boolean;
begin
    perform from users where id = person for no key update;
    update challenges set used_at = at
    where token_hash = challenge and user_id = person and purpose = 'passkey' and used_at is null and expires_at > at;
    if not found then
        return 'over';
    end if;
    if (select count(*) from passkeys where user_id = person) >= 20 then
        return 'many';
    end if;
    is_first := not has_second_factor(person);
    insert into passkeys (id, user_id, credential_id, credential, sign_count, name, created_at)
    values (passkey, person, known_id, known_credential, add_passkey.count, label, at)
    on conflict (credential_id) do nothing;
    if not found then
        return 'taken';
    end if;
    if is_first then
        perform replace_recovery_codes(person, hashes, at);
    end if;
    return case when is_first then 'first' else 'added' end;
end $$;

create function remove_passkey(person uuid, passkey uuid) returns boolean language plpgsql as $$
begin
    perform from users where id = person for no key update;
    delete from passkeys where id = passkey and user_id = person;
    if not found then
        return false;
    end if;
    perform drop_needless_recovery_codes(person);
    return true;
end $$;

-- New recovery codes for whoever has a second factor.
create function renew_recovery_codes(person uuid, hashes text, at timestamptz) returns boolean
language plpgsql as $$
begin
    perform from users where id = person for no key update;
    if not has_second_factor(person) then
        return false;
    end if;
    perform replace_recovery_codes(person, hashes, at);
    return true;
end $$;
