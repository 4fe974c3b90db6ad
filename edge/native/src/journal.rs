//! A journal in a file, which one process has to itself.

use anyhow::{Context as _, bail};
use edge_core::host::Journal;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// What the kernel has been given survives the process, though not the machine: nobody waits for the disk.
pub(crate) struct FileJournal {
    path: PathBuf,
    file: Mutex<File>,
    /// Held as long as this value lives. It is another file, since the journal's own is replaced.
    _lock: File,
}

impl FileJournal {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot open the journal {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(cannot)?;
        }
        let lock = open(&path.with_extension("lock")).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {
                Ok(Self { path: path.to_owned(), file: Mutex::new(open(path).with_context(cannot)?), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                bail!("another edge writes the journal {}: give each its own USAGE_JOURNAL", path.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    fn locked<T>(&self, act: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        act(&mut self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A file to read and to append to, for its owner alone.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)
}

impl Journal for FileJournal {
    fn read(&self) -> io::Result<Vec<u8>> {
        self.locked(|file| {
            let mut all = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut all)?;
            Ok(all)
        })
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        self.locked(|file| file.write_all(lines))
    }

    fn replace(&self, lines: &[u8]) -> io::Result<()> {
        self.locked(|file| {
            if lines.is_empty() {
                return file.set_len(0);
            }
            let draft = self.path.with_extension("draft");
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut new = open(&draft)?;
            new.write_all(lines)?;
            fs::rename(&draft, &self.path)?;
            *file = new;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_there_again_and_one_process_has_it() {
        let folder = std::env::temp_dir().join(format!("nest-journal-{}", std::process::id()));
        let path = folder.join("usage.journal");
        let journal = FileJournal::open(&path).unwrap();
        journal.append(b"one\n").unwrap();
        journal.append(b"two\n").unwrap();
        assert_eq!(journal.read().unwrap(), b"one\ntwo\n");
        assert!(FileJournal::open(&path).is_err(), "it is another's");
        journal.replace(b"two\n").unwrap();
        journal.append(b"three\n").unwrap();
        drop(journal);
        let journal = FileJournal::open(&path).unwrap();
        assert_eq!(journal.read().unwrap(), b"two\nthree\n");
        journal.replace(b"").unwrap();
        journal.append(b"four\n").unwrap();
        assert_eq!(journal.read().unwrap(), b"four\n");
        fs::remove_dir_all(folder).unwrap();
    }
}
