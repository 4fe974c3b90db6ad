-- Mail waits here, written by the statement of the act that it tells of, until a mail service has taken it.
create table mail_outbox (
    -- Becomes the Message-ID and the idempotency key, so that no try is ever taken for another mail.
    id uuid primary key,
    recipient text not null,
    template text not null,
    -- What the template is filled with: it may hold a link that logs in, so it is sealed, and gone once sent.
    sealed bytea,
    created_at timestamptz not null,
    -- When to try next.
    due_at timestamptz not null,
    attempts bigint not null default 0,
    -- Until then whoever tries is alone.
    claimed_until timestamptz,
    sent_at timestamptz,
    failed_at timestamptz,
    -- Why the last try did not succeed.
    error text,
    -- What waits has its content, and what is dealt with has none.
    check ((sealed is null) = (sent_at is not null or failed_at is not null))
);
create index mail_outbox_due on mail_outbox (due_at) where sent_at is null and failed_at is null;

-- Puts a mail into the outbox. `letter` is JSON: {id, recipient, template, sealed (hex), at_ms}. A null recipient falls
-- back to `known_recipient`, for statements that find the address themselves.
create function enqueue_mail(letter text, known_recipient text default null) returns bigint language sql volatile as $$
    insert into mail_outbox (id, recipient, template, sealed, created_at, due_at)
    select given.id, coalesce(given.recipient, known_recipient), given.template, decode(given.sealed, 'hex'),
        to_timestamp(given.at_ms / 1000.0), to_timestamp(given.at_ms / 1000.0)
    from json_to_record(letter::json) as given (id uuid, recipient text, template text, sealed text, at_ms bigint)
    returning 1::bigint;
$$;
