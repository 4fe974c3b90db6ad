//! `audit_log`, `audit_head` and `audit_anchors`: written here alone, but for entries, which the SQL function `audit`
//! adds within the statement of an act.

use super::Entry;
use crate::{
    Store,
    sql::{SqlError, row, sql},
};
use serde::{Serialize, Serializer};
use shared::{id::OrgId, time::Timestamp};

row! {
    struct Recorded {
        id: i64,
    }
}

row! {
    /// An entry as it is chained.
    #[derive(Clone, Debug)]
    pub(super) struct LogRow {
        pub(super) id: i64,
        /// Microseconds since the epoch, as Postgres keeps them: read back exactly.
        pub(super) at_us: i64,
        pub(super) actor_kind: String,
        pub(super) actor_id: Option<String>,
        pub(super) action: String,
        pub(super) org_id: Option<String>,
        pub(super) target: Option<String>,
        pub(super) ip: Option<String>,
        pub(super) request_id: Option<String>,
        pub(super) detail: String,
        pub(super) seq: Option<i64>,
        pub(super) mac: Option<Vec<u8>>,
    }
}

row! {
    /// An entry as people see it.
    #[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
    #[schema(as = AuditEntry)]
    pub struct Listed {
        pub id: i64,
        pub at: Timestamp,
        pub actor_kind: String,
        pub actor_id: Option<String>,
        pub action: String,
        pub org_id: Option<OrgId>,
        pub target: Option<String>,
        pub ip: Option<String>,
        pub request_id: Option<String>,
        /// JSON, and shown as such.
        #[serde(serialize_with = "as_json")]
        #[schema(value_type = Object)]
        pub detail: String,
        /// Its place in the chain; none until it is chained.
        pub seq: Option<i64>,
    }
}

row! {
    pub(super) struct HeadRow {
        pub(super) seq: i64,
        pub(super) mac: Vec<u8>,
        pub(super) anchors: i64,
        pub(super) tag: Vec<u8>,
        pub(super) key: Vec<u8>,
        /// Of the last anchor.
        pub(super) anchored_seq: Option<i64>,
        pub(super) anchored_at: Option<Timestamp>,
    }
}

row! {
    pub(super) struct AnchorRow {
        pub(super) number: i64,
        pub(super) at_us: i64,
        pub(super) seq: i64,
        pub(super) mac: Vec<u8>,
        pub(super) tag: Vec<u8>,
        /// The MAC of the entry that the anchor names.
        pub(super) entry_mac: Option<Vec<u8>>,
    }
}

row! {
    struct Founded {
        seq: i64,
    }
}

row! {
    /// Whether the head was still where it was, and how many entries were chained.
    pub(super) struct Moved {
        pub(super) moved: bool,
        pub(super) entries: i64,
    }
}

row! {
    struct Number {
        number: i64,
    }
}

row! {
    /// An entry that is not where it should be.
    pub(super) struct Stray {
        pub(super) id: i64,
        pub(super) at: Timestamp,
        pub(super) seq: Option<i64>,
    }
}

row! {
    /// An entry that somebody else knows by its place.
    pub(super) struct Named {
        pub(super) seq: i64,
        pub(super) mac: Option<Vec<u8>>,
    }
}

/// Where an organisation is not asked for, any is meant; the same for the other conditions.
macro_rules! listed {
    ($where:literal) => {
        concat!(
            "select id, (extract(epoch from at) * 1000)::int8 as at, actor_kind, actor_id, action, org_id::text, target,
                ip, request_id, detail, seq
            from audit_log
            where ",
            $where,
            " and id < $1::int8 and ($2::text is null or actor_id = $2::text)
                and ($3::text is null or action = $3::text or starts_with(action, $3::text || '.'))
                and ($4::text is null or target = $4::text)
            order by id desc limit $5::int8"
        )
    };
}

/// The columns of [`LogRow`].
macro_rules! log_rows {
    ($rest:literal) => {
        concat!(
            "select id, (extract(epoch from at) * 1000000)::int8 as at_us, actor_kind, actor_id, action, org_id::text,
                target, ip, request_id, detail, seq, mac
            from audit_log where ",
            $rest
        )
    };
}

