-- What Stripe's objects come to: one function for each kind, which brings the tables of migration 16 and the ledger in
-- line with an object as it was fetched, and marks the event that told of it. docs/stripe.md has the rules.

-- Nano-dollars in a cent, which is also what a unit of the meter is worth.
create function cent_nanos() returns bigint language sql immutable as $$ select 10000000::bigint $$;

-- Whose customer it is; none for what is not ours.
create function customer_org(customer text) returns uuid language sql stable as $$
    select org_id from stripe_customers where id = customer;
$$;

-- Takes the turn to apply an object; false when somebody has since `expected` was read.
create function stripe_turn(object text, expected bigint) returns boolean language plpgsql as $$
begin
    insert into stripe_objects as known (id, version) values (object, 1)
    on conflict (id) do update set version = known.version + 1 where known.version = expected;
    return found;
end $$;

-- Notes that an event has had its effect. What applies an object without an event names none.
create function stripe_applied(event text, moment timestamptz) returns void language sql as $$
    update stripe_events set applied_at = moment, dead_at = null, claimed_until = null, error = null
    where id = event and applied_at is null;
$$;

-- Mails owners. `letters` has as many as may be written, each with an id of its own; owners who joined first come first.
create function mail_owners(org uuid, letters json) returns void language sql as $$
    select enqueue_mail(letter.value::text, owner.email)
    from json_array_elements(letters) with ordinality as letter
    join (
        select users.email, row_number() over (order by membership.created_at, users.id) as place
        from memberships membership join users on users.id = membership.user_id
        where membership.org_id = org and membership.role = 'owner'
    ) owner on owner.place = letter.ordinality
$$;

-- Lets hold what the organisation's subscription gives: the one that is not over, or else the latest.
create function refresh_plan(org uuid) returns void language plpgsql as $$
declare
    current subscriptions;
    plan plans;
begin
    select * into current from subscriptions where org_id = org order by ended, created desc, id limit 1;
    select * into plan from plans where id = current.plan_id;
    perform set_overage_limit(org, case when current.overage_holds then plan.overage_limit_nanos else 0 end);
    update wallets set refused_subscription = case when not current.calls_hold then current.status end
    where org_id = org;
    update orgs set plan_limits = case when current.limits_hold then plan.limits end where id = org;
end $$;

-- Credit that was paid for on Stripe's page, or automatically. `given` is what the object says: {event, object, expected,
-- at_ms, customer, reference, paid, pending, failed, expired, cents, currency, payment_intent, payment_method, letters}.
-- Only our own row says whose credit it is, and only Stripe how much was paid.
create function apply_top_up(given json) returns text language plpgsql as $$
declare
    moment timestamptz := to_timestamp((given ->> 'at_ms')::bigint / 1000.0);
    object text := given ->> 'object';
    bought top_ups;
    nanos bigint;
