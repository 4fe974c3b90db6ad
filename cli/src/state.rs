//! The folder of `nest dev`: `pgdata`, `models`, `logs`, `secrets.env`, `status.json`, `stripe.json`, and the lock of whoever runs it.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// `status.json`: what runs, and where. Scripts and tests rely on these names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) ready: bool,
    /// Which host runs the edge: `native`, `cloudflare` or `spin`.
    pub(crate) host: String,
    pub(crate) edge: String,
    pub(crate) node: Option<String>,
    pub(crate) console: Option<String>,
    pub(crate) database_url: Option<String>,
    pub(crate) outbox: Option<String>,
    pub(crate) fake_stripe: Option<String>,
    pub(crate) fake_groq: Option<String>,
    pub(crate) demo: Option<Demo>,
    pub(crate) models: Vec<String>,
    pub(crate) pids: BTreeMap<String, u32>,
}

/// Who may try the service on this machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Demo {
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) api_key: String,
    pub(crate) org: String,
}

/// The folder, locked for as long as this value lives.
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the folder if need be, and takes its lock.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        for dir in [path.to_owned(), path.join("logs"), path.join("models")] {
            fs::create_dir_all(&dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        }
        let path = path.canonicalize()?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let holder = read_status(&path).and_then(|it| it.pids.get("dev").copied());
                let holder = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
                bail!(
                    "`nest dev` runs already in {}{holder}: see `nest status`, or choose another --state-dir",
                    path.display()
                )
            }
            Err(TryLockError::Error(error)) => Err(error).context("cannot lock the state folder"),
        }
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Forgets database, secrets and status; models stay, since they are the same again.
    pub(crate) fn wipe(&self) -> anyhow::Result<()> {
        embedded::postgres::wipe(&self.join("pgdata"))?;
        for name in ["secrets.env", "status.json", "node.key", "usage.journal", "stripe.json"] {
            remove(&self.join(name))?;
        }
        Ok(())
    }

    /// Writes `status.json` in one step, so that a reader never sees half of it.
    pub(crate) fn write_status(&self, status: &Status) -> anyhow::Result<()> {
        write_private(&self.join("status.json"), &serde_json::to_string_pretty(status)?)
    }

    pub(crate) fn remove_status(&self) -> anyhow::Result<()> {
        remove(&self.join("status.json"))
    }
}

/// What the last `nest dev` in `state_dir` wrote, if it is there and readable.
pub(crate) fn read_status(state_dir: &Path) -> Option<Status> {
    serde_json::from_str(&fs::read_to_string(state_dir.join("status.json")).ok()?).ok()
}

/// Writes a file that only its owner may read, in one step.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("draft");
    remove(&draft)?;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