sql! {
    RECORD(Entry) -> Recorded = "select audit($1::text) as id";

    HEAD() -> HeadRow = "
        select head.seq, head.mac, head.anchors, head.tag, head.key, last.seq as anchored_seq,
            (extract(epoch from last.at) * 1000)::int8 as anchored_at
        from audit_head head left join audit_anchors last on last.number = head.anchors
        where head.id = 1";

    // A chain begins once. Where there was one, a head that is gone was removed, and is not made again.
    FOUND(Vec<u8>, Vec<u8>, Vec<u8>) -> Founded = "
        insert into audit_head (id, seq, mac, anchors, tag, key)
        select 1, 0, $1::bytea, 0, $2::bytea, $3::bytea
        where not exists (select from audit_log where seq is not null) and not exists (select from audit_anchors)
        on conflict (id) do nothing
        returning seq";

    UNCHAINED(i64) -> LogRow = log_rows!("seq is null order by id limit $1::int8");

    // The tag is the head's own: whoever comes second finds another one, and changes nothing. Nothing but `seq` and
    // `mac` of an entry is ever written.
    CHAIN(Vec<u8>, i64, Vec<u8>, Vec<u8>, String) -> Moved = "
        with head as (
            update audit_head set seq = $2::int8, mac = $3::bytea, tag = $4::bytea
            where id = 1 and tag = $1::bytea
            returning seq
        ),
        chained as (
            update audit_log set seq = given.seq, mac = decode(given.mac, 'hex')
            from json_to_recordset($5::text::json) as given (id bigint, seq bigint, mac text)
            where audit_log.id = given.id and audit_log.seq is null and exists (select from head)
            returning audit_log.seq
        )
        select exists (select from head) as moved, (select count(*) from chained)::int8 as entries";

    ANCHOR(Vec<u8>, Vec<u8>, Timestamp, Vec<u8>) -> Number = "
        with head as (
            update audit_head set anchors = anchors + 1, tag = $2::bytea
            where id = 1 and tag = $1::bytea
            returning anchors, seq, mac
        )
        insert into audit_anchors (number, at, seq, mac, tag)
        select head.anchors, to_timestamp($3::int8 / 1000.0), head.seq, head.mac, $4::bytea from head
        returning number";

    CHAINED(i64, i64, i64) -> LogRow =
        log_rows!("seq > $1::int8 and seq <= $2::int8 order by seq limit $3::int8");

    ANCHORS(i64, i64, i64) -> AnchorRow = "
        select anchor.number, (extract(epoch from anchor.at) * 1000000)::int8 as at_us, anchor.seq, anchor.mac,
            anchor.tag, entry.mac as entry_mac
        from audit_anchors anchor left join audit_log entry on entry.seq = anchor.seq
        where anchor.number > $1::int8 and anchor.number <= $2::int8
        order by anchor.number limit $3::int8";

    // Entries and head are seen at one time, so that an entry that is chained meanwhile is not beyond the head.
    BEYOND(i64) -> Stray = "
        select id, (extract(epoch from at) * 1000)::int8 as at, seq from audit_log
        where seq < 1 or seq > coalesce((select seq from audit_head where id = 1), 0)
        order by seq limit $1::int8";

    // A MAC without a place is no entry's that waits.
    WAITING(Timestamp, i64) -> Stray = "
        select id, (extract(epoch from at) * 1000)::int8 as at, seq from audit_log
        where seq is null and (at < to_timestamp($1::int8 / 1000.0) or mac is not null)
        order by id limit $2::int8";

    ANCHORS_BEYOND(i64) -> Number = "
        select number from audit_anchors
        where number < 1 or number > coalesce((select anchors from audit_head where id = 1), 0)
        order by number limit $1::int8";

    // One parameter carries any number of places, since a host binds no arrays.
    NAMED(String) -> Named = "
        select given.seq, entry.mac
        from json_to_recordset($1::text::json) as given (number bigint, seq bigint)
            left join audit_log entry on entry.seq = given.seq
        order by given.number";

    OF_ALL(i64, Option<String>, Option<String>, Option<String>, i64) -> Listed = listed!("true");

    OF_ORG(i64, Option<String>, Option<String>, Option<String>, i64, OrgId) -> Listed =
        listed!("org_id = $6::text::uuid");
}

