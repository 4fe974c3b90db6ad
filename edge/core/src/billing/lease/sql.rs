//! `credit_leases`, by the functions of migration 15, which keep the wallet in step with them.

use super::rules::{Back, LIFE_MS};
use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use serde_json::json;
use shared::{
    id::{KeyId, OrgId},
    time::Timestamp,
};
use uuid::Uuid;

row! {
    pub(super) struct Leased {
        pub(super) granted: i64,
        pub(super) head: Vec<u8>,
        pub(super) refused: Option<String>,
    }
}

row! {
    struct Extended {
        extended: String,
    }
}

row! {
    struct Reaped {
        closed: i64,
    }
}

sql! {
    LEASE(String) -> Leased = "
        select granted, head, refused from lease_credit($1::text::json)";

    RETURN(String) -> Extended = "
        select extended::text from return_credit($1::text::json)";

    REAP(Timestamp) -> Reaped = "
        select reap_leases(to_timestamp($1::int8 / 1000.0)) as closed";
}

/// What is asked for, and for whom.
pub(super) struct Asked<'a> {
    pub(super) org_id: OrgId,
    pub(super) key_id: KeyId,
    pub(super) lease: Uuid,
    pub(super) holder: &'a str,
    pub(super) need: i64,
    pub(super) want: i64,
    pub(super) back: &'a [Back],
}

impl Store {
    pub(super) async fn lease_credit(&self, asked: &Asked<'_>, now: Timestamp) -> Result<Leased, SqlError> {
        let ask = json!({
            "org_id": asked.org_id.uuid(),
            "key_id": asked.key_id.uuid(),
            "lease_id": asked.lease,
            "holder": asked.holder,
            "need": asked.need,
            "want": asked.want,
            "back": asked.back,
            "at_ms": now.0,
            "life_ms": LIFE_MS,
        });
        self.first(&LEASE, (ask.to_string(),)).await?.ok_or(SqlError::Column { index: 0 })
    }

    /// Gives back, and says which of `extend` live on.
    pub(super) async fn return_credit(
        &self,
        org: OrgId,
        back: &[Back],
        extend: &[Uuid],
        now: Timestamp,
    ) -> Result<Vec<Uuid>, SqlError> {
        let ask = json!({
            "org_id": org.uuid(), "back": back, "extend": extend, "at_ms": now.0, "life_ms": LIFE_MS,
        });
        let rows = self.all(&RETURN, (ask.to_string(),)).await?;
        Ok(rows.iter().filter_map(|row| Uuid::try_parse(&row.extended).ok()).collect())
    }

    /// Closes leases that have expired.
    pub(super) async fn reap_leases(&self, now: Timestamp) -> Result<i64, SqlError> {
        Ok(self.first(&REAP, (now,)).await?.map_or(0, |row| row.closed))
    }
}
