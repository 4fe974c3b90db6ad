//! Chaining what was added, by any number of edges at once.
//!
//! An edge reads the head, then entries without a place, and gives them theirs in the statement that moves the head, if
//! nobody has moved it meanwhile. Whoever comes second leaves it at that: the entries are chained, or the next minute
//! comes.

use super::{
    chain::{ChainKey, Head, START},
    sealed::PLACE,
    sql::{HeadRow, LogRow},
};
use crate::{
    App,
    error::chain as causes,
    host::random,
    refresh::Refresh,
    seal::SealError,
    sql::{SqlError, hex},
};
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq as _;

/// Entries in one statement at most.
const BATCH: usize = 500;

/// How long an act waits for others to be chained with.
const GATHER_MS: u64 = 500;

/// Who of this edge chains soon.
#[derive(Default)]
pub(crate) struct Chaining(Mutex<Refresh>);

/// Why nothing is chained.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChainError {
    #[error("the database does not answer")]
    Sql(#[from] SqlError),
    #[error("the key of the audit chain does not open")]
    Key(#[from] SealError),
    #[error("the head of the audit chain was changed or removed: run `nest admin audit verify`")]
    Head,
}

/// Chains, a moment later and behind the answer, what this request and others have added. To be called after an act.
pub fn chain_soon(app: &App) {
    if !app.audit.with(|it| it.claim(app.host.now())) {
        return;
    }
    let task = app.clone();
    app.host.defer(Box::pin(async move {
        task.host.sleep(GATHER_MS).await;
        // Before the entries are read: what is added from now on has its own turn.
        task.audit.with(Refresh::release);
        seal_chain(&task).await;
    }));
}

/// Chains all that is not chained yet.
pub(super) async fn seal_chain(app: &App) {
    match chain_all(app).await {
        Ok(0) => {}
        Ok(entries) => tracing::debug!(entries, "chained {entries} entries of the audit log"),
        Err(ChainError::Sql(error @ SqlError::Unavailable(_))) => {
            tracing::warn!(error = %causes(&error), "the audit log is not chained yet");
        }
        Err(error) => tracing::error!(error = %causes(&error), "the audit log is not chained any more"),
    }
}

/// The head and its key, when the head is as it was left.
pub(super) async fn opened_head(app: &App) -> Result<Option<(HeadRow, Head, ChainKey)>, ChainError> {
    let Some(row) = app.store.audit_head().await? else { return Ok(None) };
    let key = ChainKey::new(app.config.keyring.open(PLACE, &row.key)?);
    // What was changed must not be signed anew.
    let head = row.head().filter(|it| bool::from(key.head(it).ct_eq(&row.tag))).ok_or(ChainError::Head)?;
    Ok(Some((row, head, key)))
}

async fn chain_all(app: &App) -> Result<usize, ChainError> {
    let mut chained = 0;
    loop {
        // First the head: entries that are read after it were chained after it only if the head has moved.
        let opened = opened_head(app).await?;
        let entries = app.store.unchained_entries(BATCH as i64).await?;
        if entries.is_empty() {
            return Ok(chained);
        }
        let Some((row, head, key)) = opened else {
            found(app).await?;
            continue;
        };
        let (next, places) = link(&key, head, &entries);
        let end = (next.seq, next.mac.to_vec(), key.head(&next).to_vec());
        let places = serde_json::to_string(&places).expect("places are plain data");
        let moved = app.store.chain_entries(row.tag, end, places).await?;
        if !moved.moved {
            return Ok(chained);
        }
        if usize::try_from(moved.entries) != Ok(entries.len()) {
            tracing::error!(seq = next.seq, "entries of the audit log vanished while they were chained");
        }
        chained += entries.len();
        if entries.len() < BATCH {
            return Ok(chained);
        }
    }
}

/// Begins the chain, unless another edge just did. Its key is made once and never changes; it is sealed as any secret
/// is, so the keys that seal it may.
async fn found(app: &App) -> Result<(), ChainError> {
    let key = Zeroizing::new(random::<32>(&*app.host).to_vec());
    let sealed = app.config.keyring.seal(&*app.host, PLACE, &key);
    let head = Head { seq: 0, mac: START, anchors: 0 };
    let tag = ChainKey::new(key).head(&head);
    let founded = app.store.found_audit_chain(START.to_vec(), tag.to_vec(), sealed).await?;
    if founded || app.store.audit_head().await?.is_some() { Ok(()) } else { Err(ChainError::Head) }
}

/// An entry's place, as the statement reads it.
#[derive(Serialize)]
struct Linked {
    id: i64,
    seq: i64,
    mac: String,
}

/// The places of `entries` after `head`, and the head after them.
fn link(key: &ChainKey, head: Head, entries: &[LogRow]) -> (Head, Vec<Linked>) {
    let mut end = head;
    let links = entries.iter().map(|entry| {
        end = Head { seq: end.seq + 1, mac: key.entry(&end.mac, end.seq + 1, entry), ..end };
        Linked { id: entry.id, seq: end.seq, mac: hex(&end.mac) }
    });
    let links = links.collect();
    (end, links)
}

impl HeadRow {
    /// The head, unless it cannot be one.
    pub(super) fn head(&self) -> Option<Head> {
        Some(Head { seq: self.seq, mac: self.mac.as_slice().try_into().ok()?, anchors: self.anchors })
    }
}

impl Chaining {
    fn with<T>(&self, act: impl FnOnce(&mut Refresh) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
