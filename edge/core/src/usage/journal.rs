//! What a process that is killed must not take with it: calls that an upstream was asked for, and rows that are not in
//! Postgres yet.
//!
//! Each line is a row as it would be written, the last one of a call counts. A call's first line, from before it is sent,
//! says that it failed and cost nothing; its second how it ended. When its row is in Postgres it is forgotten, and when
//! nothing is left to remember the journal is emptied. Whoever starts next writes what is there; rows that are in
//! Postgres already stay as they are.

use super::Record;
use crate::{App, error::chain, sql::SqlError};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use uuid::Uuid;

/// A journal that is longer is written anew, when most of it is in Postgres.
const LONG_BYTES: usize = 16 * 1024 * 1024;

/// About how long a line is.
const LINE_BYTES: usize = 1_024;

/// Rows in one statement at most.
const BATCH: usize = 1_000;

/// Which calls the host's journal is kept for.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// Calls whose rows are not in Postgres yet.
    live: HashSet<Uuid>,
    bytes: usize,
}

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    request_id: Uuid,
}

/// Notes a row as it would be written if the process died now.
pub(super) fn note(app: &App, record: &Record) {
    let Some(file) = app.host.journal() else { return };
    let mut line = serde_json::to_vec(record).expect("records are plain data");
    line.push(b'\n');
    let mut kept = app.journal.lock();
    kept.live.insert(record.request_id.uuid());
    kept.bytes += line.len();
    if let Err(error) = file.append(&line) {
        // The call goes on: what is at stake is its row, and only if the process dies, too.
        tracing::error!(%error, "usage cannot be journalled: a crash would lose it");
    }
}

/// Forgets calls whose rows are in Postgres.
pub(super) fn forget(app: &App, records: &[Record]) {
    let Some(file) = app.host.journal() else { return };
    let mut kept = app.journal.lock();
    for record in records {
        kept.live.remove(&record.request_id.uuid());
    }
    let shorter = if kept.live.is_empty() && kept.bytes > 0 {
        Ok(Vec::new())
    } else if kept.bytes > LONG_BYTES && kept.bytes / 2 > kept.live.len() * LINE_BYTES {
        file.read().map(|all| kept.shortened(&all))
    } else {
        return;
    };
    match shorter.and_then(|lines| file.replace(&lines).map(|()| lines.len())) {
        Ok(bytes) => kept.bytes = bytes,
        Err(error) => tracing::warn!(%error, "the journal of usage cannot be shortened"),
    }
}

/// Writes what an earlier process has left. What Postgres cannot be told now stays for the next start.
pub(super) async fn recover(app: &App) {
    let Some(file) = app.host.journal() else { return };
    let all = match file.read() {
        Ok(all) => all,
        Err(error) => return tracing::error!(%error, "the journal of usage cannot be read"),
    };
    let rows = last_lines(&all);
    if rows.is_empty() {
        return;
    }
    match write(app, &rows).await {
        Ok(written) => {
            tracing::warn!(rows = rows.len(), written, "usage of a process that died was in its journal");
            if let Err(error) = file.replace(b"") {
                tracing::warn!(%error, "the journal of usage cannot be emptied");
            }
        }
        Err(error) => {
            let mut kept = app.journal.lock();
            kept.live
                .extend(rows.iter().filter_map(|it| Some(serde_json::from_str::<Line>(it.get()).ok()?.request_id)));
            kept.bytes += all.len();
            tracing::error!(error = %chain(&error), rows = rows.len(), "the journal of usage cannot be written yet");
        }
    }
}

/// Writes rows in batches, and those of a batch that is refused one by one. Gives how many were not there.
async fn write(app: &App, rows: &[&RawValue]) -> Result<i64, SqlError> {
    let mut written = 0;
    for batch in rows.chunks(BATCH) {
        match app.store.insert_usage_json(batch).await {
            Ok(rows) => written += rows,
            Err(error @ SqlError::Unavailable(_)) => return Err(error),
            Err(_) => {
                for row in batch {
                    match app.store.insert_usage_json(std::slice::from_ref(row)).await {
                        Ok(rows) => written += rows,
                        Err(error @ SqlError::Unavailable(_)) => return Err(error),
                        // Such as one of a database that is gone.
                        Err(error) => tracing::error!(error = %chain(&error), %row, "a usage row cannot be stored"),
                    }
                }
            }
        }
    }
    Ok(written)
}

/// The last line of each call, in the order of their beginnings. What is no row, such as a line that was cut short, is
/// left out: the line before it says enough.
fn last_lines(all: &[u8]) -> Vec<&RawValue> {
    let mut order: HashMap<Uuid, usize> = HashMap::new();
    let mut rows: Vec<&RawValue> = Vec::new();
    for line in all.split_inclusive(|it| *it == b'\n').filter_map(|it| it.strip_suffix(b"\n")) {
        let Ok(row) = serde_json::from_slice::<&RawValue>(line) else { continue };
        let Ok(Line { request_id }) = serde_json::from_slice(line) else { continue };
        match order.get(&request_id) {
            Some(&at) => rows[at] = row,
            None => {
                order.insert(request_id, rows.len());
                rows.push(row);
            }
        }
    }
    rows
}

impl Kept {
    /// The lines of live calls.
    fn shortened(&self, all: &[u8]) -> Vec<u8> {
        let live = |line: &RawValue| {
            serde_json::from_str::<Line>(line.get()).is_ok_and(|it| self.live.contains(&it.request_id))
        };
        let rows = last_lines(all).into_iter().filter(|it| live(it));
        rows.flat_map(|it| [it.get().as_bytes(), b"\n"]).flatten().copied().collect()
    }
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u128, outcome: &str) -> String {
        format!("{{\"request_id\":\"{}\",\"outcome\":\"{outcome}\"}}\n", Uuid::from_u128(number))
    }

    /// Checklist 85's part.
    #[test]
    fn the_last_line_of_each_call_counts() {
        let whole = [line(1, "failed"), line(2, "failed"), line(1, "completed"), line(3, "failed")].concat();
        let cut = line(3, "completed");
        for (text, rows) in [
            (whole.clone(), vec![line(1, "completed"), line(2, "failed"), line(3, "failed")]),
            // Wherever a process is killed, the line before the one that it cuts short holds.
            (
                format!("{whole}{}", &cut[..cut.len() - 1]),
                vec![line(1, "completed"), line(2, "failed"), line(3, "failed")],
            ),
            (format!("{whole}{}", &cut[..20]), vec![line(1, "completed"), line(2, "failed"), line(3, "failed")]),
            (format!("garbage\n\n[]\n{{}}\n{}", line(1, "failed")), vec![line(1, "failed")]),
            (String::new(), Vec::new()),
        ] {
            let seen: Vec<String> = last_lines(text.as_bytes()).iter().map(|it| format!("{it}\n")).collect();
            assert_eq!(seen, rows, "{text}");
        }
    }

    #[test]
    fn a_journal_that_is_written_anew_holds_what_is_not_written_yet() {
        let all = [line(1, "failed"), line(2, "failed"), line(2, "completed"), line(3, "failed")].concat();
        let kept = Kept { live: [2, 3].map(Uuid::from_u128).into_iter().collect(), bytes: all.len() };
        let shorter = String::from_utf8(kept.shortened(all.as_bytes())).unwrap();
        assert_eq!(shorter, [line(2, "completed"), line(3, "failed")].concat());
    }
}
