-- Plans, and what Stripe knows of organisations: customers, payments, subscriptions. Stripe's own objects are the truth;
-- what stands here is what was read of them last. docs/stripe.md says when they are read, and what each state means.

-- What organisations may subscribe to. Operators edit it, and `nest stripe sync` brings Stripe's products in line.
create table plans (
    id text primary key check (id ~ '^[a-z][a-z0-9_-]{0,62}$'),
    name text not null,
    -- US cents a month.
    price_cents bigint not null check (price_cents >= 0),
    -- Credit that each paid month brings, and that ends with it.
    monthly_credit_nanos bigint not null check (monthly_credit_nanos >= 0),
    -- How much may be used beyond all credit, to be paid with the next invoice.
    overage_limit_nanos bigint not null check (overage_limit_nanos >= 0),
    -- What Stripe asks for each cent's worth of use beyond credit, in cents.
    overage_price_cents bigint not null check (overage_price_cents > 0),
    -- How much the organisation's keys may do together; null where what the edges are configured with holds.
    limits jsonb check (limits is null or jsonb_typeof(limits) = 'object'),
    trial_days bigint not null check (trial_days between 0 and 730),
    -- The recurring price and the metered one, once Stripe has them.
    stripe_price_id text unique,
    stripe_meter_price_id text unique,
    -- What is not active cannot be subscribed to any more; whoever has it keeps it.
    active boolean not null
);

-- Every price that a plan ever had at Stripe: whoever subscribed at an earlier one keeps it, and is billed by it.
create table plan_prices (
    stripe_price_id text primary key,
    plan_id text not null references plans (id),
    metered boolean not null
);
create function note_plan_prices() returns trigger language plpgsql as $$
begin
    insert into plan_prices (stripe_price_id, plan_id, metered)
    select price, new.id, metered
    from (values (new.stripe_price_id, false), (new.stripe_meter_price_id, true)) as given (price, metered)
    where price is not null
    on conflict do nothing;
    return null;
end $$;
create trigger note_prices after insert or update of stripe_price_id, stripe_meter_price_id on plans
    for each row execute function note_plan_prices();

-- What the plan gives, beside what operators set in `limits`, which counts more.
alter table orgs add column plan_limits jsonb check (plan_limits is null or jsonb_typeof(plan_limits) = 'object');

-- Stripe's customer of an organisation: each has one, and none belongs to two.
create table stripe_customers (
    org_id uuid primary key references orgs (id),
    id text not null unique,
    -- The card that the last payment was made with, for automatic payments.
    payment_method text,
    -- How many customers there were before that were deleted at Stripe.
    generation bigint not null default 0,
    deleted_at timestamptz
);

-- What Stripe told, as its bytes came. They are no JSON to Postgres: jsonb refuses what a hostile name may hold.
create table stripe_events (
    id text primary key,
    type text not null,
    -- Of what the event tells; empty where that could not be read.
    object_kind text not null,
    object_id text not null,
    created timestamptz not null,
    livemode boolean not null,
    account text,
    raw bytea not null,
    received_at timestamptz not null,
    attempts bigint not null default 0,
    next_try_at timestamptz not null,
    -- Until then whoever applies it is alone.
    claimed_until timestamptz,
    applied_at timestamptz,
    -- Given up: a person looks at it, and has it tried again.
    dead_at timestamptz,
    error text
);
create index stripe_events_due on stripe_events (next_try_at) where applied_at is null and dead_at is null;
create index stripe_events_dead on stripe_events (dead_at) where dead_at is not null;

-- How often each of Stripe's objects was applied. Whoever fetches one notes the number before, and its effect counts
-- only while the number is the same: so nothing that was fetched earlier is applied later.
create table stripe_objects (
    id text primary key,
    version bigint not null
);

-- How far the reconciler has looked.
create table stripe_cursors (
    name text primary key,
    -- Everything created before was seen.
    created timestamptz not null,
    -- Who looks is alone until then, and looks again then.
    next_at timestamptz not null
);

