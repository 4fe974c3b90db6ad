//! Statements about what Stripe tells. What an object comes to is one SQL function each (migration 17), which also marks
//! the event as applied.

use super::objects::Event;
use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use serde::Serialize;
use shared::time::Timestamp;

row! {
    struct Id {
        id: String,
    }
}

row! {
    /// An event that is to be applied, by nobody else meanwhile.
    pub(super) struct Due {
        pub(super) id: String,
        pub(super) kind: String,
        pub(super) object_kind: String,
        pub(super) object_id: String,
        pub(super) livemode: bool,
        pub(super) account: Option<String>,
        pub(super) raw: Vec<u8>,
        /// This try counted.
        pub(super) attempts: i64,
    }
}

row! {
    struct Version {
        version: i64,
    }
}

row! {
    struct Outcome {
        outcome: String,
    }
}

row! {
    /// An event, to whoever looks after them.
    #[derive(Clone, Debug, Serialize)]
    pub struct StoredEvent {
        pub id: String,
        pub kind: String,
        pub object_id: String,
        pub received_at: Timestamp,
        pub attempts: i64,
        /// `waiting`, `applied` or `dead`.
        pub state: String,
        pub error: Option<String>,
    }
}

row! {
    struct Cursor {
        created: Timestamp,
    }
}

sql! {
    STORE(String, String, String, String, Timestamp, bool, Option<String>, Vec<u8>, Timestamp) -> Id = "
        insert into stripe_events
            (id, type, object_kind, object_id, created, livemode, account, raw, received_at, next_try_at)
        values ($1::text, $2::text, $3::text, $4::text, to_timestamp($5::int8 / 1000.0), $6::bool, $7::text, $8::bytea,
            to_timestamp($9::int8 / 1000.0), to_timestamp($9::int8 / 1000.0))
        on conflict (id) do nothing
        returning id";

    CLAIM(Timestamp, Timestamp, i64) -> Due = "
        with due as (
            select id from stripe_events
            where applied_at is null and dead_at is null and next_try_at <= to_timestamp($1::int8 / 1000.0)
                and (claimed_until is null or claimed_until <= to_timestamp($1::int8 / 1000.0))
            order by next_try_at, id limit $3::int8 for update skip locked
        )
        update stripe_events event
        set claimed_until = to_timestamp($2::int8 / 1000.0), attempts = event.attempts + 1
        from due where event.id = due.id
        returning event.id, event.type as kind, event.object_kind, event.object_id, event.livemode, event.account,
            event.raw, event.attempts";

    // What has no effect, or had it without the event.
    APPLIED(String, Timestamp, Option<String>) -> Id = "
        update stripe_events
        set applied_at = to_timestamp($2::int8 / 1000.0), dead_at = null, claimed_until = null, error = $3::text
        where id = $1::text and applied_at is null
        returning id";

    // Only the latest try may say what comes next.
    AGAIN(String, i64, Timestamp, String) -> Id = "
        update stripe_events
        set next_try_at = to_timestamp($3::int8 / 1000.0), claimed_until = null, error = $4::text
        where id = $1::text and attempts = $2::int8 and applied_at is null
        returning id";

    DEAD(String, i64, Timestamp, String) -> Id = "
        update stripe_events set dead_at = to_timestamp($3::int8 / 1000.0), claimed_until = null, error = $4::text
        where id = $1::text and attempts = $2::int8 and applied_at is null
        returning id";

    VERSION(String) -> Version = "
        select coalesce((select version from stripe_objects where id = $1::text), 0)::int8 as version";

    TOP_UP(String) -> Outcome = "select apply_top_up($1::text::json) as outcome";
    PLAN_CHECKOUT(String) -> Outcome = "select apply_plan_checkout($1::text::json) as outcome";
    SUBSCRIPTION(String) -> Outcome = "select apply_subscription($1::text::json) as outcome";
    INVOICE(String) -> Outcome = "select apply_invoice($1::text::json) as outcome";
    WITHDRAWAL(String) -> Outcome = "select apply_withdrawal($1::text::json) as outcome";
    CUSTOMER(String) -> Outcome = "select apply_customer($1::text::json) as outcome";

    METER_ERROR(String, String) -> Id = "
        update meter_events set error = $2::text
        where org_id::text || ':' || after_units = $1::text
        returning org_id::text as id";

    EVENTS(Option<String>, i64) -> StoredEvent = "
        select id, type as kind, object_id, (extract(epoch from received_at) * 1000)::int8 as received_at, attempts,
            case when applied_at is not null then 'applied' when dead_at is not null then 'dead' else 'waiting' end
                as state,
            error
        from stripe_events
        where $1::text is null
            or $1::text = case when applied_at is not null then 'applied' when dead_at is not null then 'dead'
                else 'waiting' end
        order by stripe_events.received_at desc, stripe_events.id limit $2::int8";

    REPLAY(String, Timestamp) -> Id = "
        update stripe_events
        set dead_at = null, applied_at = null, attempts = 0, claimed_until = null,
            next_try_at = to_timestamp($2::int8 / 1000.0)
        where id = $1::text
        returning id";

    // Whoever gets the row looks, and nobody else until the next time.
    TURN(String, Timestamp, Timestamp) -> Cursor = "
        insert into stripe_cursors as known (name, created, next_at)
        values ($1::text, to_timestamp(0), to_timestamp($3::int8 / 1000.0))
        on conflict (name) do update set next_at = excluded.next_at
        where known.next_at <= to_timestamp($2::int8 / 1000.0)
        returning (extract(epoch from created) * 1000)::int8 as created";

    SEEN(String, Timestamp) -> Cursor = "
        update stripe_cursors set created = greatest(created, to_timestamp($2::int8 / 1000.0))
        where name = $1::text
        returning (extract(epoch from created) * 1000)::int8 as created";

    SWEEP(Timestamp) -> Version = "
        with swept as (
            delete from stripe_events where applied_at < to_timestamp($1::int8 / 1000.0) returning 1
        )
        select count(*)::int8 as version from swept";
}

