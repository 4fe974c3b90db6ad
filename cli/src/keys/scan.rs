//! `nest keys scan`: keys in files, by their published pattern and their checksum.

use crate::report::{Report, printable};
use anyhow::Context as _;
use edge_core::keys::{KEY_BYTES, find};
use memchr::memchr_iter;
use serde::Serialize;
use shared::id::KeyId;
use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

/// Bytes that are read at once.
const CHUNK: usize = 1024 * 1024;

/// A key in a file. Not the whole of it: what finds leaks must not be one.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Leak {
    file: PathBuf,
    /// Counted from 1.
    line: usize,
    key_id: KeyId,
    prefix: String,
    last_four: String,
}

#[derive(Default, Serialize)]
struct Scanned {
    files: u64,
    bytes: u64,
    found: Vec<Leak>,
}

pub(super) fn run(paths: &[PathBuf], report: Report) -> anyhow::Result<()> {
    let mut scanned = Scanned::default();
    for path in paths {
        walk(path, &mut scanned)?;
    }
    report.show(&scanned, text)?;
    let count = scanned.found.len();
    anyhow::ensure!(count == 0, "{count} API key(s) where none should be: revoke or rotate them");
    Ok(())
}

fn text(scanned: &Scanned) -> String {
    let line = |it: &Leak| {
        let file = printable(&it.file.display().to_string());
        format!("{file}:{}  {}…{}  {}\n", it.line, it.prefix, it.last_four, it.key_id)
    };
    let found: String = scanned.found.iter().map(line).collect();
    format!("{found}{} key(s) in {} file(s), {} bytes", scanned.found.len(), scanned.files, scanned.bytes)
}

/// Looks into a file, or into all below a folder. Links within it lead elsewhere and are not followed.
fn walk(path: &Path, scanned: &mut Scanned) -> anyhow::Result<()> {
    let about = || format!("{} cannot be read", path.display());
    let kind = fs::metadata(path).with_context(about)?;
    if kind.is_file() {
        scanned.files += 1;
        return file(path, scanned).with_context(about);
    }
    if !kind.is_dir() {
        return Ok(());
    }
    let mut entries = fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(about)?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        if !entry.file_type().with_context(about)?.is_symlink() {
            walk(&entry.path(), scanned)?;
        }
    }
    Ok(())
}

fn file(path: &Path, scanned: &mut Scanned) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    // What was kept of the part before stands in front of what is read, so that no key lies across two parts.
    let (mut buffer, mut kept, mut line) = (vec![0; KEY_BYTES + CHUNK], 0, 1);
    loop {
        let read = file.read(&mut buffer[kept..])?;
        let part = &buffer[..kept + read];
        let mut counted = 0;
        for found in find(part) {
            line += memchr_iter(b'\n', &part[counted..found.at]).count();
            counted = found.at;
            let (file, key_id) = (path.to_owned(), found.key_id);
            scanned.found.push(Leak { file, line, key_id, prefix: found.prefix, last_four: found.last_four });
        }
        scanned.bytes += read as u64;
        if read == 0 {
            return Ok(());
        }
        let next = part.len().saturating_sub(KEY_BYTES - 1).max(counted);
        line += memchr_iter(b'\n', &part[counted..next]).count();
        kept = part.len() - next;
        buffer.copy_within(next..next + kept, 0);
    }
}