-- Checkouts of plans. An organisation has one that is open at most, so nobody pays for two subscriptions.
create table plan_checkouts (
    id uuid primary key,
    org_id uuid not null references orgs (id),
    plan_id text not null references plans (id),
    session_id text unique,
    status text not null check (status in ('open', 'complete', 'expired')),
    created_at timestamptz not null
);
create unique index plan_checkouts_open on plan_checkouts (org_id) where status = 'open';

-- Credit that was asked for: paid on Stripe's page, or automatically.
create table top_ups (
    id uuid primary key,
    org_id uuid not null references orgs (id),
    cents bigint not null check (cents > 0),
    automatic boolean not null,
    status text not null check (status in ('open', 'processing', 'paid', 'failed', 'expired')),
    session_id text unique,
    payment_intent text unique,
    -- Of automatic ones: what they are paid with, so that each try asks for the same.
    customer text,
    payment_method text,
    claimed_until timestamptz,
    created_at timestamptz not null,
    settled_at timestamptz
);
create index top_ups_by_org on top_ups (org_id, id desc);
-- No card is charged twice because the first answer is late.
create unique index top_ups_in_flight on top_ups (org_id) where automatic and status in ('open', 'processing');

create table auto_top_ups (
    org_id uuid primary key references orgs (id),
    -- Below which the credit that is free is topped up.
    threshold_nanos bigint not null check (threshold_nanos > 0),
    cents bigint not null check (cents > 0),
    -- Off since a card was refused; setting it anew turns it on.
    failed_at timestamptz
);

-- What was paid, by Stripe's payment intent, which is what refunds and disputes name.
create table payments (
    payment_intent text primary key,
    org_id uuid not null references orgs (id),
    kind text not null check (kind in ('top_up', 'invoice')),
    -- The checkout session, payment intent or invoice.
    subject text not null,
    cents bigint not null check (cents > 0),
    -- The credit that it brought, and how much of that refunds and disputes have ended.
    nanos bigint not null check (nanos >= 0),
    withdrawn_nanos bigint not null default 0
);

-- Refunds and disputes that have had their effect: `refund:<id>`, `dispute:<id>`.
create table withdrawals (
    id text primary key,
    payment_intent text not null references payments (payment_intent),
    -- The credit that it ends, or ended until it was returned.
    nanos bigint not null check (nanos >= 0),
    returned boolean not null
);

-- Stripe's subscriptions, as they were read last.
create table subscriptions (
    id text primary key,
    org_id uuid not null references orgs (id),
    plan_id text not null references plans (id),
    status text not null,
    cancel_at_period_end boolean not null,
    created timestamptz not null,
    period_start timestamptz,
    period_end timestamptz,
    trial_end timestamptz,
    -- What its state holds, as the table in docs/stripe.md says.
    limits_hold boolean not null,
    overage_holds boolean not null,
    calls_hold boolean not null,
    -- Whether it is over for good.
    ended boolean not null,
    -- The period whose credit was given last, and when what is left of that credit ends.
    credit_period timestamptz,
    credit_until timestamptz
);
create index subscriptions_by_org on subscriptions (org_id, ended, created desc);
create index subscriptions_by_credit on subscriptions (credit_until) where credit_until is not null;

-- How much of an organisation's use beyond credit was told to Stripe's meter, and how much of that was paid. In units:
-- a cent's worth of use each.
create table overage_meters (
    org_id uuid primary key references orgs (id),
    told_units bigint not null default 0,
    paid_units bigint not null default 0 check (paid_units <= told_units),
    told_at timestamptz
);
create table meter_events (
    org_id uuid not null references orgs (id),
    -- How many units were told before: two events of one organisation never have the same.
    after_units bigint not null,
    units bigint not null check (units > 0),
    customer text not null,
    at timestamptz not null,
    attempts bigint not null default 0,
    next_try_at timestamptz not null,
    claimed_until timestamptz,
    sent_at timestamptz,
    error text,
    primary key (org_id, after_units)
);
create index meter_events_due on meter_events (next_try_at) where sent_at is null;