/// What a fetched object comes to: the SQL function that knows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    TopUp,
    PlanCheckout,
    Subscription,
    Invoice,
    Withdrawal,
    Customer,
}

impl Store {
    /// Keeps an event; false when it was there already.
    pub(super) async fn store_event(&self, event: Event, raw: Vec<u8>, now: Timestamp) -> Result<bool, SqlError> {
        let created = Timestamp(event.created_ms);
        // What no text of Postgres's may hold is part of no name that we know.
        let plain = |it: String| it.replace('\0', "");
        let (kind, object_kind, account) = (plain(event.kind), plain(event.object_kind), event.account.map(plain));
        let params = (event.id, kind, object_kind, event.object_id, created, event.livemode, account, raw, now);
        Ok(self.first(&STORE, params).await?.is_some_and(|it| !it.id.is_empty()))
    }

    /// At most `limit` events that are due at `now`, to be applied until `until`.
    pub(super) async fn claim_events(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: i64,
    ) -> Result<Vec<Due>, SqlError> {
        self.all(&CLAIM, (now, until, limit)).await
    }

    pub(super) async fn event_applied(&self, id: &str, now: Timestamp, why: Option<&str>) -> Result<(), SqlError> {
        self.first(&APPLIED, (id.to_owned(), now, why.map(str::to_owned))).await.map(check(id))
    }

    pub(super) async fn event_again(
        &self,
        id: &str,
        attempts: i64,
        at: Timestamp,
        error: String,
    ) -> Result<(), SqlError> {
        self.first(&AGAIN, (id.to_owned(), attempts, at, error)).await.map(check(id))
    }

    pub(super) async fn event_dead(
        &self,
        id: &str,
        attempts: i64,
        now: Timestamp,
        error: String,
    ) -> Result<(), SqlError> {
        self.first(&DEAD, (id.to_owned(), attempts, now, error)).await.map(check(id))
    }

    /// How often an object was applied.
    pub(super) async fn object_version(&self, id: &str) -> Result<i64, SqlError> {
        Ok(self.first(&VERSION, (id.to_owned(),)).await?.map_or(0, |it| it.version))
    }

    /// Does what an object comes to, and says what that was.
    pub(super) async fn take_effect(&self, effect: Effect, given: &serde_json::Value) -> Result<String, SqlError> {
        let statement = match effect {
            Effect::TopUp => &TOP_UP,
            Effect::PlanCheckout => &PLAN_CHECKOUT,
            Effect::Subscription => &SUBSCRIPTION,
            Effect::Invoice => &INVOICE,
            Effect::Withdrawal => &WITHDRAWAL,
            Effect::Customer => &CUSTOMER,
        };
        Ok(self.first(statement, (given.to_string(),)).await?.map(|it| it.outcome).unwrap_or_default())
    }

    /// Notes that the meter could not take an event after all.
    pub(super) async fn meter_error(&self, identifier: String, error: String) -> Result<bool, SqlError> {
        Ok(self.first(&METER_ERROR, (identifier, error)).await?.is_some_and(|it| !it.id.is_empty()))
    }

    pub(super) async fn events(&self, state: Option<String>, limit: i64) -> Result<Vec<StoredEvent>, SqlError> {
        self.all(&EVENTS, (state, limit)).await
    }

    /// Has an event applied anew; false when there is none.
    pub(super) async fn replay_event(&self, id: &str, now: Timestamp) -> Result<bool, SqlError> {
        Ok(self.first(&REPLAY, (id.to_owned(), now)).await?.is_some_and(|it| it.id == id))
    }

    /// Whose turn it is to look for what is new in a list, and since when; none while it is somebody else's.
    pub(super) async fn list_turn(
        &self,
        name: &str,
        now: Timestamp,
        next: Timestamp,
    ) -> Result<Option<Timestamp>, SqlError> {
        Ok(self.first(&TURN, (name.to_owned(), now, next)).await?.map(|it| it.created))
    }

    /// Notes that everything created before `created` was seen.
    pub(super) async fn list_seen(&self, name: &str, created: Timestamp) -> Result<(), SqlError> {
        let seen = self.first(&SEEN, (name.to_owned(), created)).await?;
        debug_assert!(seen.is_none_or(|it| it.created >= created), "a cursor never goes back");
        Ok(())
    }

    /// Deletes events that were applied before `before`.
    pub(super) async fn sweep_events(&self, before: Timestamp) -> Result<i64, SqlError> {
        Ok(self.first(&SWEEP, (before,)).await?.map_or(0, |it| it.version))
    }
}

/// None is marked when another try has come in between.
fn check(id: &str) -> impl FnOnce(Option<Id>) {
    move |marked| debug_assert!(marked.is_none_or(|it| it.id == id))
}
