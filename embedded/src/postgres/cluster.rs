//! The data directory: where it can lie, making it, and who runs a server in it now.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use secrecy::{ExposeSecret, SecretString};

use super::account::RunAs;
use super::binaries::Found;
use super::{Durability, PostgresError};

/// A folder under `/var/tmp`, which every user may enter, that stands in for `data_dir`.
pub(super) fn stand_in(data_dir: &Path) -> PathBuf {
    let name = data_dir.to_string_lossy().replace('/', "%");
    Path::new("/var/tmp").join(format!("nest{name}"))
}

/// Where the cluster for `data_dir` lies: there, unless `run_as` may not enter the folders above it.
pub(super) fn place(data_dir: &Path, run_as: RunAs) -> Result<PathBuf, PostgresError> {
    let parent = data_dir.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(PostgresError::io(format!("create {}", parent.display())))?;
    if run_as.may_enter(parent) {
        return Ok(data_dir.to_owned());
    }
    let parent = stand_in(data_dir);
    let made = DirBuilder::new().mode(0o755).create(&parent);
    made.or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
        .map_err(PostgresError::io(format!("create {}", parent.display())))?;
    // Anyone may write to /var/tmp: a folder or link that someone else laid there is not ours to fill.
    let metadata = fs::symlink_metadata(&parent).map_err(PostgresError::io(format!("read {}", parent.display())))?;
    let ours = rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || metadata.uid() != ours {
        return Err(PostgresError::OtherOwner { data_dir: parent, owner: metadata.uid(), ours });
    }
    Ok(parent.join("data"))
}

/// Keeps two processes from making or starting the same cluster at once; held until dropped.
pub(super) fn lock(data_dir: &Path) -> Result<File, PostgresError> {
    let path = beside(data_dir, "lock");
    let file = File::options().create(true).append(true).open(&path);
    let locked = file.and_then(|file| file.lock().map(|()| file));
    locked.map_err(PostgresError::io(format!("lock {}", path.display())))
}

/// The major version of the cluster in `data_dir`; `None` when there is no cluster.
pub(super) fn major(data_dir: &Path) -> Result<Option<u16>, PostgresError> {
    let path = data_dir.join("PG_VERSION");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PostgresError::io(format!("read {}", path.display()))(error)),
    };
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no version"));
    text.trim().parse().map(Some).map_err(|_| PostgresError::io(format!("read {}", path.display()))(invalid()))
}

