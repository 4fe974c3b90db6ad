alter table orgs
    -- Everyone has one of their own.
    add column personal boolean not null default false,
    add column suspended_at timestamptz,
    -- A deleted organisation is gone for everyone; its rows stay for the books.
    add column deleted_at timestamptz;

-- Roles that an organisation made for itself, beside the built-in ones.
create table org_roles (
    id uuid primary key,
    org_id uuid not null references orgs (id),
    name text not null check (length(name) between 1 and 100),
    -- Space-separated: `keys:read keys:write`.
    permissions text not null,
    created_at timestamptz not null,
    -- A deleted role stays for the invitations that once named it; nobody has it.
    deleted_at timestamptz,
    -- For the composite keys that keep a role within its organisation.
    unique (org_id, id)
);
create unique index org_roles_name on org_roles (org_id, name) where deleted_at is null;

alter table memberships drop constraint memberships_role_check;
alter table memberships
    add column custom_role uuid,
    add constraint memberships_role_check check (role in ('owner', 'admin', 'billing', 'member', 'viewer', 'custom')),
    add constraint memberships_custom_role check ((role = 'custom') = (custom_role is not null)),
    add constraint memberships_custom_role_fkey foreign key (org_id, custom_role) references org_roles (org_id, id);

create table invitations (
    id uuid primary key,
    org_id uuid not null references orgs (id),
    email text not null,
    role text not null check (role in ('owner', 'admin', 'billing', 'member', 'viewer', 'custom')),
    custom_role uuid,
    token_hash bytea not null unique check (length(token_hash) = 32),
    -- Null when a client did.
    invited_by uuid references users (id),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    accepted_at timestamptz,
    revoked_at timestamptz,
    check ((role = 'custom') = (custom_role is not null)),
    foreign key (org_id, custom_role) references org_roles (org_id, id)
);
create index invitations_by_org on invitations (org_id, created_at);

-- Programs that get tokens in their own name. Without an organisation it belongs to the platform: it may introspect
-- every token.
create table oauth_clients (
    id uuid primary key,
    org_id uuid references orgs (id),
    name text not null check (length(name) between 1 and 200),
    secret_hash bytea not null check (length(secret_hash) = 32),
    -- Space-separated permissions.
    scope text not null,
    created_by uuid references users (id),
    created_at timestamptz not null,
    revoked_at timestamptz
);
create index oauth_clients_by_org on oauth_clients (org_id, created_at);

-- Founds an organisation with its first owner, within the statement that made the person, or by a person who is there.
drop function found_org(uuid, text, uuid);
create function found_org(org uuid, org_name text, owner uuid, is_personal boolean default false)
returns uuid language sql volatile as $$
    insert into orgs (id, name, personal) values (org, org_name, is_personal);
    insert into memberships (org_id, user_id, role) values (org, owner, 'owner');
    select org;
$$;

-- The functions below decide what two requests could decide differently. Each takes who acts as JSON, as `Standing` in
-- edge/core writes it: {org, user_id, role, permissions, roles, all, at_ms}. `roles` are the built-in roles that the actor
-- may give and take, `all` says that it is an owner, who may give and take any. What they answer is an `Outcome` there.

-- Locks an organisation, so that changes to its memberships come one after another, and says whether it is still there
-- and the actor still is who the request found.
create function hold_org(standing json) returns boolean language plpgsql as $$
begin
    perform from orgs
    where id = (standing->>'org')::uuid and deleted_at is null and suspended_at is null
    for no key update;
    if not found then
        return false;
    end if;
    return standing->>'user_id' is null or exists (
        select from memberships membership
        left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
        where membership.org_id = (standing->>'org')::uuid and membership.user_id = (standing->>'user_id')::uuid
            and membership.role = standing->>'role'
            and (membership.role <> 'custom'
                or string_to_array(custom.permissions, ' ') @> string_to_array(standing->>'permissions', ' ')));
end $$;

-- Whether the actor may give and take a role: an owner any, everyone else only what is less than their own.
create function may_touch(standing json, role text, custom_permissions text) returns boolean language sql immutable as $$
    select (standing->>'all')::boolean
        or case when role = 'custom'
            then string_to_array(custom_permissions, ' ') <@ string_to_array(standing->>'permissions', ' ')
                and not string_to_array(custom_permissions, ' ') @> string_to_array(standing->>'permissions', ' ')
            else role = any(string_to_array(standing->>'roles', ' ')) end;
