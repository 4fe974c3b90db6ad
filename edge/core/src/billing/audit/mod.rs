//! The auditor: proves from the entries alone that every wallet is what they make it.
//!
//! Reads and never mends. It may run while edges work: each of its comparisons is one statement, and so one moment.

mod chain;
mod sql;

pub(super) use sql::statements;

use crate::{Store, sql::SqlError};
use serde::Serialize;
use shared::id::OrgId;
use std::fmt;

/// Wallets, and entries, that are read at once.
const BATCH: i64 = 1_000;

/// What an audit has seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audited {
    pub wallets: u64,
    pub entries: u64,
    /// Empty when all is as it should be.
    pub findings: Vec<Finding>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub org_id: OrgId,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.org_id, self.what)
    }
}

/// Recomputes every balance, every sum and every chain.
pub async fn audit(store: &Store) -> Result<Audited, SqlError> {
    let mut audited = Audited { findings: store.differences().await?, ..Audited::default() };
    let mut after = None;
    loop {
        let heads = store.ledger_heads(after, BATCH).await?;
        for head in &heads {
            audited.wallets += 1;
            audited.entries += chain::walk(store, head, &mut audited.findings).await?;
        }
        match heads.last() {
            Some(last) => after = Some(last.org_id),
            None => return Ok(audited),
        }
    }
}
