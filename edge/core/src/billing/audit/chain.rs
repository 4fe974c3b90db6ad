//! The chain of a ledger: each entry's hash is over the one before, so that none is changed or left out unseen.
//!
//! Computed here from the entries' own columns, and not by the function of the database that wrote it.

use super::{
    BATCH, Finding,
    sql::{EntryRow, Head},
};
use crate::{Store, sql::SqlError};
use sha2::{Digest as _, Sha256};
use shared::id::OrgId;

/// Walks the chain of one organisation as far as its head was when it was read. Says how many entries that were.
pub(super) async fn walk(store: &Store, head: &Head, findings: &mut Vec<Finding>) -> Result<u64, SqlError> {
    let (mut seq, mut link) = (0, vec![0; 32]);
    while seq < head.entries {
        let rows = store.ledger_entries(head.org_id, seq, BATCH.min(head.entries - seq)).await?;
        if rows.is_empty() {
            let what = format!("the ledger ends at entry {seq}, and its wallet says {}", head.entries);
            findings.push(Finding { org_id: head.org_id, what });
            return Ok(seq.unsigned_abs());
        }
        for row in rows {
            if let Some(what) = fault(head.org_id, seq, &link, &row) {
                findings.push(Finding { org_id: head.org_id, what });
                // What follows hangs on it.
                return Ok(seq.unsigned_abs());
            }
            (seq, link) = (row.seq, row.hash);
        }
    }
    if link != head.head {
        findings.push(Finding { org_id: head.org_id, what: format!("the head is not the hash of entry {seq}") });
    }
    Ok(seq.unsigned_abs())
}

/// What is wrong with the entry after `seq`, whose hash is `link`.
fn fault(org: OrgId, seq: i64, link: &[u8], row: &EntryRow) -> Option<String> {
    if row.seq != seq + 1 {
        Some(format!("entry {} is followed by entry {}", seq, row.seq))
    } else if row.previous_hash != link {
        Some(format!("entry {} does not follow from the one before", row.seq))
    } else if row.hash != hash(org, link, row) {
        Some(format!("entry {} is not what was booked", row.seq))
    } else {
        None
    }
}

/// As `ledger_hash` of migration 14.
fn hash(org: OrgId, previous: &[u8], row: &EntryRow) -> Vec<u8> {
    let EntryRow { seq, business_key, kind, from_account, to_account, nanos, at_us, details, .. } = row;
    let org = org.uuid();
    let text =
        format!("{org}\n{seq}\n{business_key}\n{kind}\n{from_account}\n{to_account}\n{nanos}\n{at_us}\n{details}");
    Sha256::new().chain_update(previous).chain_update(text).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Timestamp;

    fn row(org: OrgId, seq: i64, previous: &[u8]) -> EntryRow {
        let mut row = EntryRow {
            seq,
            business_key: format!("grant:{seq}"),
            kind: "grant".to_owned(),
            from_account: "grants".to_owned(),
            to_account: "credit".to_owned(),
            nanos: 5,
            at_us: 1_700_000_000_000_000,
            details: "{}".to_owned(),
            previous_hash: previous.to_vec(),
            hash: Vec::new(),
        };
        row.hash = hash(org, previous, &row);
        row
    }

    /// Checklist 83: no column of an entry changes unseen.
    #[test]
    fn a_changed_entry_is_found_whichever_part_was_changed() {
        let org = OrgId::new(Timestamp(1), [1; 10]);
        let first = row(org, 1, &[0; 32]);
        let good = || row(org, 2, &first.hash);
        assert_eq!(fault(org, 1, &first.hash, &good()), None);
        let wrong = [
            EntryRow { seq: 3, ..good() },
            EntryRow { business_key: "grant:3".to_owned(), ..good() },
            EntryRow { kind: "charge".to_owned(), ..good() },
            EntryRow { from_account: "payments".to_owned(), ..good() },
            EntryRow { to_account: "owed".to_owned(), ..good() },
            EntryRow { nanos: 6, ..good() },
            EntryRow { at_us: 0, ..good() },
            EntryRow { details: r#"{"note": ""}"#.to_owned(), ..good() },
            EntryRow { previous_hash: vec![0; 32], ..good() },
            EntryRow { hash: vec![0; 32], ..good() },
            row(org, 2, &[0; 32]),
        ];
        for (at, wrong) in wrong.iter().enumerate() {
            assert!(fault(org, 1, &first.hash, wrong).is_some(), "{at}");
        }
        let other = OrgId::new(Timestamp(1), [2; 10]);
        assert!(fault(other, 1, &first.hash, &good()).is_some(), "an entry of another organisation");
    }
}
