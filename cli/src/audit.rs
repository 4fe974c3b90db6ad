//! `nest admin audit`.

use crate::{
    args::{Audit, AuditLs},
    database,
    report::{Failure, Report, printable, table, time},
    settings::Settings,
};
use anyhow::Context as _;
use edge_core::{
    Host as _, Store,
    audit::{self, Elsewhere, Filter, Findings, Listed, Verdict},
};
use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

/// Anchors that are compared in one statement.
const BATCH: usize = 1_000;

pub(crate) async fn run(verb: Audit, settings: &Settings, report: Report) -> anyhow::Result<()> {
    match verb {
        Audit::Verify { anchors } => verify(anchors, settings, report).await,
        Audit::Ls(ls) => list(ls, settings, report).await,
    }
}

async fn verify(anchors: Option<PathBuf>, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let (database, keyring) = database::open_with_keys(settings).await?;
    let mut verdict = audit::verify(&database.store, &keyring, database.host.now()).await?;
    let kept = match &anchors {
        Some(file) => compare(&database.store, file, &mut verdict.findings).await?,
        None => 0,
    };
    let json = serde_json::json!({"intact": verdict.findings.is_empty(), "entries": verdict.entries,
        "anchors": verdict.anchors, "anchors_elsewhere": kept, "findings": verdict.findings.first,
        "more_findings": verdict.findings.more});
    report.show(&json, |_| text(&verdict, kept))?;
    let count = verdict.findings.count();
    anyhow::ensure!(count == 0, "the audit log is not what the edges wrote: {count} finding(s)");
    Ok(())
}

fn text(verdict: &Verdict, kept: u64) -> String {
    let elsewhere = if kept > 0 { format!(", {kept} kept elsewhere") } else { String::new() };
    let mut lines = vec![format!("{} entries, {} anchors{elsewhere}", verdict.entries, verdict.anchors)];
    lines.extend(verdict.findings.first.iter().map(ToString::to_string));
    match verdict.findings {
        Findings { more: 0, ref first } if first.is_empty() => lines.push("intact".to_owned()),
        Findings { more: 0, .. } => {}
        Findings { more, .. } => lines.push(format!("and {more} more")),
    }
    lines.join("\n")
}

/// Compares the log with the anchors in a file, and says how many these are.
async fn compare(store: &Store, file: &Path, findings: &mut Findings) -> anyhow::Result<u64> {
    let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (mut kept, mut batch) = (0, Vec::new());
    for line in BufReader::new(opened).split(b'\n') {
        // Logs hold whatever people send; a line that is no text is no anchor.
        let line = line?;
        batch.extend(Elsewhere::parse(&String::from_utf8_lossy(&line)));
        if batch.len() == BATCH {
            kept += compare_batch(store, &mut batch, findings).await?;
        }
    }
    kept += compare_batch(store, &mut batch, findings).await?;
    if kept == 0 {
        return Err(Failure::Usage(format!("there is no anchor in {}", file.display())).into());
    }
    Ok(kept)
}

async fn compare_batch(store: &Store, batch: &mut Vec<Elsewhere>, findings: &mut Findings) -> anyhow::Result<u64> {
    audit::compare(store, batch, findings).await?;
    let count = batch.len() as u64;
    batch.clear();
    Ok(count)
}

async fn list(ls: AuditLs, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let AuditLs { org, actor, action, target, before, limit } = ls;
    let filter = Filter { org, actor, action, target, before, limit };
    report.show(&audit::list(&database.store, &filter).await?, |entries| {
        let header = ["ID", "TIME", "ACTOR", "ACTION", "TARGET", "ORGANISATION", "IP", "DETAIL", "CHAINED"];
        table(&header, entries.iter().map(row))
    })
}

fn row(entry: &Listed) -> Vec<String> {
    let or_dash = |it: Option<String>| it.map_or_else(|| "-".to_owned(), |it| printable(&it));
    vec![
        entry.id.to_string(),
        time(entry.at),
        printable(entry.actor_id.as_ref().unwrap_or(&entry.actor_kind)),
        printable(&entry.action),
        or_dash(entry.target.clone()),
        or_dash(entry.org_id.map(|it| it.to_string())),
        or_dash(entry.ip.clone()),
        printable(&entry.detail),
        entry.seq.map_or_else(|| "not yet".to_owned(), |it| it.to_string()),
    ]
}
