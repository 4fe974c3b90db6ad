//! The programs that build, check and run the edge for Workers, installed outside the checkout.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::cargo::Project;
use crate::{npm, tools};

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
        Ok(Self { folder: npm::installed(project, "edge/cloudflare", "edge-tools")? })
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
        command.env("WASM_OPT_BIN", self.wasm_opt_bin());
        Ok(command)
    }

    /// A command of `wasm-opt`.
    pub(crate) fn wasm_opt(&self, project: &Project, args: &[&str]) -> Result<Command> {
        let mut command = project.command(self.node());
        command.arg(self.wasm_opt_bin()).args(args).env("PATH", self.path()?);
        Ok(command)
    }

    fn wasm_opt_bin(&self) -> PathBuf {
        self.module("binaryen/bin/wasm-opt")
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
