-- API keys. The secret itself is shown once and never stored: `secret_hash` is the SHA-256 of the whole key.
create table api_keys (
    id uuid primary key,
    org_id uuid not null references orgs (id),
    created_by uuid references users (id),
    name text not null check (length(name) between 1 and 200),
    prefix text not null,
    last_four text not null,
    secret_hash bytea not null check (length(secret_hash) = 32),
    created_at timestamptz not null default now(),
    -- Expiry is exclusive: at this instant the key is dead.
    expires_at timestamptz,
    revoked_at timestamptz,
    -- Grows with every change, so that a cache never puts an older state over a newer one.
    version bigint not null default 1
);
create index api_keys_by_org on api_keys (org_id, created_at);
