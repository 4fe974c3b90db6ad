//! How far the chain is, without walking it.

use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use serde::Serialize;
use shared::time::Timestamp;
use utoipa::ToSchema;

row! {
    /// What the log says of itself. Whether it is intact, `nest admin audit verify` tells.
    #[derive(Clone, Debug, Serialize, ToSchema)]
    #[schema(as = AuditStatus)]
    pub struct Status {
        /// The place of the last entry in the chain; 0 before the first.
        pub seq: i64,
        /// Entries that wait for their place.
        pub unchained: i64,
        /// Since when the one that waits longest does; null when none does. Past some minutes no edge chains.
        pub unchained_since: Option<Timestamp>,
        /// How many anchors there are.
        pub anchors: i64,
        /// The place that the last anchor names.
        pub anchored_seq: Option<i64>,
        pub anchored_at: Option<Timestamp>,
    }
}

sql! {
    STATUS() -> Status = "
        select coalesce(head.seq, 0) as seq, waiting.entries as unchained,
            (extract(epoch from waiting.since) * 1000)::int8 as unchained_since,
            coalesce(head.anchors, 0) as anchors, last.seq as anchored_seq,
            (extract(epoch from last.at) * 1000)::int8 as anchored_at
        from (select count(*)::int8 as entries, min(at) as since from audit_log where seq is null) waiting
        left join audit_head head on head.id = 1
        left join audit_anchors last on last.number = head.anchors";
}

/// How far the chain is.
pub async fn status(store: &Store) -> Result<Status, SqlError> {
    store.first(&STATUS, ()).await?.ok_or(SqlError::Column { index: 0 })
}
