-- What operators do to people and organisations. Each function answers with one word: `done`, `unchanged` when all was
-- so already, or why not. An entry is JSON for `audit`.

-- Lists are read newest first, a page at a time.
create index users_newest on users (created_at desc, id desc);
create index orgs_newest on orgs (created_at desc, id desc);

-- Locks `person` and every operator, always in one order, so that of two operators who act on each other the second
-- sees what the first has done; then says why `acting` may not act on `person`, or null. Without `acting` it is
-- whoever runs `nest`.
create function operators_only(person uuid, acting uuid) returns text language plpgsql as $$
begin
    perform from users where users.operator or users.id = person order by users.id for no key update;
    if acting is not null
        and not exists (select from users where users.id = acting and users.operator and users.suspended_at is null) then
        return 'not_operator';
    end if;
    if not exists (select from users where users.id = person) then
        return 'unknown';
    end if;
    return null;
end $$;

-- Whether somebody else than `person` could go on running the platform.
create function operated_without(person uuid) returns boolean language sql as $$
    select exists (select from users where operator and suspended_at is null and id <> person);
$$;

-- Ends all sessions of a person whose row is locked, so that none is opened beside it.
create function end_all_sessions(person uuid, moment timestamptz, reason text) returns void language sql as $$
    update sessions set ended_at = moment, end_reason = reason where user_id = person and ended_at is null;
$$;

-- Suspends a person and ends their sessions; with them, if wanted, the organisation that everyone has of their own.
create function suspend_person(person uuid, acting uuid, at_ms bigint, with_personal_org boolean, entry text, org_entry text)
returns text language plpgsql as $$
declare
    moment timestamptz := to_timestamp(at_ms / 1000.0);
    refused text := operators_only(person, acting);
    state record;
    own uuid;
begin
    if refused is not null then
        return refused;
    end if;
    select operator, suspended_at into state from users where id = person;
    if person = acting then
        return 'own_account';
    elsif state.suspended_at is not null then
        return 'unchanged';
    elsif state.operator and not operated_without(person) then
        return 'last_operator';
    end if;
    update users set suspended_at = moment, version = version + 1 where id = person;
    perform end_all_sessions(person, moment, 'suspended');
    perform audit(entry);
    if with_personal_org then
        for own in
            update orgs set suspended_at = moment
            from memberships owner
            where owner.org_id = orgs.id and owner.user_id = person and owner.role = 'owner'
                and orgs.personal and orgs.suspended_at is null and orgs.deleted_at is null
            returning orgs.id
        loop
            perform audit(org_entry, null, 'org_' || replace(own::text, '-', ''), own);
        end loop;
    end if;
    return 'done';
end $$;

-- Ends a suspension, and that of the organisation that was suspended with the person.
create function restore_person(person uuid, acting uuid, entry text, org_entry text) returns text language plpgsql as $$
declare
    refused text := operators_only(person, acting);
    suspended timestamptz;
    own uuid;
begin
    if refused is not null then
        return refused;
    end if;
    select suspended_at into suspended from users where id = person;
    if suspended is null then
        return 'unchanged';
    end if;
    update users set suspended_at = null, version = version + 1 where id = person;
    perform audit(entry);
    -- One that was suspended at another time was suspended for a reason of its own.
    for own in
        update orgs set suspended_at = null
        from memberships owner
        where owner.org_id = orgs.id and owner.user_id = person and owner.role = 'owner'
            and orgs.personal and orgs.suspended_at = suspended
        returning orgs.id
    loop
        perform audit(org_entry, null, 'org_' || replace(own::text, '-', ''), own);
    end loop;
    return 'done';
end $$;

-- Makes a person an operator, or no longer one. Their sessions end, so that none carries a right that it was not opened
-- with.
create function set_operator(person uuid, acting uuid, at_ms bigint, wanted boolean, entry text)
returns text language plpgsql as $$
declare
    refused text := operators_only(person, acting);
    state record;
begin
    if refused is not null then
        return refused;
    end if;
    select operator, suspended_at into state from users where id = person;
    if state.operator = wanted then
        return 'unchanged';
    elsif wanted and state.suspended_at is not null then
        return 'suspended';
    elsif not wanted and not operated_without(person) then
        return 'last_operator';
    end if;
    update users set operator = wanted, version = version + 1 where id = person;
    perform end_all_sessions(person, to_timestamp(at_ms / 1000.0), 'rights');
    perform audit(entry);
    return 'done';
end $$;