$$;

-- Whether anyone but `member` owns the organisation and can act.
create function has_another_owner(org uuid, member uuid) returns boolean language sql stable as $$
    select exists (
        select from memberships owner join users on users.id = owner.user_id
        where owner.org_id = org and owner.user_id <> member and owner.role = 'owner' and users.suspended_at is null);
$$;

create function change_member(standing json, member uuid, new_role text, new_custom uuid, entry text)
returns text language plpgsql as $$
declare
    org uuid := (standing->>'org')::uuid;
    held record;
    wanted text;
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    select membership.role, coalesce(custom.permissions, '') as permissions into held
    from memberships membership
    left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
    where membership.org_id = org and membership.user_id = member;
    if not found then
        return 'no_member';
    end if;
    if new_role = 'custom' then
        select permissions into wanted from org_roles where org_id = org and id = new_custom and deleted_at is null;
        if not found then
            return 'no_role';
        end if;
    end if;
    if not (may_touch(standing, held.role, held.permissions) and may_touch(standing, new_role, wanted)) then
        return 'beyond';
    end if;
    if held.role = 'owner' and new_role <> 'owner' and not has_another_owner(org, member) then
        return 'last_owner';
    end if;
    update memberships set role = new_role, custom_role = new_custom where org_id = org and user_id = member;
    -- What they have sent out was theirs to give by the role that they had.
    update invitations set revoked_at = to_timestamp((standing->>'at_ms')::bigint / 1000.0)
    where org_id = org and invited_by = member and accepted_at is null and revoked_at is null;
    perform audit(entry);
    return 'done';
end $$;

-- Removes a member; anyone may remove themselves.
create function remove_member(standing json, member uuid, entry text) returns text language plpgsql as $$
declare
    org uuid := (standing->>'org')::uuid;
    held record;
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    select membership.role, coalesce(custom.permissions, '') as permissions into held
    from memberships membership
    left join org_roles custom on custom.org_id = membership.org_id and custom.id = membership.custom_role
    where membership.org_id = org and membership.user_id = member;
    if not found then
        return 'no_member';
    end if;
    if member is distinct from (standing->>'user_id')::uuid
        and not may_touch(standing, held.role, held.permissions) then
        return 'beyond';
    end if;
    if held.role = 'owner' and exists (select from orgs where id = org and personal) then
        return 'personal';
    end if;
    if held.role = 'owner' and not has_another_owner(org, member) then
        return 'last_owner';
    end if;
    delete from memberships where org_id = org and user_id = member;
    update invitations set revoked_at = to_timestamp((standing->>'at_ms')::bigint / 1000.0)
    where org_id = org and invited_by = member and accepted_at is null and revoked_at is null;
    perform audit(entry);
    return 'done';
end $$;

create function delete_org(standing json, entry text) returns text language plpgsql as $$
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    update orgs set deleted_at = to_timestamp((standing->>'at_ms')::bigint / 1000.0)
    where id = (standing->>'org')::uuid and not personal;
    if not found then
        return 'personal';
    end if;
    perform audit(entry);
    return 'done';
end $$;

create function add_role(standing json, role_id uuid, role_name text, role_permissions text, entry text)
returns text language plpgsql as $$
declare
    org uuid := (standing->>'org')::uuid;
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    if (select count(*) from org_roles where org_id = org and deleted_at is null) >= 100 then
        return 'too_many';
    end if;
    if exists (select from org_roles where org_id = org and name = role_name and deleted_at is null) then
        return 'name_taken';
    end if;
    insert into org_roles (id, org_id, name, permissions, created_at)
    values (role_id, org, role_name, role_permissions, to_timestamp((standing->>'at_ms')::bigint / 1000.0));
    perform audit(entry);
    return 'done';
end $$;

