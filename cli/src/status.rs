//! `nest status`.

use crate::{
    report::{Failure, Report},
    state::{Status, read_status},
};
use std::{path::Path, time::Duration};

/// Says what `nest dev` is running; fails with 3 when it is not ready.
pub(crate) async fn run(state_dir: &Path, report: Report) -> anyhow::Result<()> {
    let Some(mut status) = read_status(state_dir) else {
        return Err(
            Failure::NotReady(format!("nothing runs in {}: start it with `nest dev`", state_dir.display())).into()
        );
    };
    // The file says what was so; a process that was killed could not correct it.
    status.ready = status.ready && answers(&status).await;
    report.show(&status, text)?;
    if status.ready { Ok(()) } else { Err(Failure::NotReady("not ready".to_owned()).into()) }
}

async fn answers(status: &Status) -> bool {
    let Ok(client) = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build() else {
        return false;
    };
    for base in std::iter::once(&status.edge).chain(&status.node) {
        match client.get(format!("{base}/readyz")).send().await {
            Ok(answer) if answer.status().is_success() => {}
            _ => return false,
        }
    }
    true
}

fn text(status: &Status) -> String {
    let mut lines =
        vec![format!("{} at {} ({} host)", if status.ready { "ready" } else { "not ready" }, status.edge, status.host)];
    lines.extend(status.node.iter().map(|node| format!("GPU node at {node}")));
    lines.push(format!("models: {}", status.models.join(", ")));
    lines.extend(status.pids.iter().map(|(name, pid)| format!("process {pid}: {name}")));
    lines.join("\n")
}
