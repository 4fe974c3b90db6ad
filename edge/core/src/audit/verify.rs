//! Verifying the whole log, in batches, while edges go on writing it.

use super::{
    Finding, Findings,
    chain::{ChainKey, Head},
    sealed::PLACE,
    sql::HeadRow,
    walk::{Walk, anchor, same},
};
use crate::{Store, seal::Keyring, sql::SqlError};
use serde::Serialize;
use shared::time::Timestamp;

/// Rows read at a time.
const BATCH: i64 = 1_000;

/// Strays named at most; one is enough to know.
const STRAYS: i64 = 100;

/// An entry that waits longer for its place is told. An edge takes a minute at most, and clocks differ a little.
const WAITING_MS: i64 = 5 * 60_000;

/// What came of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Entries that the chain has.
    pub entries: i64,
    pub anchors: i64,
    pub findings: Findings,
}

/// Verifies everything up to where the chain ends now.
pub async fn verify(store: &Store, keyring: &Keyring, now: Timestamp) -> Result<Verdict, SqlError> {
    let mut verdict = Verdict::default();
    if let Some(row) = store.audit_head().await? {
        (verdict.entries, verdict.anchors) = (row.seq, row.anchors);
        verdict.findings = chained(store, keyring, &row).await?;
        strays(store, &mut verdict.findings).await?;
    } else {
        strays(store, &mut verdict.findings).await?;
        if !verdict.findings.is_empty() {
            verdict.findings.first.insert(0, Finding::HeadMissing);
        }
    }
    for entry in store.entries_waiting(now.plus_ms(-WAITING_MS), STRAYS).await? {
        verdict.findings.push(Finding::Waiting { id: entry.id, at: entry.at });
    }
    Ok(verdict)
}

/// What lies within the chain, as its head tells it.
async fn chained(store: &Store, keyring: &Keyring, row: &HeadRow) -> Result<Findings, SqlError> {
    let only = |finding| Findings { first: vec![finding], more: 0 };
    let key = match keyring.open(PLACE, &row.key) {
        Ok(key) => ChainKey::new(key),
        Err(error) => return Ok(only(Finding::KeyLost { problem: error.to_string() })),
    };
    let Some(head) = row.head() else { return Ok(only(Finding::HeadChanged)) };
    let mut findings = entries(store, &key, &head).await?;
    if !same(&key.head(&head), row.tag.as_slice().try_into().ok()) {
        findings.push(Finding::HeadChanged);
    }
    anchors(store, &key, head.anchors, &mut findings).await?;
    Ok(findings)
}

async fn entries(store: &Store, key: &ChainKey, head: &Head) -> Result<Findings, SqlError> {
    let mut walk = Walk::new(key);
    let mut after = 0;
    loop {
        let rows = store.chained_entries(after, head.seq, BATCH).await?;
        let Some(last) = rows.last().and_then(|it| it.seq) else { return Ok(walk.end(head)) };
        after = last;
        rows.into_iter().for_each(|row| walk.entry(row));
    }
}

async fn anchors(store: &Store, key: &ChainKey, last: i64, findings: &mut Findings) -> Result<(), SqlError> {
    let mut seen = 0;
    loop {
        let rows = store.anchors(seen, last, BATCH).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            anchor(key, seen + 1, &row, findings);
            seen = row.number;
        }
    }
    if seen < last {
        findings.push(Finding::AnchorsMissing { from: seen + 1, to: last });
    }
    Ok(())
}

/// What lies beyond the chain.
async fn strays(store: &Store, findings: &mut Findings) -> Result<(), SqlError> {
    for entry in store.entries_beyond_head(STRAYS).await? {
        findings.push(Finding::Beyond { id: entry.id, seq: entry.seq.unwrap_or_default() });
    }
    for number in store.anchors_beyond_head(STRAYS).await? {
        findings.push(Finding::AnchorBeyond { number });
    }
    Ok(())
}