/// Makes the cluster beside its place and renames it there, so that an interrupted initdb leaves none.
pub(super) fn init(
    data_dir: &Path,
    found: &Found,
    password: &SecretString,
    durability: Durability,
    run_as: RunAs,
) -> Result<(), PostgresError> {
    let fresh = beside(data_dir, "new");
    let password_file = beside(data_dir, "password");
    remove_dir(&fresh)?;
    let created = DirBuilder::new().mode(0o700).create(&fresh);
    created.map_err(PostgresError::io(format!("create {}", fresh.display())))?;
    run_as.own(&fresh)?;
    write_private(&password_file, password.expose_secret())?;
    let made = run_as.own(&password_file).and_then(|()| {
        let mut initdb = run_as.command(&found.bindir.join("initdb"));
        initdb.arg("--pgdata").arg(&fresh).arg("--pwfile").arg(&password_file);
        initdb.args(["--username=nest", "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions"]);
        initdb.args(locale(found.version.major)).env("LC_ALL", "C");
        if durability == Durability::Throwaway {
            initdb.arg("--no-sync");
        }
        let output = initdb.output().map_err(PostgresError::io(format!("run initdb in {}", found.bindir.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(PostgresError::Initdb { output: String::from_utf8_lossy(&text).into_owned() })
    });
    let forgotten = fs::remove_file(&password_file);
    if made.is_err() {
        remove_dir(&fresh)?;
    }
    made?;
    forgotten.map_err(PostgresError::io(format!("remove {}", password_file.display())))?;
    // An empty folder that the caller made gives way; anything else in it makes the rename fail.
    fs::rename(&fresh, data_dir).map_err(PostgresError::io(format!("put a new cluster at {}", data_dir.display())))
}

/// The server that runs in `data_dir`, by its own note. A note left by a server that is gone is removed.
pub(super) fn running(data_dir: &Path) -> Result<Option<Running>, PostgresError> {
    let note = data_dir.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&note) else { return Ok(None) };
    let running = Running::parse(&text);
    match running {
        Some(running) if running.is_alive(data_dir) => Ok(Some(running)),
        // Postgres would refuse to start if the number now belonged to another of its user's processes.
        _ => {
            tracing::info!("removing {}, left by a server that is gone", note.display());
            fs::remove_file(&note).map_err(PostgresError::io(format!("remove {}", note.display())))?;
            Ok(None)
        }
    }
}

/// A server, from its `postmaster.pid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) pid: Pid,
    pub(super) port: u16,
}

impl Running {
    /// The file's lines: process id, data directory, start time, port, socket folder, address, memory key, status.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = Pid::from_raw(lines.next()?.trim().parse().ok()?)?;
        Some(Self { pid, port: lines.nth(2)?.trim().parse().ok()? })
    }

    pub(super) fn is_alive(self, data_dir: &Path) -> bool {
        match rustix::process::test_kill_process(self.pid) {
            Ok(()) | Err(rustix::io::Errno::PERM) => self.serves(data_dir),
            Err(_) => false,
        }
    }

    /// Whether the process is a Postgres at work in `data_dir`: process numbers are used again.
    #[cfg(target_os = "linux")]
    fn serves(self, data_dir: &Path) -> bool {
        let process = PathBuf::from(format!("/proc/{}", self.pid.as_raw_nonzero()));
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        // The folder that a server works in is its data directory; only its own user and root may read which.
        let elsewhere =
            fs::read_link(process.join("cwd")).is_ok_and(|dir| Ok(dir) != fs::canonicalize(data_dir).map_err(drop));
        name.trim_end() == "postgres" && !elsewhere
    }

    /// Whether the process is a Postgres: process numbers are used again.
    #[cfg(not(target_os = "linux"))]
    fn serves(self, _data_dir: &Path) -> bool {
        let pid = self.pid.as_raw_nonzero().to_string();
        let output = std::process::Command::new("ps").args(["-o", "comm=", "-p", &pid]).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim_end().ends_with("postgres"))
    }
}

/// `pgdata.lock` for `pgdata`.
fn beside(data_dir: &Path, suffix: &str) -> PathBuf {
    let mut name = data_dir.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    data_dir.with_file_name(name)
}

/// Code-point order and UTF-8, the same on every machine.
fn locale(major: u16) -> &'static [&'static str] {
    if major >= 17 {
        &["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    } else if cfg!(target_os = "linux") {
        &["--locale=C.UTF-8"]
    } else {
        &["--locale=C"]
    }
}

fn write_private(path: &Path, text: &str) -> Result<(), PostgresError> {
    let _ = fs::remove_file(path);
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(PostgresError::io(format!("write {}", path.display())))
}

pub(super) fn remove_dir(dir: &Path) -> Result<(), PostgresError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PostgresError::io(format!("remove {}", dir.display()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_note_gives_its_process_and_port() {
        let text = "4242\n/srv/pgdata\n1763760000\n5433\n\n127.0.0.1\n  5433001    98304\nready   \n";
        let running = Running::parse(text).unwrap();
        assert_eq!((running.pid.as_raw_nonzero().get(), running.port), (4242, 5433));
        for broken in ["", "4242\n", "x\n/srv\n1\n5433\n", "4242\n/srv\n1\nport\n"] {
            assert_eq!(Running::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_note_that_names_another_program_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("postmaster.pid");
        // This test's own process is alive and no Postgres.
        fs::write(&note, format!("{}\n{}\n1763760000\n5433\n", std::process::id(), dir.path().display())).unwrap();
        assert_eq!(running(dir.path()).unwrap(), None);
        assert!(!note.exists());
    }

    #[test]
    fn a_stand_in_keeps_the_whole_path_in_its_name() {
        assert_eq!(stand_in(Path::new("/srv/a/pgdata")), Path::new("/var/tmp/nest%srv%a%pgdata"));
    }
}
