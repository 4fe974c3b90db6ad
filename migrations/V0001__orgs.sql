-- Organisations own keys and pay; people act for them.
create table orgs (
    id uuid primary key,
    name text not null check (length(name) between 1 and 200),
    created_at timestamptz not null default now()
);

create table users (
    id uuid primary key,
    -- Case-folded before it gets here, so that plain uniqueness is enough.
    email text not null unique check (length(email) between 3 and 320),
    -- A PHC string; null for a person who cannot log in with a password.
    password_hash text,
    -- An operator runs the platform; everyone else sees only what their organisations own.
    operator boolean not null default false,
    created_at timestamptz not null default now()
);

create table memberships (
    org_id uuid not null references orgs (id),
    user_id uuid not null references users (id),
    role text not null check (role in ('owner', 'admin', 'billing', 'member')),
    created_at timestamptz not null default now(),
    primary key (org_id, user_id)
);
create index memberships_by_user on memberships (user_id);

-- Founds an organisation with its first owner, within the statement that made the person.
create function found_org(org uuid, org_name text, owner uuid) returns uuid language sql as $$
    insert into orgs (id, name) values (org, org_name);
    insert into memberships (org_id, user_id, role) values (org, owner, 'owner');
    select org;
$$;