begin
    if not stripe_turn(object, (given ->> 'expected')::bigint) then
        return 'changed';
    end if;
    select * into bought from top_ups where id = (given ->> 'reference')::uuid for update;
    if bought.id is null then
        perform stripe_applied(given ->> 'event', moment);
        return 'foreign';
    end if;
    if bought.org_id is distinct from customer_org(given ->> 'customer') then
        return 'mismatch';
    end if;
    if (given ->> 'paid')::boolean then
        if given ->> 'currency' is distinct from 'usd' then
            return 'currency';
        end if;
        -- A coupon makes it less, and a tax makes it no more.
        nanos := least((given ->> 'cents')::bigint, bought.cents) * cent_nanos();
        if nanos > 0 then
            perform add_credit(bought.org_id,
                case when bought.automatic then 'pi:' else 'checkout:' end || object, 'top_up', 'payments', nanos, moment,
                jsonb_build_object('top_up', bought.id, 'cents', (given ->> 'cents')::bigint));
        end if;
        if given ->> 'payment_intent' is not null and (given ->> 'cents')::bigint > 0 then
            insert into payments (payment_intent, org_id, kind, subject, cents, nanos)
            values (given ->> 'payment_intent', bought.org_id, 'top_up', object, (given ->> 'cents')::bigint, nanos)
            on conflict do nothing;
        end if;
        update stripe_customers set payment_method = coalesce(given ->> 'payment_method', payment_method)
        where org_id = bought.org_id;
        update top_ups set status = 'paid', settled_at = coalesce(settled_at, moment),
            session_id = case when automatic then null else object end,
            payment_intent = coalesce(given ->> 'payment_intent', payment_intent)
        where id = bought.id;
    elsif (given ->> 'failed')::boolean and bought.status in ('open', 'processing') then
        update top_ups set status = 'failed', settled_at = moment where id = bought.id;
        if bought.automatic then
            -- Off until a person has looked: a card that is refused is not asked again and again.
            update auto_top_ups set failed_at = moment where org_id = bought.org_id;
            perform mail_owners(bought.org_id, given -> 'letters');
        end if;
    elsif (given ->> 'expired')::boolean and bought.status = 'open' then
        update top_ups set status = 'expired', settled_at = moment where id = bought.id;
    elsif (given ->> 'pending')::boolean and bought.status = 'open' then
        update top_ups set status = 'processing' where id = bought.id;
    end if;
    perform stripe_applied(given ->> 'event', moment);
    return 'applied';
end $$;

-- A checkout of a plan that is over, paid or not. The subscription tells the rest.
create function apply_plan_checkout(given json) returns text language plpgsql as $$
declare
    checkout plan_checkouts;
begin
    if not stripe_turn(given ->> 'object', (given ->> 'expected')::bigint) then
        return 'changed';
    end if;
    select * into checkout from plan_checkouts where id = (given ->> 'reference')::uuid for update;
    if checkout.id is null then
        return 'foreign';
    end if;
    if checkout.org_id is distinct from customer_org(given ->> 'customer') then
        return 'mismatch';
    end if;
    update plan_checkouts set session_id = given ->> 'object',
        status = case when (given ->> 'expired')::boolean then 'expired'
            when (given ->> 'complete')::boolean then 'complete' else status end
    where id = checkout.id;
    return 'applied';
end $$;

-- Ends what is left of the credit of a subscription's month.
create function end_credit_of(subscription subscriptions, moment timestamptz) returns void language plpgsql as $$
begin
    perform set_allowance(subscription.org_id,
        'subscription:' || subscription.id || ':' || extract(epoch from subscription.credit_period)::bigint || ':over',
        0, moment, jsonb_build_object('subscription', subscription.id));
    update subscriptions set credit_until = null where id = subscription.id;
end $$;

-- A subscription. `given`: {event, object, expected, at_ms, customer, items: [{price, start_ms, end_ms}], status,
-- cancel_at_period_end, created_ms, trial_end_ms, holds: {limits, credit, overage, calls}, ended, late, letters}.
create function apply_subscription(given json) returns text language plpgsql as $$
declare
    moment timestamptz := to_timestamp((given ->> 'at_ms')::bigint / 1000.0);
    object text := given ->> 'object';
    org uuid := customer_org(given ->> 'customer');
    item record;
    before subscriptions;
