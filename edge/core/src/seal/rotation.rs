//! Re-wrapping what is sealed under older key-encryption keys, while edges run.
//!
//! Each slice names its sealed columns, and [`COLUMNS`] lists them all; a test compares that list with the schema. A
//! value is replaced only while it is byte for byte what was read, so that nothing that an edge writes meanwhile is
//! lost, and a run that is broken off is simply run again.

use super::{Keyring, Place, SealError, key_id};
use crate::{
    Host, Store,
    sql::{SqlError, Statement, row},
};
use serde::Serialize;
use std::collections::BTreeMap;

row! {
    /// A sealed value, and the row that it is sealed for.
    pub(crate) struct SealedRow {
        pub(crate) row: String,
        pub(crate) sealed: Vec<u8>,
    }
}

row! {
    /// The row whose value was replaced.
    pub(crate) struct Replaced {
        pub(crate) row: String,
    }
}

/// A column of sealed values, and the two statements of the slice that owns it.
pub(crate) struct SealedColumn {
    /// `table.column`, as in [`Place`].
    pub(crate) column: &'static str,
    /// Rows after `$1` in the order of the column's own ids, `$2` at most; an empty text is before the first.
    pub(crate) rows: &'static Statement<(String, i64), SealedRow>,
    /// Gives row `$1` the value `$3` if it still has `$2`.
    pub(crate) replace: &'static Statement<(String, Vec<u8>, Vec<u8>), Replaced>,
}

/// Every sealed column of the schema.
const COLUMNS: [&SealedColumn; 3] = [&crate::auth::SEALED, &crate::mail::SEALED, &crate::audit::SEALED];

/// Rows read at a time.
const BATCH: i64 = 200;

/// What came of the rotation of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rotated {
    pub column: &'static str,
    /// Values that the current key wraps now, and did not before.
    pub rewrapped: u64,
    /// Values that the current key wrapped already.
    pub current: u64,
    /// Values that an edge changed meanwhile. Run again until there are none.
    pub changed_meanwhile: u64,
    /// Rows whose value does not open: it was tampered with, or its key is not there.
    pub broken: Vec<String>,
}

/// What came of a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// The id of the key that wraps now.
    pub key: String,
    pub columns: Vec<Rotated>,
}

impl Rotation {
    /// Whether the current key wraps everything, as far as was seen.
    pub fn is_complete(&self) -> bool {
        self.columns.iter().all(|it| it.changed_meanwhile == 0 && it.broken.is_empty())
    }
}

/// How many values of a column the key with this id wraps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrapped {
    pub column: &'static str,
    /// None: the value is no sealed value at all.
    pub key: Option<String>,
    pub values: u64,
    /// Whether the ring has that key.
    pub known: bool,
}

/// Names of the sealed columns.
pub fn columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|it| it.column)
}

/// Wraps every sealed value with the current key of `keyring`.
pub async fn rotate(host: &dyn Host, store: &Store, keyring: &Keyring) -> Result<Rotation, SqlError> {
    let mut columns = Vec::new();
    for column in COLUMNS {
        columns.push(rotate_column(host, store, keyring, column).await?);
    }
    Ok(Rotation { key: keyring.current().to_owned(), columns })
}

/// Counts the values of each column by the key that wraps them.
pub async fn wrapped_by(store: &Store, keyring: &Keyring) -> Result<Vec<Wrapped>, SqlError> {
    let mut all = Vec::new();
    for column in COLUMNS {
        let mut counts: BTreeMap<Option<String>, u64> = BTreeMap::new();
        let mut pages = Pages::of(column);
        while let Some(rows) = pages.next(store).await? {
            for row in rows {
                *counts.entry(key_id(&row.sealed).ok().map(str::to_owned)).or_default() += 1;
            }
        }
        all.extend(counts.into_iter().map(|(key, values)| Wrapped {
            column: column.column,
            known: key.as_deref().is_some_and(|it| keyring.knows(it)),
            key,
            values,
        }));
    }
    Ok(all)
}

async fn rotate_column(
    host: &dyn Host,
    store: &Store,
    keyring: &Keyring,
    column: &SealedColumn,
) -> Result<Rotated, SqlError> {
    let mut rotated = Rotated { column: column.column, ..Rotated::default() };
    let mut pages = Pages::of(column);
    while let Some(rows) = pages.next(store).await? {
        for SealedRow { row, sealed } in rows {
            match keyring.rewrap(host, Place { column: column.column, row: &row }, &sealed) {
                Ok(None) => rotated.current += 1,
                Ok(Some(fresh)) => {
                    let replaced = store.first(column.replace, (row.clone(), sealed, fresh)).await?;
                    let done = replaced.is_some_and(|it| it.row == row);
                    *(if done { &mut rotated.rewrapped } else { &mut rotated.changed_meanwhile }) += 1;
                }
                Err(SealError::UnknownKey | SealError::Broken) => rotated.broken.push(row),
            }
        }
    }
    Ok(rotated)
}

/// The rows of a column, page by page.
struct Pages<'a> {
    column: &'a SealedColumn,
    after: Option<String>,
}

impl<'a> Pages<'a> {
    fn of(column: &'a SealedColumn) -> Self {
        // No row has an empty name.
        Self { column, after: Some(String::new()) }
    }

    async fn next(&mut self, store: &Store) -> Result<Option<Vec<SealedRow>>, SqlError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let rows = store.all(self.column.rows, (after, BATCH)).await?;
        if rows.len() == usize::try_from(BATCH).unwrap_or(usize::MAX) {
            self.after = rows.last().map(|it| it.row.clone());
        }
        Ok(Some(rows))
    }
}
