//! The edge for the hosts that run WASM.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::Project;

/// The target of Cloudflare Workers.
pub(crate) const WORKERS: &str = "wasm32-unknown-unknown";
/// The target of Spin.
pub(crate) const SPIN: &str = "wasm32-wasip2";

/// A cargo command on `package` for `target`, by a toolchain that has it; installs the target if need be.
///
/// Builds go to a folder of their own, so that they neither wait for nor clear what native builds leave.
pub(crate) fn cargo(project: &Project, subcommand: &str, package: &str, target: &str) -> Result<Command> {
    let toolchain = toolchain(project, target)?;
    let mut command = project.command("rustup");
    command.args(["run", &toolchain, "cargo", subcommand, "--package", package, "--target", target]);
    command.args(["--target-dir", "target/wasm"]);
    Ok(command)
}

/// A toolchain that compiles for `target`. The script is part of this program, so that it works from an installed copy, too.
pub(crate) fn toolchain(project: &Project, target: &str) -> Result<String> {
    const SCRIPT: &str = include_str!("../wasm-toolchain.sh");
    let mut bash = project.command("bash");
    bash.args(["-c", SCRIPT, "wasm-toolchain.sh", target]);
    let output = bash.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start bash")?;
    if !output.status.success() {
        bail!("no toolchain compiles for {target}: see above");
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