fn as_json<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    // What is not JSON was not written by us, and is shown as it is.
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
    value.serialize(serializer)
}

impl Store {
    pub(super) async fn record_act(&self, entry: Entry) -> Result<i64, SqlError> {
        Ok(self.first(&RECORD, (entry,)).await?.map_or(0, |row| row.id))
    }

    pub(super) async fn audit_head(&self) -> Result<Option<HeadRow>, SqlError> {
        self.first(&HEAD, ()).await
    }

    /// Begins the chain, unless there is or was one.
    pub(super) async fn found_audit_chain(&self, mac: Vec<u8>, tag: Vec<u8>, key: Vec<u8>) -> Result<bool, SqlError> {
        Ok(self.first(&FOUND, (mac, tag, key)).await?.is_some_and(|row| row.seq == 0))
    }

    pub(super) async fn unchained_entries(&self, limit: i64) -> Result<Vec<LogRow>, SqlError> {
        self.all(&UNCHAINED, (limit,)).await
    }

    /// `chained` is JSON: `[{id, seq, mac (hex)}]`.
    pub(super) async fn chain_entries(
        &self,
        old_tag: Vec<u8>,
        (seq, mac, tag): (i64, Vec<u8>, Vec<u8>),
        chained: String,
    ) -> Result<Moved, SqlError> {
        let moved = self.first(&CHAIN, (old_tag, seq, mac, tag, chained)).await?;
        Ok(moved.unwrap_or(Moved { moved: false, entries: 0 }))
    }

    /// Whether the head was still where `old_tag` says.
    pub(super) async fn insert_anchor(
        &self,
        old_tag: Vec<u8>,
        new_tag: Vec<u8>,
        at: Timestamp,
        tag: Vec<u8>,
    ) -> Result<bool, SqlError> {
        Ok(self.first(&ANCHOR, (old_tag, new_tag, at, tag)).await?.is_some_and(|row| row.number > 0))
    }

    pub(super) async fn chained_entries(&self, after: i64, last: i64, limit: i64) -> Result<Vec<LogRow>, SqlError> {
        self.all(&CHAINED, (after, last, limit)).await
    }

    pub(super) async fn anchors(&self, after: i64, last: i64, limit: i64) -> Result<Vec<AnchorRow>, SqlError> {
        self.all(&ANCHORS, (after, last, limit)).await
    }

    pub(super) async fn entries_beyond_head(&self, limit: i64) -> Result<Vec<Stray>, SqlError> {
        self.all(&BEYOND, (limit,)).await
    }

    pub(super) async fn entries_waiting(&self, since: Timestamp, limit: i64) -> Result<Vec<Stray>, SqlError> {
        self.all(&WAITING, (since, limit)).await
    }

    pub(super) async fn anchors_beyond_head(&self, limit: i64) -> Result<Vec<i64>, SqlError> {
        Ok(self.all(&ANCHORS_BEYOND, (limit,)).await?.into_iter().map(|row| row.number).collect())
    }

    /// `places` is JSON: `[{number, seq}]`; the answer is in the order of the numbers.
    pub(super) async fn named_entries(&self, places: String) -> Result<Vec<Named>, SqlError> {
        self.all(&NAMED, (places,)).await
    }

    pub(super) async fn list_entries(&self, filter: super::Filter) -> Result<Vec<Listed>, SqlError> {
        let super::Filter { org, actor, action, target, before, limit } = filter;
        let before = before.unwrap_or(i64::MAX);
        match org {
            Some(org) => self.all(&OF_ORG, (before, actor, action, target, limit, org)).await,
            None => self.all(&OF_ALL, (before, actor, action, target, limit)).await,
        }
    }
}