begin
    if not stripe_turn(object, (given ->> 'expected')::bigint) then
        return 'changed';
    end if;
    if org is null then
        perform stripe_applied(given ->> 'event', moment);
        return 'foreign';
    end if;
    -- What concerns one organisation is applied one after the other.
    perform from orgs where id = org for no key update;
    select * into before from subscriptions where id = object;
    select price.plan_id as plan, to_timestamp(of.start_ms / 1000.0) as starts, to_timestamp(of.end_ms / 1000.0) as ends
    into item
    from json_to_recordset(given -> 'items') as of (price text, start_ms bigint, end_ms bigint)
    join plan_prices price on price.stripe_price_id = of.price and not price.metered limit 1;
    if item.plan is null and before.plan_id is null then
        return 'plan';
    end if;
    insert into subscriptions as known
        (id, org_id, plan_id, status, cancel_at_period_end, created, period_start, period_end, trial_end, limits_hold,
         overage_holds, calls_hold, ended)
    values
        (object, org, coalesce(item.plan, before.plan_id), given ->> 'status',
         (given ->> 'cancel_at_period_end')::boolean, to_timestamp((given ->> 'created_ms')::bigint / 1000.0),
         item.starts, item.ends, to_timestamp((given ->> 'trial_end_ms')::bigint / 1000.0),
         (given #>> '{holds,limits}')::boolean, (given #>> '{holds,overage}')::boolean,
         (given #>> '{holds,calls}')::boolean, (given ->> 'ended')::boolean)
    on conflict (id) do update
    set plan_id = excluded.plan_id, status = excluded.status, cancel_at_period_end = excluded.cancel_at_period_end,
        period_start = coalesce(excluded.period_start, known.period_start),
        period_end = coalesce(excluded.period_end, known.period_end), trial_end = excluded.trial_end,
        limits_hold = excluded.limits_hold, overage_holds = excluded.overage_holds, calls_hold = excluded.calls_hold,
        ended = excluded.ended;
    if not (given #>> '{holds,credit}')::boolean and before.credit_until is not null then
        perform end_credit_of(before, moment);
    end if;
    perform refresh_plan(org);
    if (given ->> 'late')::boolean and before.status is distinct from given ->> 'status' then
        perform mail_owners(org, given -> 'letters');
    end if;
    perform stripe_applied(given ->> 'event', moment);
    return 'applied';
end $$;

-- An invoice that is paid. `given`: {event, object, expected, at_ms, customer, subscription, renews, cents, currency,
-- lines: [{price, quantity, start_ms, end_ms, proration}], grace_ms, payment_intents: [...]}. It brings the credit of the
-- month that it is for, if it begins one, and pays for what was used beyond credit.
create function apply_invoice(given json) returns text language plpgsql as $$
declare
    moment timestamptz := to_timestamp((given ->> 'at_ms')::bigint / 1000.0);
    object text := given ->> 'object';
    org uuid := customer_org(given ->> 'customer');
    subscription subscriptions;
    month record;
    brings bigint := 0;
    units bigint;
begin
    if not stripe_turn(object, (given ->> 'expected')::bigint) then
        return 'changed';
    end if;
    if org is null then
        perform stripe_applied(given ->> 'event', moment);
        return 'foreign';
    end if;
    if given ->> 'currency' is distinct from 'usd' then
        return 'currency';
    end if;
    perform from orgs where id = org for no key update;
    select * into subscription from subscriptions where id = given ->> 'subscription' and org_id = org;
    if given ->> 'subscription' is not null and subscription.id is null then
        -- Stripe tells of the two in any order.
        return 'wait';
    end if;
    select plans.id as plan, plans.monthly_credit_nanos as nanos, to_timestamp(line.start_ms / 1000.0) as starts,
        to_timestamp((line.end_ms + (given ->> 'grace_ms')::bigint) / 1000.0) as ends
    into month
    from json_to_recordset(given -> 'lines') as line (price text, start_ms bigint, end_ms bigint, proration boolean)
    join plan_prices price on price.stripe_price_id = line.price and not price.metered
    join plans on plans.id = price.plan_id
    where (given ->> 'renews')::boolean and not line.proration order by line.end_ms desc limit 1;
    if month.plan is not null and subscription.id is not null then
        brings := month.nanos;
        -- An earlier month than was seen already, or one that is over, brings nothing that could still be used.
        if month.starts > coalesce(subscription.credit_period, '-infinity') and not subscription.ended then
            if month.ends > moment then
                perform set_allowance(org, 'invoice:' || object, brings, moment,
                    jsonb_build_object('invoice', object, 'plan', month.plan));
            end if;
            update subscriptions
            set credit_period = month.starts, credit_until = case when month.ends > moment then month.ends end
            where id = subscription.id;
        end if;
    end if;
    insert into payments (payment_intent, org_id, kind, subject, cents, nanos)
    select intent, org, 'invoice', object, (given ->> 'cents')::bigint, brings
    from json_array_elements_text(given -> 'payment_intents') as intent
    where (given ->> 'cents')::bigint > 0
    on conflict do nothing;
    -- What was used beyond credit is paid now. Never more than was told to the meter.
    perform hold_wallet(org);
    select least(line.quantity, meter.told_units - meter.paid_units, -wallet.overage_nanos / cent_nanos()) into units
    from (
        select sum(line.quantity)::bigint as quantity
        from json_to_recordset(given -> 'lines') as line (price text, quantity bigint)
        join plan_prices price on price.stripe_price_id = line.price and price.metered
    ) line, overage_meters meter join wallets wallet on wallet.org_id = meter.org_id
    where meter.org_id = org and not is_booked(org, 'overage:' || object, 'overage:' || object);
    if units > 0 then
        perform post_entry(org, 'overage:' || object, 'overage_paid', 'payments', 'overage',
            units * cent_nanos(), moment, jsonb_build_object('invoice', object, 'units', units));
        update overage_meters set paid_units = paid_units + units where org_id = org;
        perform refresh_plan(org);
    end if;
    perform stripe_applied(given ->> 'event', moment);
    return 'applied';
end $$;

-- How much of the credit that an invoice brought was used, and whether no other month's has followed.
create function invoice_credit(org uuid, invoice text, out used bigint, out latest boolean) language sql stable as $$
    with given as (
        select seq from ledger_entries where org_id = org and business_key = 'invoice:' || invoice
    ), next as (
        select min(entry.seq) as seq from ledger_entries entry, given
        where entry.org_id = org and entry.seq > given.seq and entry.to_account = 'allowance'
            and entry.business_key like 'invoice:%'
    )
    select coalesce(sum(entry.nanos), 0)::bigint, (select seq is null from next) and exists (select from given)
    from given
    left join next on true
    left join ledger_entries entry on entry.org_id = org and entry.from_account = 'allowance'
        and entry.to_account = 'revenue' and entry.seq > given.seq and (next.seq is null or entry.seq < next.seq);
$$;

-- Takes back the credit that a payment brought, of which `amount` is paid back: bought credit as a whole; of a month's
-- what is left of it, and of what was used as much as the rest of the payment does not cover.
create function take_payment_back(paid payments, key text, kind text, amount bigint, moment timestamptz, details jsonb)
returns void language plpgsql as $$
declare
    wallet wallets := hold_wallet(paid.org_id);
    credit record;
    part bigint;
    rest bigint;
begin
    update payments set withdrawn_nanos = withdrawn_nanos + amount where payment_intent = paid.payment_intent;
    if paid.kind = 'top_up' then
        if amount > 0 then
            perform take_back(paid.org_id, key || ':withdrawn', kind, 'payments', amount, moment, details);
        end if;
        return;
    end if;
    select * into credit from invoice_credit(paid.org_id, paid.subject);
    part := case when credit.latest then least(amount, wallet.allowance_nanos, unheld(wallet)) else 0 end;
    if part > 0 then
        perform post_entry(paid.org_id, key || ':withdrawn:allowance', kind, 'allowance', 'grants', part, moment, details);
    end if;
    rest := least(amount - part,
        greatest(0, coalesce(credit.used, 0) - greatest(0, paid.nanos - paid.withdrawn_nanos - amount)));
    if rest > 0 then
        perform take_back(paid.org_id, key || ':withdrawn', kind, 'grants', rest, moment, details);
    end if;
end $$;

-- Gives back what was taken, as the credit that it was: a month's only while it is that month.
create function give_payment_back(paid payments, key text, kind text, amount bigint, moment timestamptz, details jsonb)
returns void language plpgsql as $$
declare
    part bigint;
    rest bigint;
begin
    update payments set withdrawn_nanos = withdrawn_nanos - amount where payment_intent = paid.payment_intent;
    select coalesce(sum(entry.nanos) filter (where entry.from_account = 'allowance'), 0),
        coalesce(sum(entry.nanos) filter (where entry.from_account <> 'allowance'), 0)
    into part, rest from ledger_entries entry
    where entry.org_id = paid.org_id and starts_with(entry.business_key, key || ':withdrawn');
    if rest > 0 then
        perform add_credit(paid.org_id, key || ':returned', kind || '_returned',
            case paid.kind when 'invoice' then 'grants' else 'payments' end, rest, moment, details);
    end if;
    if part > 0 and (select latest from invoice_credit(paid.org_id, paid.subject)) and exists
        (select from subscriptions where org_id = paid.org_id and credit_until > moment) then
        perform post_entry(paid.org_id, key || ':returned:allowance', kind || '_returned', 'grants', 'allowance',
            part, moment, details);
    end if;
end $$;

-- Money that went back. `given`: {event, object, key, expected, at_ms, payment_intent, customer, cents, currency, taken,
-- returned}: `key` is `refund:<id>` or `dispute:<id>`, `taken` whether it went, `returned` whether it came back after that.
create function apply_withdrawal(given json) returns text language plpgsql as $$
declare
    moment timestamptz := to_timestamp((given ->> 'at_ms')::bigint / 1000.0);
    key text := given ->> 'key';
    kind text := split_part(given ->> 'key', ':', 1);
    details jsonb := jsonb_build_object(kind, given ->> 'object');
    known withdrawals;
    paid payments;
    nanos bigint;
begin
    if not stripe_turn(given ->> 'object', (given ->> 'expected')::bigint) then
        return 'changed';
    end if;
    select * into paid from payments where payment_intent = given ->> 'payment_intent';
    if paid.payment_intent is null then
        if customer_org(given ->> 'customer') is not null then
            -- Stripe tells of the payment too.
            return 'wait';
        end if;
        perform stripe_applied(given ->> 'event', moment);
        return 'foreign';
    end if;
    if given ->> 'currency' is distinct from 'usd' then
        return 'currency';
    end if;
    perform from orgs where id = paid.org_id for no key update;
    select * into paid from payments where payment_intent = paid.payment_intent for update;
    select * into known from withdrawals where id = key;
    -- Not bounded by what was paid: a bank may take back what was refunded already.
    nanos := coalesce(known.nanos, trunc(paid.nanos::numeric * (given ->> 'cents')::bigint / paid.cents)::bigint);
    if (given ->> 'taken')::boolean and known.id is null then
        insert into withdrawals (id, payment_intent, nanos, returned) values (key, paid.payment_intent, nanos, false)
        returning * into known;
        perform take_payment_back(paid, key, kind, nanos, moment, details);
    end if;
    if (given ->> 'returned')::boolean and not known.returned then
        update withdrawals set returned = true where id = key;
        perform give_payment_back(paid, key, kind, nanos, moment, details);
    end if;
    perform stripe_applied(given ->> 'event', moment);
    return 'applied';
end $$;

-- A customer who was deleted at Stripe is nobody's any more: the next payment makes another.
create function apply_customer(given json) returns text language plpgsql as $$
declare
    moment timestamptz := to_timestamp((given ->> 'at_ms')::bigint / 1000.0);
begin
    if not stripe_turn(given ->> 'object', (given ->> 'expected')::bigint) then
        return 'changed';
    end if;
    if (given ->> 'deleted')::boolean then
        update stripe_customers set deleted_at = coalesce(deleted_at, moment), payment_method = null
        where id = given ->> 'object';
    end if;
    perform stripe_applied(given ->> 'event', moment);
    return 'applied';
end $$;

-- Ends the credit of months that are over: of those that nobody paid to follow.
create function end_monthly_credit(moment timestamptz) returns bigint language plpgsql as $$
declare
    over subscriptions;
    ended bigint := 0;
begin
    for over in
        select * from subscriptions where credit_until <= moment order by org_id, id for update skip locked
    loop
        perform end_credit_of(over, moment);
        ended := ended + 1;
    end loop;
    return ended;
end $$;

-- Writes down what the meter is to be told: whole units of what was used beyond credit and was not told yet, once an
-- hour, and in the last minutes of a period, whose invoice is to have it.
create function queue_meter_events(moment timestamptz) returns bigint language plpgsql as $$
declare
    used record;
    total bigint;
    queued bigint := 0;
begin
    for used in
        select wallet.org_id, wallet.overage_nanos, customer.id as customer, subscription.period_end
        from wallets wallet
        join stripe_customers customer on customer.org_id = wallet.org_id and customer.deleted_at is null
        join lateral (select * from subscriptions where org_id = wallet.org_id order by ended, created desc, id limit 1)
            subscription on not subscription.ended
        where wallet.overage_nanos <= -cent_nanos()
        order by wallet.org_id
    loop
        insert into overage_meters (org_id) values (used.org_id) on conflict do nothing;
        update overage_meters meter
        set told_units = paid_units + -used.overage_nanos / cent_nanos(), told_at = moment
        where meter.org_id = used.org_id and -used.overage_nanos / cent_nanos() > told_units - paid_units
            and (told_at is null or told_at <= moment - interval '1 hour'
                or used.period_end between moment and moment + interval '10 minutes')
        returning told_units into total;
        if found then
            insert into meter_events (org_id, after_units, units, customer, at, next_try_at)
            select used.org_id, coalesce(sum(event.units), 0), total - coalesce(sum(event.units), 0), used.customer,
                moment, moment
            from meter_events event where event.org_id = used.org_id;
            queued := queued + 1;
        end if;
    end loop;
    return queued;
end $$;

-- Begins an automatic top-up of an organisation whose free credit is below its threshold: of `wanted`, or of any.
-- No row when none is due, or one runs already.
create function begin_auto_top_up(id uuid, wanted uuid, moment timestamptz, until timestamptz)
returns setof top_ups language plpgsql as $$
declare
    due record;
begin
    for due in
        select auto.org_id, auto.cents, customer.id as customer, customer.payment_method
        from auto_top_ups auto
        join orgs on orgs.id = auto.org_id and orgs.deleted_at is null and orgs.suspended_at is null
        join stripe_customers customer on customer.org_id = auto.org_id and customer.deleted_at is null
            and customer.payment_method is not null
        left join wallets wallet on wallet.org_id = auto.org_id
        where auto.failed_at is null and (wanted is null or auto.org_id = wanted)
            and coalesce(wallet.credit_nanos + wallet.allowance_nanos + wallet.owed_nanos, 0) < auto.threshold_nanos
            and not exists (select from top_ups where top_ups.org_id = auto.org_id and automatic
                and status in ('open', 'processing'))
        order by auto.org_id
    loop
        return query
            insert into top_ups (id, org_id, cents, automatic, status, customer, payment_method, claimed_until, created_at)
            values (begin_auto_top_up.id, due.org_id, due.cents, true, 'open', due.customer, due.payment_method, until,
                moment)
            on conflict do nothing returning *;
        if found then
            return;
        end if;
    end loop;
end $$;

-- Ends an automatic top-up that Stripe refused to begin, and all further ones until a person has looked.
create function fail_auto_top_up(id uuid, moment timestamptz, letters json) returns boolean language plpgsql as $$
declare
    failed uuid;
begin
    update top_ups set status = 'failed', settled_at = moment
    where top_ups.id = fail_auto_top_up.id and status = 'open' returning org_id into failed;
    if failed is not null then
        update auto_top_ups set failed_at = moment where org_id = failed;
        perform mail_owners(failed, letters);
    end if;
    return failed is not null;
end $$;