-- Changes a role that permits nothing beyond what the actor may; null leaves name or permissions as they are.
create function change_role(standing json, role_id uuid, new_name text, new_permissions text, entry text)
returns text language plpgsql as $$
declare
    org uuid := (standing->>'org')::uuid;
    held text;
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    select permissions into held from org_roles where org_id = org and id = role_id and deleted_at is null;
    if not found then
        return 'no_role';
    end if;
    if not string_to_array(held, ' ') <@ string_to_array(standing->>'permissions', ' ') then
        return 'beyond';
    end if;
    if exists (select from org_roles where org_id = org and name = new_name and id <> role_id and deleted_at is null) then
        return 'name_taken';
    end if;
    update org_roles set name = coalesce(new_name, name), permissions = coalesce(new_permissions, permissions)
    where org_id = org and id = role_id;
    perform audit(entry);
    return 'done';
end $$;

-- Deletes a role that nobody has and no open invitation names.
create function delete_role(standing json, role_id uuid, entry text) returns text language plpgsql as $$
declare
    org uuid := (standing->>'org')::uuid;
    at timestamptz := to_timestamp((standing->>'at_ms')::bigint / 1000.0);
    held text;
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    select permissions into held from org_roles where org_id = org and id = role_id and deleted_at is null;
    if not found then
        return 'no_role';
    end if;
    if not string_to_array(held, ' ') <@ string_to_array(standing->>'permissions', ' ') then
        return 'beyond';
    end if;
    if exists (select from memberships where org_id = org and custom_role = role_id)
        or exists (select from invitations where org_id = org and custom_role = role_id and accepted_at is null
            and revoked_at is null and expires_at > at) then
        return 'role_in_use';
    end if;
    update org_roles set deleted_at = at where org_id = org and id = role_id;
    perform audit(entry);
    return 'done';
end $$;

-- Invites an address; an older open invitation of the same address is void. `given` is JSON: {id, email, role,
-- custom_role, token_hash (hex), expires_ms}.
create function invite_member(standing json, given json, entry text, letter text) returns text language plpgsql as $$
declare
    org uuid := (standing->>'org')::uuid;
    at timestamptz := to_timestamp((standing->>'at_ms')::bigint / 1000.0);
    wanted text;
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    if exists (select from orgs where id = org and personal) then
        return 'personal';
    end if;
    if given->>'role' = 'custom' then
        select permissions into wanted from org_roles
        where org_id = org and id = (given->>'custom_role')::uuid and deleted_at is null;
        if not found then
            return 'no_role';
        end if;
    end if;
    if not may_touch(standing, given->>'role', wanted) then
        return 'beyond';
    end if;
    if exists (select from memberships join users on users.id = memberships.user_id
        where memberships.org_id = org and users.email = given->>'email') then
        return 'already_member';
    end if;
    -- Each is a mail to a stranger.
    if (select count(*) from invitations where org_id = org and created_at > at - interval '1 day') >= 100 then
        return 'too_many';
    end if;
    update invitations set revoked_at = at
    where org_id = org and email = given->>'email' and accepted_at is null and revoked_at is null;
    insert into invitations (id, org_id, email, role, custom_role, token_hash, invited_by, created_at, expires_at)
    values ((given->>'id')::uuid, org, given->>'email', given->>'role', (given->>'custom_role')::uuid,
        decode(given->>'token_hash', 'hex'), (standing->>'user_id')::uuid, at,
        to_timestamp((given->>'expires_ms')::bigint / 1000.0));
    perform audit(entry), enqueue_mail(letter);
    return 'done';
end $$;

-- Takes back an open invitation whose role the actor could give.
create function revoke_invitation(standing json, invitation uuid, entry text) returns text language plpgsql as $$
declare
    org uuid := (standing->>'org')::uuid;
    at timestamptz := to_timestamp((standing->>'at_ms')::bigint / 1000.0);
    held record;
begin
    if not hold_org(standing) then
        return 'changed';
    end if;
    select open.role, coalesce(custom.permissions, '') as permissions into held
    from invitations open left join org_roles custom on custom.org_id = open.org_id and custom.id = open.custom_role
    where open.org_id = org and open.id = invitation and open.accepted_at is null and open.revoked_at is null
        and open.expires_at > at;
    if not found then
        return 'no_invitation';
    end if;
    if not may_touch(standing, held.role, held.permissions) then
        return 'beyond';
    end if;
    update invitations set revoked_at = at where id = invitation;
    perform audit(entry);
    return 'done';
end $$;

