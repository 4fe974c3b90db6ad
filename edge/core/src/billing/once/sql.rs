//! `idempotency_keys`.

use super::bounds;
use crate::{
    App, Store,
    host::random,
    sql::{SqlError, row, sql},
};
use shared::{id::RequestId, time::Timestamp};
use uuid::Uuid;

row! {
    /// How a key was found.
    pub(super) struct Claim {
        /// The name of the effect, for the one who may act.
        pub(super) claimed: Option<String>,
        /// Whether it was used for the same request before.
        pub(super) same: Option<bool>,
        pub(super) body: Option<String>,
    }
}

sql! {
    // $1 who, $2 key, $3 fingerprint, $4 a name, $5 now, $6 until when the claim holds, $7 before when keys are forgotten.
    CLAIM(String, String, Vec<u8>, String, Timestamp, Timestamp, Timestamp) -> Claim = "
        with claimed as (
            insert into idempotency_keys as known (principal, key, fingerprint, id, created_at, claimed_until)
            values ($1::text, $2::text, $3::bytea, $4::text::uuid, to_timestamp($5::int8 / 1000.0),
                to_timestamp($6::int8 / 1000.0))
            on conflict (principal, key) do update
            set claimed_until = excluded.claimed_until, fingerprint = excluded.fingerprint, status = null, body = null,
                id = case when known.created_at < to_timestamp($7::int8 / 1000.0) then excluded.id else known.id end,
                created_at = case when known.created_at < to_timestamp($7::int8 / 1000.0) then excluded.created_at
                    else known.created_at end
            where known.created_at < to_timestamp($7::int8 / 1000.0)
                or (known.status is null and known.fingerprint = excluded.fingerprint
                    and known.claimed_until <= to_timestamp($5::int8 / 1000.0))
            returning id
        )
        select claimed.id::text as claimed, known.fingerprint = $3::bytea as same, known.body
        from (select 1) as one
        left join claimed on true
        left join idempotency_keys known on known.principal = $1::text and known.key = $2::text";

    FINISH(String, String, String, String) -> () = "
        update idempotency_keys set status = 200, body = $4::text
        where principal = $1::text and key = $2::text and id = $3::text::uuid and status is null";

    RELEASE(String, String, String) -> () = "
        delete from idempotency_keys
        where principal = $1::text and key = $2::text and id = $3::text::uuid and status is null";

    SWEEP(Timestamp) -> () = "
        delete from idempotency_keys where created_at < to_timestamp($1::int8 / 1000.0)";
}

impl Store {
    pub(super) async fn claim_once(
        &self,
        app: &App,
        principal: &str,
        key: &str,
        fingerprint: Vec<u8>,
        now: Timestamp,
    ) -> Result<Claim, SqlError> {
        let id = RequestId::new(now, random(&*app.host)).uuid().to_string();
        let (until, before) = bounds(now);
        let params = (principal.to_owned(), key.to_owned(), fingerprint, id, now, until, before);
        let row = self.first(&CLAIM, params).await?;
        Ok(row.unwrap_or(Claim { claimed: None, same: None, body: None }))
    }

    pub(super) async fn finish_once(&self, who: &str, key: &str, id: Uuid, body: String) -> Result<(), SqlError> {
        self.first(&FINISH, (who.to_owned(), key.to_owned(), id.to_string(), body)).await.map(drop)
    }

    pub(super) async fn release_once(&self, who: &str, key: &str, id: Uuid) -> Result<(), SqlError> {
        self.first(&RELEASE, (who.to_owned(), key.to_owned(), id.to_string())).await.map(drop)
    }

    pub(super) async fn sweep_once(&self, now: Timestamp) -> Result<(), SqlError> {
        self.first(&SWEEP, (bounds(now).1,)).await.map(drop)
    }
}
