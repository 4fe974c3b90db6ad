//! `GET /billing/ledger`: what was booked.

use crate::{
    App, Error, Store,
    orgs::Member,
    page::{Page, Paging},
    payload::Query,
    sql::{SqlError, hex, row, sql},
};
use axum::Json;
use serde::Serialize;
use serde_json::Value;
use shared::{id::OrgId, money::Nanos, time::Timestamp};
use utoipa::ToSchema;

row! {
    struct EntryRow {
        seq: i64,
        business_key: String,
        kind: String,
        from_account: String,
        to_account: String,
        nanos: i64,
        at: Timestamp,
        details: String,
        hash: Vec<u8>,
    }
}

sql! {
    ENTRIES(OrgId, Option<i64>, i64) -> EntryRow = "
        select seq, business_key, kind, from_account, to_account, nanos, (extract(epoch from at) * 1000)::int8 as at,
            details::text, hash
        from ledger_entries
        where org_id = $1::text::uuid and ($2::int8 is null or seq < $2::int8)
        order by seq desc limit $3::int8";
}

impl Store {
    async fn ledger(&self, org: OrgId, before: Option<i64>, rows: i64) -> Result<Vec<EntryRow>, SqlError> {
        self.all(&ENTRIES, (org, before, rows)).await
    }
}

/// An amount that went from one account to another.
#[derive(Serialize, ToSchema)]
pub(super) struct EntryView {
    /// From 1, without gaps.
    seq: i64,
    at: Timestamp,
    /// `grant`, `charge`, `allowance`, `allowance_expired`, ...
    kind: String,
    /// `credit`, `allowance`, `overage`, `owed`, `revenue`, `payments`, `grants` or `expired`.
    from_account: String,
    to_account: String,
    amount_usd: Nanos,
    /// What the entry stands for; no other has it.
    business_key: String,
    #[schema(value_type = Object)]
    details: Value,
    /// The link of the chain: receipts name it.
    hash: String,
}

/// `GET /billing/ledger`
pub(super) async fn list(
    app: App,
    member: Member,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<EntryView>>, Error> {
    let rows = app.store.ledger(member.org_id, paging.after()?, paging.rows()).await?;
    let view = |row: EntryRow| EntryView {
        seq: row.seq,
        at: row.at,
        kind: row.kind,
        from_account: row.from_account,
        to_account: row.to_account,
        amount_usd: Nanos(row.nanos),
        business_key: row.business_key,
        details: serde_json::from_str(&row.details).unwrap_or_default(),
        hash: hex(&row.hash),
    };
    Ok(Json(Page::of(&paging, rows, |row| row.seq, view)))
}
