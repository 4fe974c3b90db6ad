-- Single-use permissions to join as a GPU node; the token is stored as its SHA-256.
create table node_invites (
    id uuid primary key,
    token_hash bytea not null unique check (length(token_hash) = 32),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);

-- GPU nodes, as they last described themselves.
create table gpu_nodes (
    id uuid primary key,
    -- Ed25519, base64url: who signs this node's reports.
    public_key text not null unique,
    name text not null check (length(name) between 1 and 200),
    base_url text not null check (length(base_url) between 8 and 2000),
    -- JSON list of {id, task, context_tokens}.
    models jsonb not null,
    capacity_running bigint not null check (capacity_running >= 0),
    capacity_queued bigint not null check (capacity_queued >= 0),
    ready boolean not null,
    running bigint not null default 0,
    queued bigint not null default 0,
    registered_at timestamptz not null default now(),
    -- The signed time of the last call that was accepted, in ms by the node's clock. It only grows, so that no edge
    -- ever accepts a copy of a call, whichever edge the original went to.
    last_call_ms bigint not null,
    heartbeat_at timestamptz not null default now(),
    removed_at timestamptz
);
