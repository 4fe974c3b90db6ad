//! Where models lie: `<root>/<id>/<file>`, with a record of what was checked.

use super::catalogue::{CATALOGUE, Entry, FileEntry};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// The folder that holds all models.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// How much of a model is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Presence {
    /// Nothing.
    Absent,
    /// Some of it: a pull goes on from here.
    Partial {
        /// Bytes that are there.
        bytes: u64,
    },
    /// All of it, checked.
    Ready,
}

/// The record of a model's checked files, so that a start need not read them all again.
#[derive(Default, Deserialize, Serialize)]
struct Checked {
    files: BTreeMap<String, Stamp>,
}

/// A file as it was when its digest was computed.
#[derive(PartialEq, Eq, Deserialize, Serialize)]
struct Stamp {
    bytes: u64,
    modified_ms: u64,
    sha256: String,
}

impl Store {
    /// The store in the folder `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder of all models.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of one model.
    pub fn folder(&self, entry: &Entry) -> PathBuf {
        self.root.join(entry.id)
    }

    /// Where a file of a model lies or will lie.
    pub fn path(&self, entry: &Entry, file: &FileEntry) -> PathBuf {
        self.folder(entry).join(file.name)
    }

    /// How much of `entry` is there.
    pub fn presence(&self, entry: &Entry) -> Presence {
        if entry.files.iter().all(|file| self.is_checked(entry, file)) {
            return Presence::Ready;
        }
        match folder_bytes(&self.folder(entry)) {
            0 => Presence::Absent,
            bytes => Presence::Partial { bytes },
        }
    }

    /// All models of the catalogue and how much of each is there.
    pub fn list(&self) -> impl Iterator<Item = (&'static Entry, Presence)> {
        CATALOGUE.iter().map(|entry| (entry, self.presence(entry)))
    }

    /// Deletes a model; says whether there was anything.
    pub fn remove(&self, entry: &Entry) -> io::Result<bool> {
        match fs::remove_dir_all(self.folder(entry)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a file is there as it was when its digest was found right.
    pub(super) fn is_checked(&self, entry: &Entry, file: &FileEntry) -> bool {
        let now = stamp(&self.path(entry, file), file.sha256).ok();
        now.is_some() && self.checked(entry).files.get(file.name) == now.as_ref()
    }

    /// Computes the digest of a file that is there, and records it if it is right.
    pub(super) fn check(&self, entry: &Entry, file: &FileEntry) -> io::Result<bool> {
        let path = self.path(entry, file);
        if sha256(&path)? != file.sha256 {
            return Ok(false);
        }
        let mut checked = self.checked(entry);
        checked.files.insert(file.name.to_owned(), stamp(&path, file.sha256)?);
        fs::write(self.record(entry), serde_json::to_vec_pretty(&checked)?)?;
        Ok(true)
    }

    fn checked(&self, entry: &Entry) -> Checked {
        let text = fs::read(self.record(entry)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn record(&self, entry: &Entry) -> PathBuf {
        self.folder(entry).join("checked.json")
    }
}

/// The SHA-256 of a file, in lower-case hex.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut digest, mut buffer) = (fs::File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => digest.update(&buffer[..count]),
        }
    }
}

fn stamp(path: &Path, sha256: &str) -> io::Result<Stamp> {
    let meta = fs::metadata(path)?;
    let modified = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Stamp { bytes: meta.len(), modified_ms: modified.as_millis() as u64, sha256: sha256.to_owned() })
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|it| it.metadata().ok()).filter(fs::Metadata::is_file).map(|it| it.len()).sum()
}
