//! The programs that build, check and run the edge for Workers, installed outside the checkout.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{Project, cache_dir, run};
use crate::tools;

/// The library's version in `Cargo.toml`: the two must agree to the last digit.
const WASM_BINDGEN: &str = "0.2.129";
const WORKER_BUILD: &str = "0.8.7";

/// What `edge/cloudflare/package.json` names, installed as its lock file says.
pub(crate) struct EdgeTools {
    /// The folder with `node_modules`.
    pub(crate) folder: PathBuf,
}

impl EdgeTools {
    /// Installs them unless they are there.
    pub(crate) fn ready(project: &Project) -> Result<Self> {
        let package = project.root.join("edge/cloudflare");
        let lock = fs::read(package.join("package-lock.json"))?;
        let folder = cache_dir()?.join(format!("edge-tools-{:016x}", fnv(&lock)));
        if !folder.is_dir() {
            install(project, &package, &folder)?;
        }
        Ok(Self { folder })
    }

    /// A command of `wrangler` that asks nothing, reports nothing and reaches for no network.
    pub(crate) fn wrangler(&self, project: &Project, args: &[&str]) -> Result<Command> {
        let mut command = project.command(self.node());
        command.arg(self.module("wrangler/bin/wrangler.js")).args(args);
        command.env("PATH", self.path()?).env("CI", "1").env("NO_COLOR", "1");
        command.env("WRANGLER_SEND_METRICS", "false").env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
        Ok(command)
    }

    /// The command that builds the Worker in its crate's folder.
    pub(crate) fn worker_build(&self, project: &Project, args: &[&str]) -> Result<Command> {
        let compiled = |package, name, version| {
            tools::pinned(name, version, |fresh| tools::compiled(project, package, name, version, fresh))
        };
        let mut command = project.command(compiled("worker-build", "worker-build", WORKER_BUILD)?);
        command.current_dir(project.root.join("edge/cloudflare")).args(args).env("PATH", self.path()?);
        command.env("WASM_BINDGEN_BIN", compiled("wasm-bindgen-cli", "wasm-bindgen", WASM_BINDGEN)?);
        command.env("ESBUILD_BIN", self.module("esbuild/bin/esbuild"));
        command.env("WASM_OPT_BIN", self.module("binaryen/bin/wasm-opt"));
        Ok(command)
    }

    /// The Node that was installed with the rest; where the registry has none for this machine, the machine's own.
    pub(crate) fn node(&self) -> PathBuf {
        let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
        let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
        let node = self.module(&format!("node-{system}-{machine}/bin/node"));
        if node.is_file() { node } else { "node".into() }
    }

    /// The scripts among the tools start `node` by its name.
    fn path(&self) -> Result<OsString> {
        let folder = self.node().parent().map(Path::to_owned).filter(|it| it.is_absolute());
        let others = std::env::var_os("PATH").unwrap_or_default();
        Ok(std::env::join_paths(folder.into_iter().chain(std::env::split_paths(&others)))?)
    }

    fn module(&self, path: &str) -> PathBuf {
        self.folder.join("node_modules").join(path)
    }
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
