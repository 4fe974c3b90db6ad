//! Folders of npm packages, installed outside the checkout, each once for each content of its lock file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{Project, cache_dir, run};

/// What `package`, a folder with `package.json` and its lock file, names: the folder with its `node_modules`, which
/// is installed unless it is there.
pub(crate) fn installed(project: &Project, package: &str, name: &str) -> Result<PathBuf> {
    let package = project.root.join(package);
    let lock = fs::read(package.join("package-lock.json"))?;
    let folder = cache_dir()?.join(format!("{name}-{:016x}", fnv(&lock)));
    if !folder.is_dir() {
        install(project, &package, &folder)?;
    }
    Ok(folder)
}

/// Installs beside `folder` and moves it there when it is whole. No script of a package runs.
fn install(project: &Project, package: &Path, folder: &Path) -> Result<()> {
    let fresh = folder.with_extension(format!("fresh-{}", std::process::id()));
    fs::create_dir_all(&fresh)?;
    for (from, name) in [(package, "package.json"), (package, "package-lock.json"), (project.root.as_path(), ".npmrc")]
    {
        fs::copy(from.join(name), fresh.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    // Not `npm ci`: it refuses a lock file without the packages of every system, and not every registry has them all.
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&fresh);
    // Standard output is for what a command of ours prints.
    npm.stdout(std::io::stderr());
    let moved = run(&mut npm).and_then(|()| as_locked(package, &fresh)).and_then(|()| Ok(fs::rename(&fresh, folder)?));
    let _ = fs::remove_dir_all(&fresh);
    // Another run may have been faster; what it left is the same.
    if folder.is_dir() { Ok(()) } else { moved }
}

/// Errs if npm installed something else than the lock file says, which it notes in its copy.
fn as_locked(package: &Path, fresh: &Path) -> Result<()> {
    let [told, done] = [package, fresh].map(|folder| fs::read(folder.join("package-lock.json")));
    if told? != done? {
        bail!(
            "package-lock.json does not fit package.json: run `npm install --package-lock-only` in {}",
            package.display()
        );
    }
    Ok(())
}

/// FNV-1a: names a folder by what it holds; nobody is kept out by it.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
