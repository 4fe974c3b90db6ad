//! `nest nodes`.

use crate::{
    args::Nodes,
    database,
    report::{Report, table},
    settings::Settings,
};
use edge_core::{
    audit::{Actor, Origin},
    nodes::{self, NodeSummary},
};
use secrecy::ExposeSecret as _;

pub(crate) async fn run(verb: Nodes, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    match verb {
        Nodes::Invite { minutes } => {
            let (valid_ms, by) = (i64::from(minutes) * 60_000, (&Actor::OPERATOR, &Origin::default()));
            let token = nodes::invite(&*database.host, &database.store, valid_ms, by).await?;
            let token = token.expose_secret();
            report.show(&serde_json::json!({"join_token": token, "minutes": minutes}), |_| {
                format!("{token}\n\nValid once, for {minutes} minutes. On the node:\n  NODE_JOIN_TOKEN={token} EDGE_URL=https://your-edge nest node")
            })
        }
        Nodes::Ls => report.show(&nodes::list(&database.store).await?, |nodes| {
            table(&["ID", "NAME", "ADDRESS", "STATE", "RUNNING", "QUEUED", "MODELS"], nodes.iter().map(row))
        }),
    }
}

fn row(node: &NodeSummary) -> Vec<String> {
    let state = if node.ready { "ready".to_owned() } else { format!("away for {} s", node.silent_ms / 1_000) };
    let models: Vec<&str> = node.models.iter().map(|it| it.id.as_str()).collect();
    vec![
        node.id.to_string(),
        node.name.clone(),
        node.base_url.clone(),
        state,
        node.running.to_string(),
        node.queued.to_string(),
        models.join(", "),
    ]
}
