//! `throttles`: written by this slice alone, through the SQL functions `take_try`, `admit_login` and `return_try`.

use super::{
    Attempt, Bucket,
    rules::{MINUTE_MS, TOTAL_PER_DAY, address_ladder},
};
use crate::{
    Store,
    audit::Entry,
    sql::{SqlError, row, sql},
};
use shared::{id::UserId, time::Timestamp};

row! {
    struct Waiting {
        wait_ms: i64,
    }
}

row! {
    struct Done {
        done: i64,
    }
}

row! {
    /// Whether a try may be made, and what it needs to know of the person, if there is one.
    pub(in crate::auth) struct Admitted {
        /// Milliseconds until the address, or the service, may try again.
        pub(in crate::auth) wait_ms: i64,
        /// Whether the account waits: whatever password comes is wrong.
        pub(in crate::auth) locked: bool,
        known: bool,
        paused: bool,
        pub(in crate::auth) user_id: Option<UserId>,
        pub(in crate::auth) password_hash: Option<String>,
        pub(in crate::auth) suspended: bool,
        pub(in crate::auth) version: i64,
        pub(in crate::auth) has_second: bool,
    }
}

sql! {
    TAKE(Bucket, Timestamp, i64, String) -> Waiting = "
        select wait_ms from take_try($1::bytea, to_timestamp($2::int8 / 1000.0), $3::int8, $4::text)";

    ADMIT(Attempt, String) -> Admitted = "
        select admitted.wait_ms, admitted.locked, admitted.known, admitted.paused, users.id::text as user_id,
            users.password_hash, users.suspended_at is not null as suspended, coalesce(users.version, 0) as version,
            exists (select from totp_secrets totp where totp.user_id = users.id and totp.confirmed_at is not null)
                or exists (select from passkeys where passkeys.user_id = users.id) as has_second
        from admit_login($1::text) admitted left join users on users.email = $2::text";

    // Only over the hash that was checked: a password that was changed meanwhile stays.
    PASSED(Bucket, Bucket, bool, bool, i64, Option<UserId>, Option<String>, Option<String>) -> Done = "
        with upgraded as (
            update users set password_hash = $8::text
            where id = $6::text::uuid and password_hash = $7::text and $8::text is not null
        )
        select return_try($1::bytea, $2::bytea, $3::bool, $4::bool, $5::int8) as done";

    FAILED(Bucket, Timestamp, i64, String, Entry) -> Waiting = "
        with counted as materialized (
            select wait_ms from take_try($1::bytea, to_timestamp($2::int8 / 1000.0), $3::int8, $4::text)
        )
        select wait_ms from counted where audit($5::text) > 0";

    // What another statement works with is not touched; the next minute is soon enough.
    SWEEP(Timestamp, Timestamp) -> () = "
        delete from throttles where bucket in (
            select bucket from throttles
            where window_started_at < to_timestamp($2::int8 / 1000.0)
                and (blocked_until is null or blocked_until < to_timestamp($1::int8 / 1000.0))
            for update skip locked)";
}

impl Store {
    /// Counts a try, or gives the milliseconds that it must wait.
    pub(super) async fn take_try(
        &self,
        bucket: Bucket,
        now: Timestamp,
        window_ms: i64,
        ladder: String,
    ) -> Result<i64, SqlError> {
        Ok(self.first(&TAKE, (bucket, now, window_ms, ladder)).await?.map_or(0, |row| row.wait_ms))
    }

    /// Counts a try at a password, and reads the person whom it is for.
    pub(in crate::auth) async fn admit_login(&self, attempt: &Attempt, email: &str) -> Result<Admitted, SqlError> {
        let admitted = self.first(&ADMIT, (attempt.clone(), email.to_owned())).await?;
        // One row comes whether or not there is such a person.
        admitted.ok_or(SqlError::Column { index: 0 })
    }

    /// Gives back a try that was right, or that was not made; a right one may bring a stronger hash.
    pub(in crate::auth) async fn return_try(
        &self,
        attempt: &Attempt,
        admitted: &Admitted,
        right: bool,
        upgrade: Option<String>,
    ) -> Result<(), SqlError> {
        let anew = right && admitted.known;
        let limit = i64::try_from(TOTAL_PER_DAY).unwrap_or(i64::MAX);
        let buckets = (attempt.own(admitted.known), attempt.total());
        let person = (admitted.user_id, admitted.password_hash.clone(), upgrade);
        let params = (buckets.0, buckets.1, admitted.paused, anew, limit, person.0, person.1, person.2);
        let returned = self.first(&PASSED, params).await?;
        debug_assert!(returned.is_some_and(|row| row.done == 1));
        Ok(())
    }

    /// Counts a failure for the whole service, and writes it down.
    pub(in crate::auth) async fn login_failed(
        &self,
        now: Timestamp,
        limit_per_minute: u64,
        entry: Entry,
    ) -> Result<(), SqlError> {
        let ladder = address_ladder(limit_per_minute);
        self.first(&FAILED, (Bucket::service(), now, MINUTE_MS, ladder, entry)).await.map(drop)
    }

    pub(super) async fn sweep_throttles(&self, now: Timestamp, before: Timestamp) -> Result<(), SqlError> {
        self.first(&SWEEP, (now, before)).await.map(drop)
    }
}