-- Locks the open invitation with this token, after its organisation, as everyone does; no row when there is none.
create function hold_invitation(hash bytea, at timestamptz) returns setof invitations language plpgsql as $$
begin
    perform from orgs
    where id = (select org_id from invitations where token_hash = hash) and deleted_at is null and suspended_at is null
    for no key update;
    if found then
        return query select * from invitations
            where token_hash = hash and accepted_at is null and revoked_at is null and expires_at > at
            for update;
    end if;
end $$;

-- Makes a person who is logged in a member, if the invitation is to their address.
create function accept_invitation(hash bytea, person uuid, at timestamptz, entry text, out outcome text, out org uuid)
language plpgsql as $$
declare
    invited record;
begin
    select * into invited from hold_invitation(hash, at);
    if invited.id is null then
        outcome := 'invalid_invitation';
    elsif not exists (select from users where id = person and email = invited.email) then
        outcome := 'other_address';
    elsif exists (select from memberships where org_id = invited.org_id and user_id = person) then
        outcome := 'already_member';
    else
        update invitations set accepted_at = at where id = invited.id;
        insert into memberships (org_id, user_id, role, custom_role, created_at)
        values (invited.org_id, person, invited.role, invited.custom_role, at);
        perform audit(entry, null, null, invited.org_id);
        outcome := 'done';
        org := invited.org_id;
    end if;
end $$;

-- Makes a person with an organisation of their own, and gives their id; null when the address has an account. `account` is
-- JSON, as `NewAccount` in edge/core writes it: {id, email, password_hash, name, org_id, at_ms}. What only the statement
-- knows may be given beside it. Needs a proof that the address is theirs.
create function make_account(account text, known_email text default null, known_hash text default null,
    known_name text default null)
returns uuid language plpgsql as $$
declare
    given record;
    person record;
begin
    select * into given from json_to_record(account::json) as it
        (id uuid, email text, password_hash text, name text, org_id uuid, at_ms bigint);
    insert into users (id, email, password_hash, name, password_changed_at, created_at)
    values (given.id, coalesce(known_email, given.email), coalesce(known_hash, given.password_hash),
        coalesce(known_name, given.name, ''), null, to_timestamp(given.at_ms / 1000.0))
    on conflict (email) do nothing
    returning id, email, name into person;
    if not found then
        return null;
    end if;
    perform found_org(given.org_id, left(coalesce(nullif(person.name, ''), person.email), 200), person.id, true);
    return person.id;
end $$;

-- Proves an address by a mailed token: makes the account of a sign-up, or gives an account its new address. Gives the
-- address; null when the token is not good. `notice` goes to the address that an account had before.
create function prove_address(token bytea, account text, at timestamptz, created_entry text, changed_entry text, notice text)
returns text language plpgsql as $$
declare
    wanted record;
    used record;
    person uuid;
    old_email text;
begin
    update signups set used_at = at where token_hash = token and used_at is null and expires_at > at
    returning email, password_hash, name into wanted;
    if found then
        person := make_account(account, wanted.email, wanted.password_hash, wanted.name);
        if person is null then
            return null;
        end if;
        perform audit(created_entry, person::text, person::text);
        return wanted.email;
    end if;
    select * into used from use_mailed_token(token, 'email_change', at);
    if used.person is null then
        return null;
    end if;
    select email into old_email from users where id = used.person;
    -- Two accounts that prove one address at once: the unique key refuses the later one.
    update users set email = used.address where id = used.person;
    -- What was sent to the old address is void.
    update mailed_tokens set used_at = at where user_id = used.person and used_at is null;
    perform audit(changed_entry, used.person::text, used.person::text);
    perform enqueue_mail(notice, old_email);
    return used.address;
end $$;

-- Makes the account of someone who has none, since the invitation's token proves the address, and accepts. `account` is
-- as `make_account` takes it.
create function join_by_invitation(hash bytea, account text, at timestamptz, made text, entry text,
    out outcome text, out org uuid)
language plpgsql as $$
declare
    invited record;
    person uuid;
begin
    select * into invited from hold_invitation(hash, at);
    if invited.id is null then
        outcome := 'invalid_invitation';
        return;
    end if;
    person := make_account(account, invited.email);
    if person is null then
        outcome := 'email_taken';
        return;
    end if;
    perform audit(made, person::text, person::text);
    select accepted.outcome, accepted.org into outcome, org
    from accept_invitation(hash, person, at, entry) accepted;
end $$;
