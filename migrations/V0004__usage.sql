-- One row for each call that a known key made under /v1, written once, by request id.
create table usage (
    request_id uuid primary key,
    org_id uuid not null references orgs (id),
    key_id uuid not null references api_keys (id),
    endpoint text not null,
    model text not null,
    -- `node:<id>`, `groq`, or null when the call reached no upstream.
    upstream text,
    stream boolean not null,
    -- The status that the client was answered with.
    status bigint not null,
    outcome text not null check (outcome in ('completed', 'refused', 'failed', 'client_left', 'upstream_cut')),
    prompt_tokens bigint not null check (prompt_tokens >= 0),
    completion_tokens bigint not null check (completion_tokens >= 0),
    cached_tokens bigint not null check (cached_tokens >= 0),
    reasoning_tokens bigint not null check (reasoning_tokens >= 0),
    -- Who counted: the upstream's own report, or our count of the events that passed; `none` without an answer.
    tokens_source text not null check (tokens_source in ('upstream', 'counted', 'none')),
    started_at timestamptz not null,
    first_byte_ms bigint,
    latency_ms bigint not null check (latency_ms >= 0)
);
create index usage_by_org on usage (org_id, started_at);
create index usage_by_key on usage (key_id, started_at);
